"""The operators: submit a batch (and wait for it), cancel a batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_llamabatch import configuration, metrics, xcom
from airflow_provider_llamabatch.airflow_compat import mask_secret, timed_out_by_airflow
from airflow_provider_llamabatch.batches.polling import PollResult, Reason
from airflow_provider_llamabatch.batches.record import RECORD_KEY
from airflow_provider_llamabatch.batches.submission import Action, Decision
from airflow_provider_llamabatch.exceptions import WrongArgumentError, fail_fast_on_permanent_errors
from airflow_provider_llamabatch.execution.arguments import (
    check_batch,
    check_booleans,
    check_conn_id,
    check_ids,
    checked_seconds,
)
from airflow_provider_llamabatch.execution.batch_polling import deadline_in, read_result
from airflow_provider_llamabatch.execution.deferring import say_that_a_worker_is_held
from airflow_provider_llamabatch.execution.rounds import RoundsMixin
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.lineage import LineageMixin
from airflow_provider_llamabatch.links import (
    BATCH_LINKS,
    OPERATOR_LINKS,
    push_found_link,
    push_link,
    push_page_link,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_llamabatch.execution.submitting import Submitter


class CreateBatchOperator(RoundsMixin, BaseOperator):
    """
    Submit a LlamaCloud batch, once per task instance, and return its id.

    A retry after a crash finds the batch that was already paid for; a person who clears a finished task gets a new
    one (see the page on submissions). With ``wait_for_completion`` the task also waits, deferred by default, and
    pushes the XComs ``job_references``, ``file_errors`` and ``batch``. Raises ``ValueError`` for a wrong constant.

    :param source_directory_id: directory whose files (at most 1,000) are processed.
    :param configuration_id: saved configuration or built-in preset, of the same product as ``job_type``.
    :param job_type: ``parse_v2`` or ``extract_v2``.
    :param webhook_configurations: inline webhooks, as the API takes them; secrets in them are never shown.
    :param webhook_configuration_ids: saved webhooks, at most four.
    :param wait_for_completion: wait for the batch to end.
    :param wait_for_jobs: wait for the batch and then for its jobs: XCom ``job_references`` then has each job's
        ``status`` and ``error_message``, ``summary`` counts by status, and a job that has not ended at ``timeout``
        keeps the status it has.
    :param max_file_attempts: with ``wait_for_jobs``, how often a file is tried in all: files whose job failed or hangs,
        and files without a job, go into a batch of their own. Each entry of ``job_references`` tells its ``attempt``.
    :param retry_configuration_id: the configuration of further attempts, such as one of a higher tier; needs
        ``max_file_attempts`` of 2 or more.
    :param only_new: process only files that are new or changed since earlier runs of this task, at most 1,000 per run,
        in a follow-up directory; skip when there are none. Needs ``wait_for_jobs``, and ``max_active_runs=1`` of the
        DAG. What was processed is kept in an Airflow Variable, or in the directory's asset where the task has it as an
        inlet or outlet (Airflow 3.3). A backfill takes what is new when it runs; a Clear goes
        on with the run's batch (with ``fresh=True`` a new one over the same files).
    :param deferrable: wait in the triggerer instead of holding a worker. This, ``poll_interval`` and ``timeout`` are
        what the deployment configures where not given.
    :param poll_interval: seconds between polls once the batch is no longer young.
    :param timeout: seconds to wait at most for the batch, and anew for its jobs and for each further attempt.
    :param cancel_on_kill: cancel the batch when the waiting task is killed (marked failed, or its worker terminated);
        its jobs, where those are waited for, when a person marks the deferred task failed (Airflow 3.3 and newer).
    :param cancel_on_timeout: cancel the batch when ``timeout`` has passed.
    :param fail_on_partial_error: fail when some file got no job; with ``wait_for_jobs`` also when some job did not
        complete.
    :param fresh: always submit a new batch, never rejoin one of an earlier try.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    :param project_id: the project, the connection's if not given.
    :param organization_id: the organization, the connection's if not given.
    """

    template_fields: Sequence[str] = (
        "source_directory_id",
        "configuration_id",
        "retry_configuration_id",
        "job_type",
        "webhook_configurations",
        "webhook_configuration_ids",
        "llamabatch_conn_id",
        "project_id",
        "organization_id",
    )
    lineage_inputs = ("source_directory_id",)
    template_fields_renderers = {"webhook_configurations": "json"}  # noqa: RUF012  # Airflow's own spelling
    operator_extra_links = BATCH_LINKS
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        source_directory_id: str | XComArg,
        configuration_id: str | XComArg,
        job_type: str = "parse_v2",
        webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
        webhook_configuration_ids: Sequence[str] | None = None,
        wait_for_completion: bool = False,
        wait_for_jobs: bool = False,
        max_file_attempts: int = 1,
        retry_configuration_id: str | None = None,
        only_new: bool = False,
        deferrable: bool | None = None,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = False,
        fail_on_partial_error: bool = False,
        fresh: bool = False,
        llamabatch_conn_id: str = "llamabatch_default",
        project_id: str | None = None,
        organization_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        timeout, poll_interval = (
            configuration.wait_timeout(timeout),
            configuration.poll_interval(poll_interval),
        )
        check_batch(
            job_type=job_type,
            poll_interval=poll_interval,
            timeout=timeout,
            max_file_attempts=max_file_attempts,
            retry_configuration_id=retry_configuration_id,
        )
        check_booleans(
            wait_for_completion=wait_for_completion,
            wait_for_jobs=wait_for_jobs,
            only_new=only_new,
            deferrable=deferrable,
            cancel_on_kill=cancel_on_kill,
            cancel_on_timeout=cancel_on_timeout,
            fail_on_partial_error=fail_on_partial_error,
            fresh=fresh,
        )
        check_ids(
            source_directory_id=source_directory_id,
            configuration_id=configuration_id,
            retry_configuration_id=retry_configuration_id,
        )
        self.source_directory_id = cast("str", source_directory_id)
        self.configuration_id = cast("str", configuration_id)
        self.job_type = job_type
        self.webhook_configurations = webhook_configurations
        self.webhook_configuration_ids = webhook_configuration_ids
        if max_file_attempts > 1 and not wait_for_jobs:
            raise WrongArgumentError("max_file_attempts", f"{max_file_attempts!r} needs wait_for_jobs=True")
        self.wait_for_completion = wait_for_completion
        self.wait_for_jobs = wait_for_jobs
        self.max_file_attempts = max_file_attempts
        if only_new and not wait_for_jobs:
            raise WrongArgumentError(
                "only_new", "needs wait_for_jobs=True: what was processed is known at the batch's end"
            )
        self.retry_configuration_id = retry_configuration_id
        self.only_new = only_new
        self.deferrable = configuration.deferrable(deferrable)
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.fail_on_partial_error = fail_on_partial_error
        self.fresh = fresh
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)
        self.project_id = project_id
        self.organization_id = organization_id

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """
        Render, then have webhook secrets masked before the rendered fields are stored and shown.

        Of a mapped task Airflow calls this method alone, not ``render_template_fields``, which calls it too.
        """
        super()._do_render_template_fields(*args, **kwargs)
        from airflow_provider_llamabatch.llamacloud.calls import webhook_secrets

        for secret in webhook_secrets(self.webhook_configurations):
            mask_secret(secret)

    def execute(self, context: Context) -> str:
        """Submit the batch, or find the one an earlier try submitted; then wait for it, if that is asked for."""
        self.began = time.time()
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            push_link(context, hook, self.project_id)
            push_page_link(context, self.llamabatch_conn_id, None)
            directory_id, origin, batch = self.source_directory_id, dict[str, str](), None
            if self.only_new:
                directory_id, origin, batch = self.recurring(hook, context).prepare()
            submitter = self._submitter(hook, context, directory_id, self.configuration_id, RECORD_KEY)
            if batch is None or self.fresh:
                submission = submitter.submit_or_rejoin()
                batch_id, batch, decision = submission.batch_id, submission.batch, submission.decision
            else:
                batch_id = batch.id
                decision = Decision(Action.REJOIN, "an earlier try of this run made it over what was new")
            xcom.push_submission(context, batch_id)
            xcom.push_submission_entry(context, batch_id, decision, submitter.request)
            push_found_link(context, hook, self.project_id, batch)
            push_page_link(context, self.llamabatch_conn_id, batch_id)
            self.note(batch_id=batch_id)
            if self.wait_for_jobs:
                self.begin_round(context, batch_id, directory_id, self.configuration_id, origin)
            if self.wait_for_completion or self.wait_for_jobs:
                self._wait(hook, batch_id, context)
        return batch_id

    def execute_complete(self, context: Context, event: Any) -> str:
        """Go on after the trigger has fired: collect the references, or fail with the reason."""
        batch_id, result, deadline = read_result(event)
        return self._conclude(batch_id, result, context, deadline)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume as usual; should Airflow have ended the deferral, the batch's fate is still decided here."""
        self.began = time.time()
        if not timed_out_by_airflow(next_method, next_kwargs):
            return super().resume_execution(next_method, next_kwargs, context)
        batch_id = xcom.pull_batch_id(context, self.task_id)
        if self.wait_for_jobs and (rounds := self._rounds(context)):
            if rounds[-1]["jobs_known"]:
                return self.jobs_ended(context)
            batch_id = rounds[-1]["batch_id"]
        if batch_id is None:
            return super().resume_execution(next_method, next_kwargs, context)
        return self._conclude(batch_id, PollResult(Reason.TIMED_OUT), context)

    def _submitter(
        self, hook: LlamaBatchHook, context: Context, directory_id: str, configuration_id: str, key: str
    ) -> Submitter:
        from airflow_provider_llamabatch.batches.submission import Request
        from airflow_provider_llamabatch.execution.submitting import Submitter
        from airflow_provider_llamabatch.llamacloud import calls

        call = calls.create_batch(
            source_directory_id=directory_id,
            configuration_id=configuration_id,
            job_type=self.job_type,
            webhook_configurations=self.webhook_configurations,
            webhook_configuration_ids=self.webhook_configuration_ids,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )
        request = Request(
            source_directory_id=directory_id,
            configuration_id=configuration_id,
            job_type=self.job_type,
            connection_id=self.llamabatch_conn_id,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )
        return Submitter(hook, request, call, context, self.log, fresh=self.fresh, record_key=key)

    def _wait(self, hook: LlamaBatchHook, batch_id: str, context: Context) -> None:
        timeout = checked_seconds("timeout", self.timeout)
        deadline = deadline_in(timeout, self.execution_timeout, self.began)
        polled = self.begin_poll(hook, batch_id, deadline=deadline)
        if self.deferrable:
            result = polled.carry_out(polled.poller.poll())
            if result is None:
                self.defer_poll()
                return
        else:
            say_that_a_worker_is_held(self.log)
            metrics.wait_started("batch", "worker")
            result = polled.carry_out(polled.poller.wait())
            metrics.wait_ended("batch", result.reason, time.time() - polled.state.since)
        self._collect(hook, context, result)

    def _conclude(
        self, batch_id: str, result: PollResult, context: Context, deadline: float | None = None
    ) -> str:
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            self.begin_poll(hook, batch_id, deadline=time.time() if deadline is None else deadline)
            self._collect(hook, context, result)
        return self._first_batch(context) if self.wait_for_jobs else batch_id

    def _collect(self, hook: LlamaBatchHook, context: Context, result: PollResult) -> None:
        if not self.wait_for_jobs:
            xcom.push_job_references(context, self.conclude_poll(context, result))
            return
        try:
            references = self.conclude_poll(context, result)
        except AirflowException as error:
            self.round_failed(hook, context, error)
        else:
            self.batch_ended(hook, context, references)


class CancelBatchOperator(LineageMixin, BaseOperator):
    """
    Ask for a batch to be cancelled, and return its id; XCom ``batch`` holds the batch after that.

    CANCELLED follows once processing has stopped; files that had finished keep their jobs. A batch that has already
    ended is left as it is, which is not an error. Raises ``ValueError`` for the id of something else.

    :param batch_id: the batch to cancel.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    :param project_id: the project, the connection's if not given.
    :param organization_id: the organization, the connection's if not given.
    """

    template_fields: Sequence[str] = ("batch_id", "llamabatch_conn_id", "project_id", "organization_id")
    operator_extra_links = OPERATOR_LINKS
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        batch_id: str | XComArg,
        llamabatch_conn_id: str = "llamabatch_default",
        project_id: str | None = None,
        organization_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_ids(batch_id=batch_id)
        self.batch_id = cast("str", batch_id)
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)
        self.project_id = project_id
        self.organization_id = organization_id

    def execute(self, context: Context) -> str:
        """Cancel the batch."""
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            push_link(context, hook, self.project_id)
            batch = hook.cancel_batch(
                self.batch_id, project_id=self.project_id, organization_id=self.organization_id
            )
        self.log.info("Batch %s is %s", batch.id, batch.status)
        self.note(read=[batch.source_directory_id])
        xcom.push_batch(context, batch)
        return batch.id
