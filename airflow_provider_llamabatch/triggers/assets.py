"""The trigger of an asset watcher: an event for each batch of a directory that ends, whoever made it. It only reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.triggers import base

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud.call import check_conn_id
from airflow_provider_llamabatch.polling.backoff import Backoff
from airflow_provider_llamabatch.polling.loop import WatchSubscription, check_times
from airflow_provider_llamabatch.polling.sources import ENDED
from airflow_provider_llamabatch.polling.watching import Watch, WatchedBatches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow.triggers.base import BaseEventTrigger, TriggerEvent

    from airflow_provider_llamabatch.polling.watching import Seen
else:  # Airflow 2 has no asset watchers; there it is only importable
    BaseEventTrigger = getattr(base, "BaseEventTrigger", base.BaseTrigger)
    TriggerEvent = base.TriggerEvent

BACKOFF = Backoff()


class DirectoryBatchesTrigger(BaseEventTrigger):
    """
    Raises an event for each batch over a directory that completes, also for those that no Airflow has made.

    For an ``AssetWatcher`` (Airflow 3.0 and newer). The payload is ``{"batch_id", "status", "source_directory_id",
    "created_at"}``. All watchers of a triggerer on one connection share one look per interval. What has ended before
    a watcher's first look is no news.

    On Airflow 3.3 and newer the asset's state store remembers what was raised: a batch that ends while no triggerer
    runs raises its event later, and a triggerer that is killed within ``EVENT_SETTLE`` seconds after an event may raise
    that one again, never lose it. Below 3.3 each start of a triggerer is a first look.

    :param directory_id: the directory whose batches are watched.
    :param llamabatch_conn_id: the Airflow connection with the API key; an API key itself raises ``ValueError``.
    :param poll_interval: seconds between two looks.
    :param statuses: how a batch has to end to be news, some of ``COMPLETED``, ``FAILED``, ``CANCELLED``; others raise
        ``ValueError``.
    :param project_id: the project, the connection's if not given.
    :param organization_id: the organization, the connection's if not given.
    :param _newer: what a release ahead of this one may have stored; ignored.
    """

    def __init__(
        self,
        directory_id: str,
        llamabatch_conn_id: str = "llamabatch_default",
        poll_interval: float = defaults.WATCH_INTERVAL,
        statuses: Sequence[str] = ("COMPLETED",),
        project_id: str | None = None,
        organization_id: str | None = None,
        **_newer: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        check_conn_id("llamabatch_conn_id", llamabatch_conn_id)
        if (
            not isinstance(statuses, Collection)
            or not statuses
            or any(status not in ENDED for status in statuses)
        ):
            raise ValueError(f"statuses must be some of {', '.join(ENDED)}, not {statuses!r:.200}")
        self.directory_id = directory_id
        self.llamabatch_conn_id = llamabatch_conn_id
        self.poll_interval = poll_interval
        self.statuses = list(statuses)
        self.project_id = project_id
        self.organization_id = organization_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again, none of them a secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "directory_id": self.directory_id,
                "llamabatch_conn_id": self.llamabatch_conn_id,
                "poll_interval": self.poll_interval,
                "statuses": self.statuses,
                "project_id": self.project_id,
                "organization_id": self.organization_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch together with everything else that this process polls, see ``polling.watching``."""
        check_times(poll_interval=self.poll_interval)
        interval = max(defaults.MIN_POLL_INTERVAL, self.poll_interval)
        watch = Watch(self.directory_id, tuple(self.statuses), interval)
        watch.restore(await self._remembered())
        watch.bound(time.time())
        source = WatchedBatches(self.project_id, self.organization_id)
        async with WatchSubscription(self.llamabatch_conn_id, source, watch) as subscription:
            while True:
                batch = (await subscription.next_update()).batch
                if batch is not None:
                    yield TriggerEvent(_payload(batch))  # type: ignore[no-untyped-call]  # Airflow's
                    await asyncio.sleep(defaults.EVENT_SETTLE)
                    watch.confirm(batch.id)
                await self._remember(watch.state)

    async def _remembered(self) -> Any:
        """Return what was raised in an earlier life; that has to be known, so it is asked for until it is."""
        store = self._store
        failures = 0
        while store is not None:
            try:
                return await store.aget(self._key)
            except (
                ValueError
            ):  # Airflow makes one trigger of watchers that are alike, and the store is one asset's
                self.log.warning(
                    "Several assets have this very watcher, so nothing is remembered over a restart; give each "
                    "another poll_interval"
                )
                self.asset_state_store = None
                return None
            except Exception as error:  # Airflow's own trouble
                failures += 1
                self.log.warning("Cannot read the asset's state, will try again: %s", error)
                await asyncio.sleep(BACKOFF.pause(failures, lambda: time.time() % 1))
        return None

    async def _remember(self, state: dict[str, Any] | None) -> None:
        store = self._store
        if store is None or state is None:
            return
        try:
            await store.aset(self._key, state)
        except Exception as error:  # the next time holds all that this one does
            self.log.warning("Cannot write the asset's state: %s", error)

    @property
    def _key(self) -> str:
        # Each has its own: an asset may have a watcher for failures beside one for successes.
        return "_".join(("llamabatch", self.directory_id, *sorted(self.statuses)))

    @property
    def _store(self) -> Any:
        return getattr(self, "asset_state_store", None)  # Airflow 3.3 and newer


def _payload(batch: Seen) -> dict[str, Any]:
    return {
        "batch_id": batch.id,
        "status": batch.status,
        "source_directory_id": batch.directory_id,
        "created_at": batch.created_at,
    }
