"""What operator and sensor share: begin a wait for a batch, defer it or hold the worker, conclude it, kill it."""

from __future__ import annotations

import time
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_provider_llamabatch import defaults, metrics, xcom
from airflow_provider_llamabatch.batches.events import EventNotUnderstoodError, read_event
from airflow_provider_llamabatch.batches.polling import PollResult, PollState, Reason
from airflow_provider_llamabatch.exceptions import (
    BatchCancelledError,
    BatchFailedError,
    BatchTimeoutError,
    FilesWithoutJobError,
    ResultsMissingError,
    WaitFailedError,
)
from airflow_provider_llamabatch.execution.arguments import checked_seconds
from airflow_provider_llamabatch.execution.deferring import warn_without_triggerer
from airflow_provider_llamabatch.lineage import LineageMixin
from airflow_provider_llamabatch.llamacloud.statuses import is_terminal

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.batches.flow import Flow, Step, T
    from airflow_provider_llamabatch.batches.outcome import Outcome
    from airflow_provider_llamabatch.batches.poller import BatchPoller
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

SPREAD = 0.3  # share of the first gap by which batches made together are set apart
EARLY = 10.0  # seconds (or a tenth) that a deadline lies before execution_timeout


class BatchPollMixin(LineageMixin):
    """
    A task that waits for a batch. The attributes are the arguments that operator and sensor share.

    ``polled`` is the wait that ``on_kill`` is about: set while this worker polls, or has just deferred.
    """

    llamabatch_conn_id: str
    project_id: str | None
    organization_id: str | None
    cancel_on_kill: bool
    cancel_on_timeout: bool
    fail_on_partial_error: bool
    poll_interval: Any
    timeout: Any
    polled: PolledBatch | None = None
    timeout_error: ClassVar[type[Exception]] = BatchTimeoutError

    if TYPE_CHECKING:

        @property
        def log(self) -> Logger:
            """Return the task's log."""

    def on_kill(self) -> None:
        """Cancel the batch that this worker waits for."""
        if self.polled is not None and self.cancel_on_kill:
            self.polled.kill(self.log)

    def begin_poll(
        self,
        hook: LlamaBatchHook,
        batch_id: str,
        *,
        deadline: float,
        since: float | None = None,
        missing_grace: float = defaults.MISSING_GRACE,
    ) -> PolledBatch:
        """Begin the task's wait; ``deadline`` and ``since`` (now, if not given) are epoch seconds."""
        from airflow_provider_llamabatch.batches.poller import BatchPoller
        from airflow_provider_llamabatch.llamacloud.call import checked_id

        self.note(batch_id=checked_id("batch_id", batch_id))
        now = time.time()
        state = PollState(
            batch_id,
            deadline,
            max(checked_seconds("poll_interval", self.poll_interval), defaults.MIN_POLL_INTERVAL),
            since=now if since is None else since,
            next_poll=now,
            missing_grace=missing_grace,
        )
        poller = BatchPoller(state, self.log, time.time, self.project_id, self.organization_id)
        self.polled = PolledBatch(hook, poller)
        return self.polled

    def defer_poll(self) -> None:
        """Hand the wait over to the triggerer; Airflow's own timeout lies behind the deadline."""
        from airflow_provider_llamabatch.triggers.batch import BatchTrigger

        assert self.polled is not None
        warn_without_triggerer(self.log)
        now, state, batch = time.time(), self.polled.state, self.polled.poller.batch
        first_gap = max(defaults.FIRST_POLL_AFTER, state.gap(now))
        first_gap *= 1 + zlib.crc32(state.key.encode()) / 2**32 * SPREAD  # the same at each try
        created = batch.created_at if batch else None
        trigger = BatchTrigger(
            batch_id=state.key,
            llamabatch_conn_id=self.llamabatch_conn_id,
            poll_interval=state.poll_interval,
            deadline=state.deadline,
            first_look_at=now + first_gap,
            since=state.since,
            created_at=created.timestamp() if created else None,
            missing_grace=state.missing_grace,
            cancel_on_kill=self.cancel_on_kill,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )
        self.log.info(
            "Batch %s is left to a triggerer: first poll in %.0f s, then at least every %.0f s, until %s",
            state.key,
            first_gap,
            state.poll_interval,
            datetime.fromtimestamp(state.deadline, UTC).isoformat(" ", "seconds"),
        )
        metrics.wait_started("batch", "triggerer")
        backstop = max(0.0, state.deadline - now) + 2 * state.poll_interval + defaults.BACKSTOP
        cast("BaseOperator", self).defer(
            trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=backstop)
        )

    def conclude_poll(self, context: Context, result: PollResult) -> list[xcom.JobReferenceEntry]:
        """
        Return the job references of a completed batch, after pushing ``file_errors`` and ``batch``; or raise.

        Of a batch that was cancelled ``job_references`` are pushed, as far as they are told.
        """
        from airflow_provider_llamabatch.batches.poller import ResultsStayedNullError

        assert self.polled is not None
        polled = self.polled
        try:
            concluded = polled.carry_out(polled.poller.conclude(result))
        except ResultsStayedNullError as error:
            raise ResultsMissingError(str(error)) from None
        if isinstance(concluded, PollResult):
            failure = self._failure(concluded, polled)
            was_cancelled = concluded.reason is Reason.TIMED_OUT and self.cancel_on_timeout
            if was_cancelled or concluded.reason is Reason.CANCELLED:
                self._publish_finished(context, polled)
            raise failure
        return self._published(context, concluded, polled)

    def _publish_finished(self, context: Context, polled: PolledBatch) -> None:
        """Push the jobs that files of a cancelled batch have: those that have ended are paid for."""
        outcome = polled.carry_out(polled.poller.finished())
        if outcome is not None and outcome.job_references:
            self._keep_finished(polled.hook, context, outcome.job_references)
            self.log.info(
                "%s of its files have jobs (XCom job_references); those that had ended keep their results",
                len(outcome.job_references),
            )

    def _keep_finished(
        self, _hook: LlamaBatchHook, context: Context, references: list[xcom.JobReferenceEntry]
    ) -> None:
        xcom.push_job_references(context, references)

    def _published(
        self, context: Context, outcome: Outcome, polled: PolledBatch
    ) -> list[xcom.JobReferenceEntry]:
        from airflow_provider_llamabatch.batches.outcome import named_errors, problem_with

        batch_id, batch = polled.state.key, polled.poller.batch
        assert batch is not None
        xcom.push_outcome(context, batch, outcome)
        metrics.files_without_job(len(outcome.file_errors))
        self.note(read=[batch.source_directory_id], job_references=outcome.job_references)
        problem = problem_with(outcome, fail_on_partial_error=self.fail_on_partial_error)
        if problem is not None:
            raise FilesWithoutJobError(f"Batch {batch_id} completed, but {problem}")
        if outcome.file_errors:
            self.log.warning("%s (all of them are in XCom file_errors)", named_errors(outcome))
        elif not outcome.job_references:
            self.log.warning(
                "Batch %s completed without any file: its directory was empty. Upload files into it first",
                batch_id,
            )
        self.log.info("Batch %s completed with %s jobs", batch_id, len(outcome.job_references))
        return outcome.job_references

    def _failure(self, result: PollResult, polled: PolledBatch) -> Exception:
        batch_id, said = polled.state.key, f" {result.message}" if result.message else ""
        if result.reason is Reason.TIMED_OUT and is_terminal(polled.state.status):
            return ResultsMissingError(
                f"Batch {batch_id} is {polled.state.status}, but its results could not be read before the deadline; "
                f"a BatchSensor for this batch can ask again.{said}"
            )
        if result.reason is Reason.TIMED_OUT:
            return self.timeout_error(self._decide_fate(result, polled))
        if result.reason is Reason.FAILED:
            return BatchFailedError(
                f"Batch {batch_id} ended as FAILED: its orchestration failed, so there is no reliable result per "
                f"file. Waiting again cannot help; clear the task that submits it to run a new batch.{said}"
            )
        if result.reason is Reason.CANCELLED:
            return BatchCancelledError(
                f"Batch {batch_id} ended as CANCELLED; files that had finished by then keep their jobs "
                f"(XCom job_references).{said}"
            )
        if result.reason is Reason.NOT_FOUND:
            return WaitFailedError(
                f"LlamaCloud has no batch {batch_id} for this key and project (not_found).{said}"
            )
        return WaitFailedError(
            f"Gave up on batch {batch_id} ({result.reason.value}); the batch itself was left alone and may still "
            f"run.{said}"
        )

    def _decide_fate(self, result: PollResult, polled: PolledBatch) -> str:
        """Cancel the batch at its deadline if that is asked for, and say what became of it."""
        from airflow_provider_llamabatch.hooks.connections import explained

        state = polled.state
        seen = f"is still {state.status}" if state.status else "could not be polled even once"
        still = (
            f"Batch {state.key} {seen} at its deadline ({checked_seconds('timeout', self.timeout):.0f} s);"
        )
        if result.message:
            still += f" the last poll failed ({result.message});"
        if not self.cancel_on_timeout:
            return f"{still} it was left running (cancel_on_timeout=False), so it goes on and is billed."
        try:
            status = polled.cancel().status
        except Exception as error:  # some are Airflow's own
            return f"{still} cancelling it failed, so it may still run: {explained(error)}"
        return f"{still} it was asked to cancel (cancel_on_timeout=True) and is {status}."


class PolledBatch:
    """A wait and the hook that carries it out."""

    def __init__(self, hook: LlamaBatchHook, poller: BatchPoller) -> None:
        self.hook, self.poller = hook, poller

    @property
    def state(self) -> PollState:
        """Return where the wait stands."""
        return self.poller.state

    def carry_out(self, flow: Flow[T]) -> T:
        """Carry a flow of the poller out."""
        from airflow_provider_llamabatch.batches.flow import Send, Sleep, drive
        from airflow_provider_llamabatch.llamacloud.retries import ONCE

        def perform(step: Step) -> Any:
            if isinstance(step, Send):
                with metrics.polling("get"):
                    return self.hook.send(step.call, ONCE if step.once else None, within=step.within)
            assert isinstance(step, Sleep)  # nothing else is asked for by a poll
            time.sleep(step.seconds)
            return None

        return drive(flow, perform)

    def cancel(self) -> Any:
        """Ask for the batch to be cancelled, before Airflow ends the task; returns it as it is after that."""
        from airflow_provider_llamabatch.batches.cancelling import cancel
        from airflow_provider_llamabatch.batches.flow import Send, drive

        poller, until = self.poller, time.monotonic() + defaults.CANCEL_TIMEOUT

        def perform(step: Step) -> Any:
            assert isinstance(step, Send)
            within = max(defaults.MIN_REQUEST_SECONDS, until - time.monotonic())
            return self.hook.send(step.call, within=within)

        flow = cancel(self.state.key, project_id=poller.project_id, organization_id=poller.organization_id)
        return drive(flow, perform)

    def kill(self, log: Logger) -> None:
        """Cancel the batch from a signal handler, and say what became of it."""
        from airflow_provider_llamabatch.hooks.connections import explained

        try:
            batch = self.cancel()
            log.info("Asked to cancel batch %s since the task was killed; it is %s", batch.id, batch.status)
        except Exception as error:  # some are Airflow's own
            log.warning("Batch %s was not cancelled, it may still run: %s", self.state.key, explained(error))


def read_result(event: Any) -> tuple[str, PollResult, float | None]:
    """Return the batch id, the end of the wait that the trigger's event tells of, and the wait's deadline."""
    try:
        told = read_event(event)
    except EventNotUnderstoodError as error:
        raise WaitFailedError(f"The task was resumed, but {error}") from error
    return told.batch_id, told.result, told.deadline


def deadline_in(seconds: float, execution_timeout: timedelta | None, began: float | None = None) -> float:
    """
    Return the epoch time at which a wait that begins now gives up.

    Airflow does not apply ``execution_timeout`` to a deferred task on every version, and kills a task that reaches
    it; so it counts as a deadline here, a little early, to decide the batch's fate in time. It counts from ``began``,
    when the task came onto its worker: what a submission took before the wait is part of it.
    """
    now = time.time()
    deadline = now + seconds
    if execution_timeout is not None:
        whole = execution_timeout.total_seconds()
        deadline = min(deadline, (began or now) + whole - min(EARLY, whole / 10))
    return deadline
