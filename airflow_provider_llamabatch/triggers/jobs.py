"""The trigger: waits in the triggerer for many jobs to end. It only reads, and cancels when a person ended the task."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_llamabatch import defaults, metrics, tracing
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.llamacloud.call import check_conn_id
from airflow_provider_llamabatch.polling.loop import Subscription, check_times, wait_state
from airflow_provider_llamabatch.polling.sources import Jobs
from airflow_provider_llamabatch.triggers.killing import CancelsOnKill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_llamabatch.documents.progress import Progress
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.call import Call

_TIMES = ("poll_interval", "deadline", "first_look_at", "since")


class JobsTrigger(CancelsOnKill):
    """
    Fires one ``TriggerEvent`` once every job has ended or has reached the deadline.

    The payload, ``{"jobs", "ended", "deadline"}``, holds counts only: what became of each job is read by the task. All
    times are epoch seconds, fixed before the deferral. Each job has the deadline for itself, so one that hangs is no
    reason for the others not to be seen.

    :param job_ids: the ids of the jobs by type, ``parse_v2`` and ``extract_v2``.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    :param poll_interval: seconds between polls; a hundred jobs take one request.
    :param deadline: when to give up.
    :param first_look_at: when to poll first; at once if not given.
    :param since: when the wait began.
    :param cancel_on_kill: cancel the jobs that still run when a person marks the task failed (Airflow 3.3 and newer).
    :param project_id: the project, the connection's if not given.
    :param organization_id: the organization, the connection's if not given.
    :param _newer: what a worker one release ahead may say; ignored.
    """

    def __init__(
        self,
        job_ids: dict[str, list[str]],
        llamabatch_conn_id: str = "llamabatch_default",
        poll_interval: float = defaults.POLL_INTERVAL,
        deadline: float | None = None,
        first_look_at: float | None = None,
        since: float | None = None,
        cancel_on_kill: bool = False,
        project_id: str | None = None,
        organization_id: str | None = None,
        **_newer: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        check_conn_id("llamabatch_conn_id", llamabatch_conn_id)
        self.job_ids = job_ids
        self.llamabatch_conn_id = llamabatch_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.first_look_at = first_look_at
        self.since = since
        self.cancel_on_kill = cancel_on_kill
        self.project_id = project_id
        self.organization_id = organization_id
        self._ended: list[str] = []  # ids, as they end

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again, none of them a secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "job_ids": self.job_ids,
                "llamabatch_conn_id": self.llamabatch_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "first_look_at": self.first_look_at,
                "since": self.since,
                "cancel_on_kill": self.cancel_on_kill,
                "project_id": self.project_id,
                "organization_id": self.organization_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait together with everything else that this process polls, see ``polling.loop``."""
        from airflow_provider_llamabatch.documents.progress import Progress

        check_times(**{name: getattr(self, name) for name in _TIMES})
        now = time.time()
        deadline = now + defaults.WAIT_TIMEOUT if self.deadline is None else self.deadline
        total = sum(len(ids) for ids in self.job_ids.values())
        progress = Progress(total, time.monotonic)
        async with asyncio.TaskGroup() as group:
            for job_type, ids in self.job_ids.items():
                group.create_task(self._wait(job_type, ids, now, deadline, progress))
        ended = len(self._ended)
        began, reason = self.since or now, metrics.reason_for(ended == total)
        metrics.wait_ended("jobs", reason, time.time() - began)
        tracing.record("llamabatch.wait", began, jobs=total, reason=str(reason))
        payload = {"jobs": total, "ended": ended, "deadline": deadline}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(
        self, job_type: str, ids: list[str], now: float, deadline: float, progress: Progress
    ) -> None:
        """Wait for the jobs of one type, and note those that end in time."""
        waiting = len(ids)
        async with self._subscription(job_type, ids, now, deadline) as subscription:
            while waiting:
                update = await subscription.next_update()
                if (result := update.result) is None:
                    continue
                waiting -= 1
                if result.reason is not Reason.TIMED_OUT:
                    self._ended.append(update.entry.state.key)
                if line := progress.add(failed=result.reason is not Reason.COMPLETED):
                    self.logger().info("Jobs: %s", line)

    def _subscription(self, job_type: str, ids: list[str], now: float, deadline: float) -> Subscription:
        since = now if self.since is None else self.since
        states = [
            wait_state(
                job_id,
                deadline=deadline,
                poll_interval=self.poll_interval,
                since=since,
                first_look_at=self.first_look_at,
                now=now,
            )
            for job_id in ids
        ]
        source = Jobs(job_type, self.project_id, self.organization_id)
        return Subscription(self.llamabatch_conn_id, source, states, listed_from=since)

    async def cancel(self, hook: LlamaBatchHook) -> None:
        """Cancel the jobs that are not known to have ended, several at once; those that have by then are refused."""
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

        cancels: dict[str, Callable[..., Call[Any]]] = {
            "parse_v2": calls.cancel_parse_job,
            "extract_v2": calls.cancel_extract_job,
        }
        ended = set(self._ended)
        asked = [
            cancels[job_type](job_id, project_id=self.project_id, organization_id=self.organization_id)
            for job_type, ids in self.job_ids.items()
            for job_id in ids
            if job_id not in ended
        ]
        remaining, cancelled, last_error = iter(asked), 0, None

        async def one_after_another() -> None:
            nonlocal cancelled, last_error
            for call in remaining:
                try:
                    await hook.asend(call)
                    cancelled += 1
                except LlamaCloudError as error:
                    last_error = error

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(defaults.MAX_CONCURRENCY):
                    group.create_task(one_after_another())
        finally:  # also when the time for a kill is up
            refused = f"; the last refusal was: {last_error}" if last_error is not None else ""
            self.log.info(
                "Cancelled %s of %s jobs since the task was marked failed%s", cancelled, len(asked), refused
            )
