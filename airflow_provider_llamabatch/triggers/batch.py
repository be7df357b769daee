"""The trigger: waits in the triggerer for a batch to end. It only reads, and cancels when a person ended the task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_llamabatch import defaults, metrics, tracing
from airflow_provider_llamabatch.batches.events import WaitEvent
from airflow_provider_llamabatch.llamacloud.call import check_conn_id
from airflow_provider_llamabatch.polling.loop import UNKNOWN_AGE, Subscription, check_times, wait_state
from airflow_provider_llamabatch.polling.sources import Batches
from airflow_provider_llamabatch.triggers.killing import CancelsOnKill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

MAX_WAIT = 7 * 24 * 3600.0  # seconds, where no deadline is given: Airflow's default for sensors

_TIMES = ("poll_interval", "deadline", "first_look_at", "since", "created_at", "missing_grace")
_KNOWN_STATUSES = frozenset({"PENDING", "THROTTLED", "RUNNING"})


class BatchTrigger(CancelsOnKill):
    """
    Fires one ``TriggerEvent`` with a ``WaitEvent`` payload once the batch has ended or the deadline has passed.

    All times are epoch seconds, fixed before the deferral, so that a restart of the triggerer changes none of them.

    :param batch_id: the batch to wait for.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    :param poll_interval: seconds between polls once the batch is no longer young.
    :param deadline: when to give up; seven days after the start if not given.
    :param first_look_at: when to poll first; at once if not given.
    :param since: when the wait began.
    :param created_at: when the batch was made, by the service's clock; bounds the lists that are read.
    :param missing_grace: seconds after this triggerer began in which a 404 may just be a lagging service.
    :param cancel_on_kill: cancel the batch when a person marks the task failed (Airflow 3.3 and newer).
    :param project_id: the project, the connection's if not given.
    :param organization_id: the organization, the connection's if not given.
    :param _newer: what a worker one release ahead may say; ignored.
    """

    def __init__(
        self,
        batch_id: str,
        llamabatch_conn_id: str = "llamabatch_default",
        poll_interval: float = defaults.POLL_INTERVAL,
        deadline: float | None = None,
        first_look_at: float | None = None,
        since: float | None = None,
        created_at: float | None = None,
        missing_grace: float = defaults.MISSING_GRACE,
        cancel_on_kill: bool = True,
        project_id: str | None = None,
        organization_id: str | None = None,
        **_newer: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        check_conn_id("llamabatch_conn_id", llamabatch_conn_id)
        self.batch_id = batch_id
        self.llamabatch_conn_id = llamabatch_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.first_look_at = first_look_at
        self.since = since
        self.created_at = created_at
        self.missing_grace = missing_grace
        self.cancel_on_kill = cancel_on_kill
        self.project_id = project_id
        self.organization_id = organization_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again, none of them a secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_id": self.batch_id,
                "llamabatch_conn_id": self.llamabatch_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "first_look_at": self.first_look_at,
                "since": self.since,
                "created_at": self.created_at,
                "missing_grace": self.missing_grace,
                "cancel_on_kill": self.cancel_on_kill,
                "project_id": self.project_id,
                "organization_id": self.organization_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait together with everything else that this process polls, see ``polling.loop``."""
        check_times(**{name: getattr(self, name) for name in _TIMES})
        since = time.time() if self.since is None else self.since
        deadline = since + MAX_WAIT if self.deadline is None else self.deadline
        async with self._subscription(time.time(), since, deadline) as subscription:
            while (update := await subscription.next_update()).result is None:
                self._say(update.status)
        result = update.result
        metrics.wait_ended("batch", result.reason, time.time() - since)
        tracing.record("llamabatch.wait", since, batch_id=self.batch_id, reason=str(result.reason))
        event = WaitEvent(self.batch_id, result.reason.value, result.message, deadline)
        yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]  # Airflow's

    def _subscription(self, now: float, since: float, deadline: float) -> Subscription:
        state = wait_state(
            self.batch_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
            since=since,
            first_look_at=self.first_look_at,
            missing_grace=self.missing_grace,
            now=now,
        )
        return Subscription(
            self.llamabatch_conn_id,
            Batches(self.project_id, self.organization_id),
            [state],
            listed_from=since - UNKNOWN_AGE,
            created_at=self.created_at,
        )

    async def cancel(self, hook: LlamaBatchHook) -> None:
        """Cancel the batch."""
        batch = await hook.acancel_batch(
            self.batch_id, project_id=self.project_id, organization_id=self.organization_id
        )
        self.log.info(
            "Asked to cancel batch %s since the task was marked failed; it is %s", batch.id, batch.status
        )

    def _say(self, status: str) -> None:
        known = status in _KNOWN_STATUSES
        hint = "" if known else ", a word this version does not know: taken as still running"
        # The class's logger: one for each of a thousand triggers is a kilobyte each.
        self.logger().info("Batch %s is %s%s", self.batch_id, status, hint)
