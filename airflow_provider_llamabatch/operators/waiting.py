"""The worker's share of a wait, the same for operator and sensor: look, wait here, collect, or fail."""

from __future__ import annotations

import os
import random
import time
import zlib
from configparser import RawConfigParser
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import conf

from airflow_provider_llamabatch.batches.events import EventNotUnderstoodError, read_event
from airflow_provider_llamabatch.batches.waiting import (
    SHORTEST_INTERVAL,
    Ended,
    Reason,
    Wait,
    gap,
    pause,
)
from airflow_provider_llamabatch.exceptions import (
    BatchCancelledError,
    BatchFailedError,
    BatchTimeoutError,
    FilesWithoutJobError,
    ResultsMissingError,
    WaitFailedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.models import Batch, BatchResult
    from airflow_provider_llamabatch.triggers.batch import BatchTrigger

FIRST_LOOK_AFTER = 10.0  # seconds; a task resumed sooner can be marked failed by the scheduler
SPREAD = 0.3  # share of the first gap by which batches made together are set apart
EARLY = 10.0  # seconds (or a tenth) that a deadline lies before execution_timeout
BACKSTOP = 120.0  # seconds that the framework's timeout lies behind the deadline, besides two polls


@dataclass(slots=True)
class BatchWait:
    """A wait seen from the worker. ``timeout_error`` is the class raised when the deadline passes."""

    hook: LlamaBatchHook
    wait: Wait
    log: Logger
    timeout: float  # seconds; what the deadline was made of, for the message
    cancel_on_timeout: bool = False
    fail_on_partial_error: bool = False
    timeout_error: type[Exception] = BatchTimeoutError
    batch: Batch | None = None
    failures: int = 0
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def look(self) -> Ended | None:
        """Look once; returns how the wait ended, or None while it goes on."""
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, LlamaCloudError
        from airflow_provider_llamabatch.llamacloud.retries import ONCE

        known = self.wait.status
        try:
            self.batch = self.hook.send(calls.get_batch(self.wait.batch_id), ONCE)
        except InvalidInputError:
            raise
        except LlamaCloudError as error:
            self.failures += 1
            ended = self.wait.stumbled(error, self.clock(), pause(self.failures, error, random.random))
            if ended is None:
                self.log.warning("Could not look at batch %s, will look again: %s", self.wait.batch_id, error)
            return ended
        self.failures = 0
        if self.batch.status != known:
            self.log.info("Batch %s is %s", self.batch.id, self.batch.status)
        return self.wait.saw(self.batch.status, self.clock())

    def wait_here(self) -> Ended:
        """Hold the worker until the wait has ended."""
        while (ended := self.look()) is None:
            self.sleep(max(0.0, self.wait.next_look - self.clock()))
        return ended

    def conclude(self, context: Context, ended: Ended) -> list[dict[str, Any]]:
        """
        Return the job references of a completed batch, after pushing ``file_errors`` and ``batch``; or raise.

        A timeout is looked at once more first: what ended since the last look counts.
        """
        if ended.reason is Reason.TIMED_OUT:
            ended = self.look() or ended
        if ended.reason is Reason.COMPLETED:
            return self._collect(context)
        batch_id, said = self.wait.batch_id, f" {ended.message}" if ended.message else ""
        if ended.reason is Reason.TIMED_OUT:
            raise self.timeout_error(self._timeout_message())
        if ended.reason is Reason.FAILED:
            raise BatchFailedError(
                f"Batch {batch_id} ended as FAILED: its orchestration failed, so there is no reliable result per "
                f"file. Waiting again cannot help; clear the task that submits it to run a new batch.{said}"
            )
        if ended.reason is Reason.CANCELLED:
            raise BatchCancelledError(
                f"Batch {batch_id} ended as CANCELLED; files that had finished by then keep their jobs.{said}"
            )
        raise WaitFailedError(
            f"Gave up on batch {batch_id} ({ended.reason.value}); the batch itself was left alone and may still "
            f"run.{said}"
        )

    def trigger(self, *, conn_id: str, cancel_on_kill: bool) -> BatchTrigger:
        """Return the trigger that takes the wait over."""
        from airflow_provider_llamabatch.triggers.batch import BatchTrigger

        now, wait = self.clock(), self.wait
        made_at = self.batch.created_at if self.batch else None
        first_gap = max(FIRST_LOOK_AFTER, gap(now - wait.since, wait.poll_interval))
        spread = _fraction(wait.batch_id) * SPREAD * first_gap
        return BatchTrigger(
            batch_id=wait.batch_id,
            llamabatch_conn_id=conn_id,
            poll_interval=wait.poll_interval,
            deadline=wait.deadline,
            first_look_at=now + first_gap + spread,
            since=wait.since,
            created_at=made_at.timestamp() if made_at else None,
            cancel_on_kill=cancel_on_kill,
        )

    def backstop(self) -> float:
        """Return the seconds after which Airflow itself ends the deferral, should no triggerer be there to do it."""
        return max(0.0, self.wait.deadline - self.clock()) + 2 * self.wait.poll_interval + BACKSTOP

    def kill(self) -> None:
        """Cancel the batch from a signal handler: with a connection of its own, the other may be in use."""
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
        from airflow_provider_llamabatch.llamacloud.transport import Client

        try:
            with Client(self.hook.get_conn().settings) as client:
                batch = client.send(calls.cancel_batch(self.wait.batch_id))
            self.log.info("Cancelled batch %s since the task was killed; it is %s", batch.id, batch.status)
        except LlamaCloudError as error:
            self.log.warning("Batch %s was not cancelled, it may still run: %s", self.wait.batch_id, error)

    def _collect(self, context: Context) -> list[dict[str, Any]]:
        from airflow_provider_llamabatch.batches.outcome import outcome_of, problem_with, without_results

        results = self._results()
        outcome = outcome_of(results)
        ti = context["ti"]
        if self.batch is not None:
            ti.xcom_push(key="batch", value=without_results(self.batch))
        ti.xcom_push(key="file_errors", value=outcome.file_errors)
        problem = problem_with(outcome, fail_on_partial_error=self.fail_on_partial_error)
        if problem is not None:
            raise FilesWithoutJobError(f"Batch {self.wait.batch_id} completed, but {problem}")
        if outcome.file_errors:
            self.log.warning(
                "%s of %s files got no job: see XCom file_errors", len(outcome.file_errors), len(results)
            )
        if not results:
            self.log.warning(
                "Batch %s completed without any file: its directory was empty", self.wait.batch_id
            )
        self.log.info("Batch %s completed with %s jobs", self.wait.batch_id, len(outcome.job_references))
        return outcome.job_references

    def _results(self) -> list[BatchResult]:
        """Return the per-file results; right after COMPLETED they may still be null for a moment."""
        from airflow_provider_llamabatch.batches.outcome import RESULTS_PAUSES

        for rest in (*RESULTS_PAUSES, None):
            self.batch = self.hook.get_batch(self.wait.batch_id, expand_results=True)
            if self.batch.results is not None:
                return self.batch.results
            if rest is not None:
                self.sleep(rest)
        raise ResultsMissingError(
            f"Batch {self.wait.batch_id} is {self.batch.status if self.batch else 'gone'}, but its results stayed null "
            f"for {sum(RESULTS_PAUSES):.0f} s; a BatchSensor for this batch can look again."
        )

    def _timeout_message(self) -> str:
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

        batch_id = self.wait.batch_id
        seen = f"is still {self.wait.status}" if self.wait.status else "could not be looked at even once"
        still = f"Batch {batch_id} {seen} at its deadline ({self.timeout:.0f} s);"
        if not self.cancel_on_timeout:
            return f"{still} it was left running (cancel_on_timeout=False), so it goes on and is billed."
        try:
            status = self.hook.cancel_batch(batch_id).status
        except LlamaCloudError as error:
            return f"{still} cancelling it failed, so it may still run: {error}"
        return f"{still} it was asked to cancel (cancel_on_timeout=True) and is {status}."


class WaitingTask(Protocol):
    """What a task that waits has: the arguments that operator and sensor share."""

    llamabatch_conn_id: str
    cancel_on_kill: bool
    cancel_on_timeout: bool
    fail_on_partial_error: bool

    @property
    def log(self) -> Logger:
        """Return the task's log."""

    def defer(self, *, trigger: BatchTrigger, method_name: str, timeout: timedelta) -> None:
        """Hand the task over to the triggerer."""


def batch_wait(
    task: WaitingTask,
    hook: LlamaBatchHook,
    batch_id: str,
    *,
    timeout: float,
    poll_interval: float,
    deadline: float,
    since: float | None = None,
    timeout_error: type[Exception] = BatchTimeoutError,
) -> BatchWait:
    """Return the task's wait; ``deadline`` and ``since`` (now, if not given) are epoch seconds."""
    now = time.time()
    began = now if since is None else since
    return BatchWait(
        hook=hook,
        wait=Wait(batch_id, deadline, max(poll_interval, SHORTEST_INTERVAL), since=began, next_look=now),
        log=task.log,
        timeout=timeout,
        cancel_on_timeout=task.cancel_on_timeout,
        fail_on_partial_error=task.fail_on_partial_error,
        timeout_error=timeout_error,
    )


def defer(task: WaitingTask, waiting: BatchWait) -> None:
    """Hand the wait over to the triggerer, with a backstop behind the deadline."""
    task.defer(
        trigger=waiting.trigger(conn_id=task.llamabatch_conn_id, cancel_on_kill=task.cancel_on_kill),
        method_name="execute_complete",
        timeout=timedelta(seconds=waiting.backstop()),
    )


def ending(event: Any) -> tuple[str, Ended]:
    """Return the batch id and the end of the wait that the trigger's event tells of."""
    try:
        told = read_event(event)
    except EventNotUnderstoodError as error:
        raise WaitFailedError(f"The task was resumed, but {error}") from error
    return told.batch_id, told.ended


def default_deferrable() -> bool:
    """
    Return ``[operators] default_deferrable`` where the deployment sets it, and True where it does not.

    Airflow's own default for the option is False, so the parser is asked whether somebody has set it.
    """
    option = ("operators", "default_deferrable")
    is_set = "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE" in os.environ or RawConfigParser.has_option(
        conf, *option
    )
    return bool(conf.getboolean(*option)) if is_set else True


def timed_out_by_airflow(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """Say whether Airflow resumes the task because the backstop passed: the triggerer never answered."""
    return next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error")).lower()


def deadline_in(seconds: float, execution_timeout: timedelta | None) -> float:
    """
    Return the epoch time at which a wait that begins now gives up.

    Airflow does not apply ``execution_timeout`` to a deferred task on every version, and kills a task that reaches
    it; so it counts as a deadline here, a little early, to decide the batch's fate in time.
    """
    if execution_timeout is not None:
        whole = execution_timeout.total_seconds()
        seconds = min(seconds, whole - min(EARLY, whole / 10))
    return time.time() + seconds


def checked_seconds(argument: str, value: float | timedelta) -> float:
    """Return a duration in seconds; raises ``InvalidInputError`` naming the argument."""
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise InvalidInputError(
            argument, f"must be a number of seconds above 0, or a timedelta, not {value!r:.100}"
        )
    return float(seconds)


def _fraction(text: str) -> float:
    """Return a number from 0 to 1 that is always the same for the same text."""
    return zlib.crc32(text.encode()) / 2**32
