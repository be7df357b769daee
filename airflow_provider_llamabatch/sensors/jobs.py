"""The sensor: wait for the jobs behind job references and return what became of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_llamabatch import configuration, metrics, xcom
from airflow_provider_llamabatch.airflow_compat import first_poke_at, timed_out_by_airflow
from airflow_provider_llamabatch.exceptions import (
    JobsFailedError,
    fail_fast_on_permanent_errors,
    skip_if_soft,
)
from airflow_provider_llamabatch.execution.arguments import (
    check_booleans,
    check_conn_id,
    checked_seconds,
    poll_as_poke,
)
from airflow_provider_llamabatch.execution.batch_polling import deadline_in
from airflow_provider_llamabatch.execution.deferring import say_that_a_worker_is_held
from airflow_provider_llamabatch.execution.jobs_polling import JobsPollMixin, read_jobs_event
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.links import OPERATOR_LINKS, push_link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_llamabatch.batches.jobs import Jobs

_TIMEOUT_BEHIND_DEADLINE = 300.0  # seconds that Airflow's own time-out lies behind the deadline


class BatchJobsSensor(JobsPollMixin, BaseSensorOperator):
    """
    Wait for the jobs of one or many batches to end and return an outcome per job.

    An outcome is the job reference with the job's ``status``, ``error_message`` and ``credits`` (None unless
    ``with_credits``). A thousand jobs take ten requests per look, and fewer as they end. Jobs that have not ended at
    the deadline do not hold up the others: they come with the status they have then, and a message. XCom ``summary``
    counts the jobs by status. Without any reference the list is empty. Waits in the triggerer unless told otherwise.
    Raises ``ValueError`` for a wrong constant.

    :param job_references: what ``BatchSensor`` returned; several such lists, as from mapped tasks, are fine too.
    :param poll_interval: seconds between looks; the same as ``poke_interval``; two that differ are an error.
    :param timeout: seconds to wait at most.
    :param deferrable: wait in the triggerer. This, ``poll_interval`` and ``timeout`` are what the deployment configures
        where not given.
    :param with_credits: ask for what each job cost, a request per job, eight at once; None where it is not billed yet.
    :param cancel_on_kill: cancel the jobs that still run when a person marks the task failed while it is deferred
        (Airflow 3.3 and newer).
    :param fail_on_partial_error: fail when any job did not complete.
    :param project_id: the project, the connection's where None.
    :param organization_id: the organization, the connection's where None.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = ("job_references", "project_id", "organization_id", "llamabatch_conn_id")
    operator_extra_links = OPERATOR_LINKS
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        job_references: Any,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        deferrable: bool | None = None,
        with_credits: bool = False,
        cancel_on_kill: bool = True,
        fail_on_partial_error: bool = False,
        project_id: str | None = None,
        organization_id: str | None = None,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        poll_as_poke(poll_interval, kwargs)
        self.seconds = checked_seconds("timeout", configuration.wait_timeout(timeout))
        super().__init__(timeout=self.seconds + _TIMEOUT_BEHIND_DEADLINE, **kwargs)
        check_booleans(
            deferrable=deferrable,
            with_credits=with_credits,
            cancel_on_kill=cancel_on_kill,
            fail_on_partial_error=fail_on_partial_error,
        )
        self.job_references = job_references
        self.deferrable = configuration.deferrable(deferrable)
        self.with_credits = with_credits
        self.cancel_on_kill = cancel_on_kill
        self.fail_on_partial_error = fail_on_partial_error
        self.project_id = project_id
        self.organization_id = organization_id
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)
        self.began = 0.0
        self.deadline: float | None = None

    @property
    def poll_interval(self) -> float:
        """Return the seconds between looks."""
        return checked_seconds("poll_interval", self.poke_interval)

    def execute(self, context: Context) -> Any:
        """Look once, then wait: in the triggerer, or as ``mode`` says."""
        with (
            skip_if_soft(self),
            fail_fast_on_permanent_errors(),
            LlamaBatchHook(self.llamabatch_conn_id) as hook,
        ):
            push_link(context, hook, self.project_id)
            if not self.deferrable:
                if not self.reschedule:
                    say_that_a_worker_is_held(self.log)
                return super().execute(context)
            deadline = deadline_in(self.seconds, self.execution_timeout)
            jobs = self._jobs()
            self.look_at_jobs(hook, jobs, deadline, began=time.time())
            if not jobs.have_ended:
                self.defer_jobs(jobs, deadline, "execute_complete")
            return self._conclude(context, jobs)

    def execute_complete(self, context: Context, event: Any) -> list[dict[str, Any]]:
        """Go on after the trigger has fired: read what became of each job."""
        return self.jobs_ended(context, read_jobs_event(event))

    def jobs_ended(self, context: Context, deadline: float | None = None) -> list[dict[str, Any]]:
        """Read what became of each job, and return the outcomes."""
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            jobs = self._jobs()
            self.read_jobs(hook, jobs, deadline)
        return self._conclude(context, jobs)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume as usual; should Airflow have ended the deferral, what has ended until then still counts."""
        if timed_out_by_airflow(next_method, next_kwargs):
            next_method, next_kwargs = "jobs_ended", {}
        return super().resume_execution(next_method, next_kwargs, context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; the value is the list of outcomes once all jobs have ended, or at the deadline."""
        if self.deadline is None:
            began = first_poke_at(context) if self.reschedule else None
            if began is None:
                metrics.wait_started("jobs", "worker")
            self.began = began or time.time()
            # Airflow applies execution_timeout to each look in reschedule mode.
            limit = None if self.reschedule else self.execution_timeout
            self.deadline = deadline_in(self.began + self.seconds - time.time(), limit)
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            jobs = self._jobs()
            trouble = self.look_at_jobs(hook, jobs, self.deadline, began=self.began)
            if trouble is not None and not jobs.are_unread and time.time() >= self.deadline:
                raise trouble
        if not jobs.have_ended and time.time() < self.deadline:
            return PokeReturnValue(False)
        metrics.wait_ended("jobs", metrics.reason_for(jobs.have_ended), time.time() - self.began)
        return PokeReturnValue(True, self._conclude(context, jobs))

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Return the seconds until the next poke, which is at the deadline at the latest: Airflow may kill the task."""
        assert self.deadline is not None
        left = self.deadline - time.time()
        return max(0.0, min(super()._get_next_poke_interval(*args, **kwargs), left))

    def _jobs(self) -> Jobs:
        from airflow_provider_llamabatch.batches.jobs import Jobs
        from airflow_provider_llamabatch.documents.rows import references_in

        return Jobs(references_in(self.job_references))

    def _conclude(self, context: Context, jobs: Jobs) -> list[dict[str, Any]]:
        from airflow_provider_llamabatch.batches.jobs import problem_with

        outcomes = jobs.outcomes(late="it had not ended when the wait was over")
        if self.with_credits:
            with LlamaBatchHook(self.llamabatch_conn_id) as hook:
                self.ask_for_credits(hook, outcomes)
        xcom.push(context, xcom.SUMMARY, jobs.summary())
        self.note(job_references=outcomes)
        metrics.jobs_ended(jobs.summary())
        problem = problem_with(outcomes, fail_on_partial_error=self.fail_on_partial_error)
        if problem is not None:
            raise JobsFailedError(problem)
        return outcomes
