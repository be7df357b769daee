"""Carries out the flow of a submission: Airflow's context as facts, each step by the hook and the task state store."""

from __future__ import annotations

import inspect
import uuid
from dataclasses import dataclass, field
from time import sleep, time
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import metrics
from airflow_provider_llamabatch.batches import flow
from airflow_provider_llamabatch.batches.record import RECORD_KEY
from airflow_provider_llamabatch.batches.submission import TaskFacts
from airflow_provider_llamabatch.tracing import span

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.batches.submission import Request, Submission
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Batch


@dataclass(slots=True)
class Submitter:
    """
    Submits ``request`` once per task instance, by the POST ``call``.

    ``context`` is Airflow's; where it has no task state store (below 3.3) the record lasts as long as the try.
    """

    hook: LlamaBatchHook
    request: Request
    call: Call[Batch]
    context: Context
    log: Logger
    fresh: bool = False
    record_key: str = RECORD_KEY  # a task that submits several batches keeps a record of each
    _kept: Any = field(default=None, init=False, repr=False)  # the record, where there is no store

    def submit_or_rejoin(self) -> Submission:
        """
        Return the one batch of this task instance, submitting it if that is called for.

        Raises a ``LlamaCloudError``, ``RecordUnreadableError`` or ``SubmissionUndecidedError``.
        """
        from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow

        submitting = SubmitFlow(
            self.request,
            self.call,
            self._facts(),
            time,
            self.log,
            host=self.hook.get_conn().settings.base_url,
            began=self._began,
        )
        with span(
            "llamabatch.submit",
            directory_id=self.request.source_directory_id,
            configuration_id=self.request.configuration_id,
        ) as current:
            submitted = flow.drive(submitting.submit_or_rejoin(), self._perform)
            current.set_attribute("llamabatch.decision", str(submitted.decision.action))
            current.set_attribute("llamabatch.batch_id", submitted.batch_id)
        metrics.submitted(submitted, keeps_record=self._store is not None)
        return submitted

    def _facts(self) -> TaskFacts:
        ti = self.context["ti"]
        nonce = uuid.uuid4().hex
        if self._store is not None:
            return TaskFacts(
                ti.try_number,
                int(ti.max_tries),
                nonce,
                keeps_record=True,
                fresh=self.fresh,
                record_key=self.record_key,
            )
        started = self.context["dag_run"].start_date
        return TaskFacts(
            ti.try_number,
            int(ti.max_tries),
            nonce,
            keeps_record=False,
            fresh=self.fresh,
            run_started=started.timestamp() if started else None,
            cleared=ti.max_tries != (getattr(ti.task, "retries", None) or 0),
        )

    @property
    def _began(self) -> float | None:
        started = getattr(self.context["ti"], "start_date", None)
        return started.timestamp() if started else None

    def _perform(self, step: flow.Step) -> Any:
        match step:
            case flow.Send():
                return self._send(step)
            case flow.Sleep(seconds):
                sleep(seconds)
            case flow.LoadRecord():
                return self._kept if self._store is None else self._store.get(self.record_key)
            case flow.SaveRecord(value):
                self._save(value)
        return None

    def _send(self, step: flow.Send) -> Any:
        from airflow_provider_llamabatch.llamacloud.retries import ONCE

        return self.hook.send(step.call, ONCE if step.once else None, within=step.within)

    def _save(self, value: dict[str, Any]) -> None:
        if self._store is None:
            self._kept = value
        else:
            self._store.set(self.record_key, value, **forever(self._store))

    @property
    def _store(self) -> Any:
        return self.context.get("task_state_store")


def forever(store: Any) -> dict[str, Any]:
    """Return what keeps a record for as long as its run: Airflow deletes state after 30 days unless told otherwise."""
    try:
        from airflow.sdk.execution_time.context import NEVER_EXPIRE
    except ImportError:
        return {}
    takes_it = "retention" in inspect.signature(store.set).parameters
    return {"retention": NEVER_EXPIRE} if takes_it else {}
