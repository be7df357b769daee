"""The sensor: wait for the jobs behind job references and return what became of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_llamabatch.batches.jobs import Jobs, problem_with
from airflow_provider_llamabatch.defaults import POLL_INTERVAL, WAIT_TIMEOUT
from airflow_provider_llamabatch.documents.rows import flat
from airflow_provider_llamabatch.exceptions import JobsFailedError, fail_fast_on_permanent_errors
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.operators.waiting import checked_seconds
from airflow_provider_llamabatch.sensors.batch import first_poke_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

SUMMARY_KEY = "summary"
BACKSTOP = 300.0  # seconds that the framework's time-out lies behind the deadline


class BatchJobsSensor(BaseSensorOperator):
    """
    Wait for the jobs of one or many batches to end and return an outcome per job.

    An outcome is the job reference with the job's ``status``, ``error_message`` and ``credits`` (where the API reports
    them). A thousand jobs take ten requests per look, and fewer as they end. Jobs that have not ended at the deadline
    do not hold up the others: they come with the status they have then, and a message. XCom ``summary`` counts the
    jobs by status. Without any reference the list is empty.

    :param job_references: what ``BatchSensor`` returned; several such lists, as from mapped tasks, are fine too.
    :param poll_interval: seconds between looks.
    :param timeout: seconds to wait at most.
    :param fail_on_partial_error: fail when any job did not complete; when none did, the task always fails.
    :param project_id: the project, the connection's where None.
    :param organization_id: the organization, the connection's where None.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = ("job_references", "project_id", "organization_id", "llamabatch_conn_id")
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        job_references: Any,
        poll_interval: float | timedelta = POLL_INTERVAL,
        timeout: float | timedelta = WAIT_TIMEOUT,
        fail_on_partial_error: bool = False,
        project_id: str | None = None,
        organization_id: str | None = None,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        self.seconds = checked_seconds("timeout", timeout)
        kwargs.setdefault("poke_interval", checked_seconds("poll_interval", poll_interval))
        kwargs.setdefault("mode", "reschedule")
        super().__init__(timeout=self.seconds + BACKSTOP, **kwargs)
        self.job_references = job_references
        self.fail_on_partial_error = fail_on_partial_error
        self.project_id = project_id
        self.organization_id = organization_id
        self.llamabatch_conn_id = llamabatch_conn_id
        self._jobs: Jobs | None = None
        self._began: float | None = None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; the value is the list of outcomes once all jobs have ended, or at the deadline."""
        if self._jobs is None:
            if self.job_references is None:
                raise AirflowSkipException(
                    "There are no job references: the tasks before this one made none."
                )
            self._jobs = Jobs(flat(self.job_references))
        if self._began is None:
            self._began = (first_poke_at(context) if self.reschedule else None) or time.time()
        self._look(self._jobs)
        if self._jobs.have_ended:
            return PokeReturnValue(True, self._conclude(context, self._jobs, None))
        if time.time() >= self._began + self.seconds:
            late = f"it had not ended {self.seconds:.0f} s after the wait began"
            return PokeReturnValue(True, self._conclude(context, self._jobs, late))
        return PokeReturnValue(False)

    def _look(self, jobs: Jobs) -> None:
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
        from airflow_provider_llamabatch.llamacloud.retries import is_transient

        lists = {
            "parse_v2": calls.list_parse_job_statuses,
            "extract_v2": calls.list_extract_job_statuses,
        }
        scope = {"project_id": self.project_id, "organization_id": self.organization_id}
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            changed = False
            for job_type, ids in list(jobs.requests()):
                call = lists[job_type](job_ids=ids, page_size=len(ids), **scope)
                try:
                    changed |= jobs.saw(hook.send(call).items)
                except LlamaCloudError as error:
                    if not is_transient(error):
                        raise
                    self.log.warning("Could not look at %s jobs, will look again: %s", len(ids), error)
            if changed:
                self.log.info("%s", jobs.line())

    def _conclude(self, context: Context, jobs: Jobs, late: str | None) -> list[dict[str, Any]]:
        outcomes = jobs.outcomes(late=late)
        context["ti"].xcom_push(key=SUMMARY_KEY, value=jobs.summary())
        problem = problem_with(outcomes)
        if problem is not None:
            self.log.warning("%s", problem)
            nothing = not any(outcome["status"] == "COMPLETED" for outcome in outcomes)
            if self.fail_on_partial_error or nothing:
                raise JobsFailedError(problem)
        return outcomes
