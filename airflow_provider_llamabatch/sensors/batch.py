"""The sensor: wait for a batch to end and return its per-file job references."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_llamabatch import configuration, defaults, metrics
from airflow_provider_llamabatch.airflow_compat import first_poke_at, timed_out_by_airflow
from airflow_provider_llamabatch.batches import polling
from airflow_provider_llamabatch.batches.polling import PollResult, Reason
from airflow_provider_llamabatch.exceptions import (
    BatchSensorTimeout,
    fail_fast_on_permanent_errors,
    skip_if_soft,
)
from airflow_provider_llamabatch.execution.arguments import (
    check_booleans,
    check_conn_id,
    check_ids,
    check_sensor_timeout,
    checked_seconds,
    poll_as_poke,
)
from airflow_provider_llamabatch.execution.batch_polling import (
    BatchPollMixin,
    deadline_in,
    read_result,
)
from airflow_provider_llamabatch.execution.deferring import say_that_a_worker_is_held
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.links import OPERATOR_LINKS, push_found_link, push_link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_llamabatch.xcom import JobReferenceEntry


class BatchSensor(BatchPollMixin, BaseSensorOperator):
    """
    Wait for a LlamaCloud batch to end and return its job references: a list sorted by ``source_directory_file_id``.

    Entries are ``{"source_directory_file_id", "job_reference": {"id", "type"}, "error_message"}``, ready for dynamic
    task mapping. Files that got no job are pushed as XCom ``file_errors``, the batch without its results as
    ``batch``. Waits in the triggerer unless told otherwise; ``mode`` ``poke`` and ``reschedule`` give the same
    results and errors. COMPLETED says that every file was mapped to a job, not that the jobs are done. Raises
    ``ValueError`` for a wrong constant.

    :param batch_id: the batch to wait for.
    :param poll_interval: seconds between polls; the same as ``poke_interval``; two that differ are an error.
    :param deferrable: wait in the triggerer; as the deployment configures it where not given, like ``poll_interval``.
    :param cancel_on_kill: cancel the batch when the task is killed while it waits.
    :param cancel_on_timeout: cancel the batch when ``timeout`` has passed.
    :param fail_on_partial_error: fail when some file got no job; when no file got one, the task always fails.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    :param project_id: the project, the connection's if not given.
    :param organization_id: the organization, the connection's if not given.
    """

    template_fields: Sequence[str] = ("batch_id", "llamabatch_conn_id", "project_id", "organization_id")
    timeout_error = BatchSensorTimeout
    operator_extra_links = OPERATOR_LINKS
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        batch_id: str | XComArg,
        poll_interval: float | timedelta | None = None,
        deferrable: bool | None = None,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = False,
        fail_on_partial_error: bool = False,
        llamabatch_conn_id: str = "llamabatch_default",
        project_id: str | None = None,
        organization_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        poll_as_poke(poll_interval, kwargs)
        check_sensor_timeout(kwargs)
        super().__init__(**kwargs)
        check_ids(batch_id=batch_id)
        check_booleans(
            deferrable=deferrable,
            cancel_on_kill=cancel_on_kill,
            cancel_on_timeout=cancel_on_timeout,
            fail_on_partial_error=fail_on_partial_error,
        )
        self.batch_id = cast("str", batch_id)
        self.deferrable = configuration.deferrable(deferrable)
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.fail_on_partial_error = fail_on_partial_error
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)
        self.project_id = project_id
        self.organization_id = organization_id

    @property
    def poll_interval(self) -> float:
        """Return the seconds between polls."""
        return checked_seconds("poll_interval", self.poke_interval)

    def execute(self, context: Context) -> Any:
        """Poll once, then wait: in the triggerer, or as ``mode`` says."""
        with (
            skip_if_soft(self),
            fail_fast_on_permanent_errors(),
            LlamaBatchHook(self.llamabatch_conn_id) as hook,
        ):
            push_link(context, hook, self.project_id)
            self._begin(hook, context)
            if not self.deferrable:
                if not self.reschedule:
                    say_that_a_worker_is_held(self.log)
                    metrics.wait_started("batch", "worker")
                return super().execute(context)
            references = self._poll(context)
            push_found_link(context, hook, self.project_id, self.polled.poller.batch if self.polled else None)
            if references is None:
                self.defer_poll()
        return references

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once; the value is the list of job references once the batch has completed."""
        references = self._poll(context)
        return PokeReturnValue(references is not None, references)

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Return the seconds until the next poke, which is at the deadline at the latest: Airflow may kill the task."""
        assert self.polled is not None
        left = self.polled.state.deadline - time.time()
        return max(0.0, min(super()._get_next_poke_interval(*args, **kwargs), left))

    def execute_complete(self, context: Context, event: Any) -> list[JobReferenceEntry]:
        """Go on after the trigger has fired: collect the references, or fail with the reason."""
        batch_id, result, deadline = read_result(event)
        return self._conclude(context, batch_id, result, deadline)

    def deferral_timed_out(self, context: Context) -> list[JobReferenceEntry]:
        """Go on after Airflow has ended the deferral: the batch's fate is decided as at any deadline."""
        return self._conclude(context, self.batch_id, PollResult(Reason.TIMED_OUT))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume as usual, or at ``deferral_timed_out``; soft_fail and never_fail are applied by the base class."""
        if timed_out_by_airflow(next_method, next_kwargs):
            next_method, next_kwargs = "deferral_timed_out", {}
        return super().resume_execution(next_method, next_kwargs, context)

    def _poll(self, context: Context) -> list[JobReferenceEntry] | None:
        """Return the references, None while the wait goes on, or raise the reason it failed for."""
        if self.polled is None:
            raise RuntimeError("poke only works within execute, which begins the wait")
        with fail_fast_on_permanent_errors():
            polled, state = self.polled, self.polled.state
            result = polled.carry_out(polled.poller.poll())
            # What the API decides counts once it is repeated, and a rescheduled poke knows nothing of the one before.
            until = time.time() + polling.ROTATION_GRACE + polling.CONFIRM_AFTER
            while result is None and state.doubted and self._forgets and time.time() < until:
                time.sleep(max(0.0, state.next_poll - time.time()))
                result = polled.carry_out(polled.poller.poll())
            if result is not None and not self.deferrable:
                metrics.wait_ended("batch", result.reason, time.time() - state.since)
            return None if result is None else self.conclude_poll(context, result)

    @property
    def _forgets(self) -> bool:
        """Say whether each poke is a process of its own."""
        return bool(self.reschedule) and not self.deferrable

    def _begin(self, hook: LlamaBatchHook, context: Context) -> None:
        since, deadline = None, deadline_in(self.timeout, self.execution_timeout)
        if self._forgets:
            began = first_poke_at(context)
            if began is None:
                metrics.wait_started("batch", "worker")
            since = began or time.time()
            deadline = since + self.timeout
        grace = defaults.UNKNOWN_GRACE
        self.begin_poll(hook, self.batch_id, deadline=deadline, since=since, missing_grace=grace)

    def _conclude(
        self, context: Context, batch_id: str, result: PollResult, deadline: float | None = None
    ) -> list[JobReferenceEntry]:
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            self.begin_poll(hook, batch_id, deadline=time.time() if deadline is None else deadline)
            return self.conclude_poll(context, result)
