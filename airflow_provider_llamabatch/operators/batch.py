"""The operators: submit a batch (and wait for it), cancel a batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, mask_secret

from airflow_provider_llamabatch.batches.waiting import DEFAULT_POLL_INTERVAL, Ended, Reason
from airflow_provider_llamabatch.exceptions import fail_fast_on_permanent_errors
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.links import LINK_KEY, LlamaCloudProjectLink, project_url
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
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_llamabatch.llamacloud.models import Batch
    from airflow_provider_llamabatch.operators.submitting import Submitter

DEFAULT_TIMEOUT = 24 * 3600.0  # seconds; batches take minutes to hours
BATCH_ID_KEY = "batch_id"


class CreateBatchOperator(BaseOperator):
    """
    Submit a LlamaCloud batch, once per task instance, and return its id.

    A retry after a crash finds the batch that was already paid for; a person who clears a finished task gets a new
    one (see the page on submissions). With ``wait_for_completion`` the task also waits, deferred by default, and
    pushes the XComs ``job_references``, ``file_errors`` and ``batch``.

    :param source_directory_id: directory whose files (at most 1,000) are processed.
    :param configuration_id: saved configuration or built-in preset, of the same product as ``job_type``.
    :param job_type: ``parse_v2`` or ``extract_v2``.
    :param webhook_configurations: inline webhooks, as the API takes them; secrets in them are never shown.
    :param webhook_configuration_ids: saved webhooks, at most four.
    :param wait_for_completion: wait for the batch to end.
    :param deferrable: wait in the triggerer instead of holding a worker.
    :param poll_interval: seconds between looks once the batch is no longer young.
    :param timeout: seconds to wait at most.
    :param cancel_on_kill: cancel the batch when the waiting task is killed (marked failed, or its worker terminated).
    :param cancel_on_timeout: cancel the batch when ``timeout`` has passed.
    :param fail_on_partial_error: fail when some file got no job.
    :param fresh: always submit a new batch, never rejoin one of an earlier try.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = (
        "source_directory_id",
        "configuration_id",
        "job_type",
        "webhook_configurations",
        "webhook_configuration_ids",
        "llamabatch_conn_id",
    )
    template_fields_renderers = {"webhook_configurations": "json"}  # noqa: RUF012  # Airflow's own spelling
    operator_extra_links = (LlamaCloudProjectLink(),)
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        source_directory_id: str,
        configuration_id: str,
        job_type: str = "parse_v2",
        webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
        webhook_configuration_ids: Sequence[str] | None = None,
        wait_for_completion: bool = False,
        deferrable: bool = default_deferrable(),
        poll_interval: float | timedelta = DEFAULT_POLL_INTERVAL,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = False,
        fail_on_partial_error: bool = False,
        fresh: bool = False,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_directory_id = source_directory_id
        self.configuration_id = configuration_id
        self.job_type = job_type
        self.webhook_configurations = webhook_configurations
        self.webhook_configuration_ids = webhook_configuration_ids
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.fail_on_partial_error = fail_on_partial_error
        self.fresh = fresh
        self.llamabatch_conn_id = llamabatch_conn_id
        self.waiting: BatchWait | None = None  # what on_kill is about

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render, then have webhook secrets masked before the rendered fields are stored and shown."""
        super().render_template_fields(context, jinja_env)
        from airflow_provider_llamabatch.llamacloud.calls import webhook_secrets

        for secret in webhook_secrets(self.webhook_configurations):
            mask_secret(secret)

    def execute(self, context: Context) -> str:
        """Submit the batch, or find the one an earlier try submitted; then wait for it, if that is asked for."""
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            timeout = checked_seconds("timeout", self.timeout)
            checked_seconds("poll_interval", self.poll_interval)  # before anything is paid for
            submitted = self._submitter(hook, context).submit_or_rejoin()
            batch_id = submitted.batch_id
            self._publish(hook, batch_id, submitted.batch, context)
            if self.wait_for_completion:
                self._wait(
                    self._batch_wait(hook, batch_id, deadline_in(timeout, self.execution_timeout)), context
                )
        return batch_id

    def execute_complete(self, context: Context, event: Any) -> str:
        """Go on after the trigger has fired: collect the references, or fail with the reason."""
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            return self._conclude(hook, *ending(event), context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume as usual; should Airflow have ended the deferral, the batch's fate is still decided here."""
        if not timed_out_by_airflow(next_method, next_kwargs):
            return super().resume_execution(next_method, next_kwargs, context)
        ti = context["ti"]
        batch_id = ti.xcom_pull(task_ids=self.task_id, key=BATCH_ID_KEY, map_indexes=ti.map_index)
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            return self._conclude(hook, batch_id, Ended(Reason.TIMED_OUT), context)

    def on_kill(self) -> None:
        """Cancel the batch that this worker waits for."""
        if self.waiting is not None and self.cancel_on_kill:
            self.waiting.kill()

    def _submitter(self, hook: LlamaBatchHook, context: Context) -> Submitter:
        from airflow_provider_llamabatch.batches.submission import Request
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.operators.submitting import Submitter

        call = calls.create_batch(
            source_directory_id=self.source_directory_id,
            configuration_id=self.configuration_id,
            job_type=self.job_type,
            webhook_configurations=self.webhook_configurations,
            webhook_configuration_ids=self.webhook_configuration_ids,
        )
        request = Request(
            self.source_directory_id, self.configuration_id, self.job_type, self.llamabatch_conn_id
        )
        return Submitter(hook, request, call, context, self.log, fresh=self.fresh)

    def _publish(self, hook: LlamaBatchHook, batch_id: str, batch: Batch | None, context: Context) -> None:
        """Push what a person or a later step needs even if this task fails from here on."""
        settings = hook.get_conn().settings
        project_id = (batch.project_id if batch else None) or settings.project_id
        context["ti"].xcom_push(key=BATCH_ID_KEY, value=batch_id)
        context["ti"].xcom_push(key=LINK_KEY, value=project_url(settings.base_url, project_id))

    def _wait(self, waiting: BatchWait, context: Context) -> None:
        self.waiting = waiting
        ended = waiting.look() if self.deferrable else waiting.wait_here()
        if ended is None:
            defer(self, waiting)
        else:
            context["ti"].xcom_push(key="job_references", value=waiting.conclude(context, ended))

    def _conclude(self, hook: LlamaBatchHook, batch_id: str, ended: Ended, context: Context) -> str:
        waiting = self._batch_wait(hook, batch_id, deadline=time.time())
        context["ti"].xcom_push(key="job_references", value=waiting.conclude(context, ended))
        return batch_id

    def _batch_wait(self, hook: LlamaBatchHook, batch_id: str, deadline: float) -> BatchWait:
        return batch_wait(
            self,
            hook,
            batch_id,
            timeout=checked_seconds("timeout", self.timeout),
            poll_interval=checked_seconds("poll_interval", self.poll_interval),
            deadline=deadline,
        )


class CancelBatchOperator(BaseOperator):
    """
    Ask for a batch to be cancelled, and return its id; XCom ``batch`` holds the batch after that.

    CANCELLED follows once processing has stopped; files that had finished keep their jobs. A batch that has already
    ended is left as it is, which is not an error.

    :param batch_id: the batch to cancel.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = ("batch_id", "llamabatch_conn_id")
    ui_color = "#e8e4ff"

    def __init__(
        self, *, batch_id: str, llamabatch_conn_id: str = "llamabatch_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.llamabatch_conn_id = llamabatch_conn_id

    def execute(self, context: Context) -> str:
        """Cancel the batch."""
        from airflow_provider_llamabatch.batches.outcome import without_results

        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            batch = hook.cancel_batch(self.batch_id)
        self.log.info("Batch %s is %s", batch.id, batch.status)
        context["ti"].xcom_push(key="batch", value=without_results(batch))
        return batch.id
