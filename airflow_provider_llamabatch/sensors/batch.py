"""The sensor: wait for a batch to end and return its per-file job references."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_llamabatch.batches.waiting import DEFAULT_POLL_INTERVAL, Ended, Reason
from airflow_provider_llamabatch.exceptions import BatchSensorTimeout, fail_fast_on_permanent_errors
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.operators.waiting import (
    BatchWait,
    batch_wait,
    checked_seconds,
    deadline_in,
    default_deferrable,
    defer,
    ending,
    timed_out_by_airflow,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context


class BatchSensor(BaseSensorOperator):
    """
    Wait for a LlamaCloud batch to end and return its job references: a list sorted by ``source_directory_file_id``.

    Entries are ``{"source_directory_file_id", "job_reference": {"id", "type"}, "error_message"}``, ready for dynamic
    task mapping. Files that got no job are pushed as XCom ``file_errors``, the batch without its results as
    ``batch``. Waits in the triggerer unless told otherwise; ``mode`` ``poke`` and ``reschedule`` give the same
    results and errors. COMPLETED says that every file was mapped to a job, not that the jobs are done.

    :param batch_id: the batch to wait for.
    :param poll_interval: seconds between looks; the same as ``poke_interval``, which wins if both are given.
    :param deferrable: wait in the triggerer.
    :param cancel_on_kill: cancel the batch when the task is killed while it waits.
    :param cancel_on_timeout: cancel the batch when ``timeout`` has passed.
    :param fail_on_partial_error: fail when some file got no job; when no file got one, the task always fails.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = ("batch_id", "llamabatch_conn_id")
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        batch_id: str,
        poll_interval: float | timedelta = DEFAULT_POLL_INTERVAL,
        deferrable: bool = default_deferrable(),
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = False,
        fail_on_partial_error: bool = False,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("poke_interval", poll_interval)
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.fail_on_partial_error = fail_on_partial_error
        self.llamabatch_conn_id = llamabatch_conn_id
        self.waiting: BatchWait | None = None  # what on_kill is about

    def execute(self, context: Context) -> Any:
        """Look once, then wait: in the triggerer, or as ``mode`` says."""
        with LlamaBatchHook(self.llamabatch_conn_id) as hook:
            with fail_fast_on_permanent_errors():
                self.waiting = self._begin(hook, context)
            if not self.deferrable:
                return super().execute(context)
            try:
                references = self._look(context)
                if references is None:
                    defer(self, self.waiting)
            except (AirflowFailException, AirflowSensorTimeout) as error:
                if self.soft_fail or self.never_fail:  # as Airflow does it for every other way of waiting
                    raise AirflowSkipException(f"Skipped instead of failed: {error}") from error
                raise
        return references

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; the value is the list of job references once the batch has completed."""
        references = self._look(context)
        return PokeReturnValue(references is not None, references)

    def execute_complete(self, context: Context, event: Any) -> list[dict[str, Any]]:
        """Go on after the trigger has fired: collect the references, or fail with the reason."""
        batch_id, ended = ending(event)
        return self._conclude(context, batch_id, ended)

    def deferral_timed_out(self, context: Context) -> list[dict[str, Any]]:
        """Go on after Airflow has ended the deferral: the batch's fate is decided as at any deadline."""
        return self._conclude(context, self.batch_id, Ended(Reason.TIMED_OUT))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume as usual, or at ``deferral_timed_out``; soft_fail and never_fail are applied by the base class."""
        if timed_out_by_airflow(next_method, next_kwargs):
            next_method, next_kwargs = "deferral_timed_out", {}
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the batch that this worker waits for."""
        if self.waiting is not None and self.cancel_on_kill:
            self.waiting.kill()

    def _look(self, context: Context) -> list[dict[str, Any]] | None:
        """Return the references, None while the wait goes on, or raise the reason it failed for."""
        with fail_fast_on_permanent_errors():
            if self.waiting is None:
                raise RuntimeError("poke only works within execute, which begins the wait")
            ended = self.waiting.look()
            return None if ended is None else self.waiting.conclude(context, ended)

    def _begin(self, hook: LlamaBatchHook, context: Context) -> BatchWait:
        if self.deferrable or not self.reschedule:
            return self._batch_wait(hook, self.batch_id, deadline_in(self.timeout, self.execution_timeout))
        since = first_poke_at(context) or time.time()
        return self._batch_wait(hook, self.batch_id, since + self.timeout, since)

    def _conclude(self, context: Context, batch_id: str, ended: Ended) -> list[dict[str, Any]]:
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            return self._batch_wait(hook, batch_id, time.time()).conclude(context, ended)

    def _batch_wait(
        self, hook: LlamaBatchHook, batch_id: str, deadline: float, since: float | None = None
    ) -> BatchWait:
        return batch_wait(
            self,
            hook,
            batch_id,
            timeout=self.timeout,
            poll_interval=checked_seconds("poll_interval", self.poke_interval),
            deadline=deadline,
            since=since,
            timeout_error=BatchSensorTimeout,
        )


def first_poke_at(context: Context) -> float | None:
    """Return when a rescheduled sensor began (epoch seconds), None at its first poke."""
    ti = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        began = ti.get_first_reschedule_date(context)
    else:  # Airflow 2
        from airflow.sensors.base import _orig_start_date

        retries = ti.task.retries or 0
        began = _orig_start_date(
            ti.dag_id, ti.task_id, ti.run_id, ti.map_index, try_number=ti.max_tries - retries + 1
        )
    return began.timestamp() if began else None
