"""
One submission per mapped task; the first try kills its own process (SIGKILL) at the named boundary.

Trigger it with ``cases``: a list of ``{"source_directory_id", "boundary"}``. Later tries run undisturbed.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_llamabatch.execution.submitting import Submitter
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

WITH_SUPERVISOR = ", with its supervisor"
STORE_BOUNDARIES = {"after the intent": "", "after the id is recorded": "bat-"}  # the id in the record
POST_BOUNDARIES = {
    "in the middle of the POST": "http11.send_request_headers.complete",
    "after the POST, before the answer": "http11.send_request_body.complete",
    "after the server committed": "http11.receive_response_headers.complete",
}


def die(*, with_supervisor: bool) -> None:
    """Kill this process, and before it the one that would tell Airflow about it."""
    if with_supervisor:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class DyingStore:
    """A task state store that dies after it has kept a record whose batch id begins with ``batch_id``."""

    store: Any
    batch_id: str
    die: Callable[[], None]

    def get(self, key: str) -> Any:
        """Return what is kept."""
        return self.store.get(key)

    def set(self, key: str, value: Any) -> None:
        """Keep a value, then die."""
        self.store.set(key, value)
        if value["batch_id"].startswith(self.batch_id) and bool(value["batch_id"]) == bool(self.batch_id):
            self.die()


class KilledCreateBatchOperator(CreateBatchOperator):
    """The operator as it is, but for the death of its first try."""

    template_fields: Sequence[str] = (*CreateBatchOperator.template_fields, "boundary")

    def __init__(self, *, boundary: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.boundary = boundary

    def execute(self, context: Any) -> str:
        """Submit, and die in between or at the end."""
        batch_id = super().execute(context)
        if context["ti"].try_number == 1:
            if self.boundary != "after XCom":
                raise RuntimeError(f"the first try outlived {self.boundary!r}")
            die(with_supervisor=False)
        return batch_id

    def _submitter(self, hook: LlamaBatchHook, context: Any, *request: str) -> Submitter:
        submitter = super()._submitter(hook, context, *request)
        return submitter if context["ti"].try_number > 1 else self._doomed(submitter)

    def _doomed(self, submitter: Submitter) -> Submitter:
        boundary = self.boundary.removesuffix(WITH_SUPERVISOR)

        def dies() -> None:
            die(with_supervisor=boundary != self.boundary)

        if boundary == "before the list":
            dies()
        elif boundary in STORE_BOUNDARIES:
            store: Any = DyingStore(submitter.context["task_state_store"], STORE_BOUNDARIES[boundary], dies)
            return replace(submitter, context={**submitter.context, "task_state_store": store})
        elif boundary in POST_BOUNDARIES:
            _die_within_the_post(submitter.hook, POST_BOUNDARIES[boundary], dies)
        return submitter


def _die_within_the_post(hook: LlamaBatchHook, event: str, dies: Callable[[], None]) -> None:
    async def trace(name: str, _info: Any) -> None:
        if name == event:
            dies()

    async def trace_posts(request: Any) -> None:
        if request.method == "POST":
            request.extensions["trace"] = trace

    hook.get_conn()._client._http.event_hooks["request"] = [trace_posts]


with DAG(
    "killed_while_submitting",
    schedule=None,
    max_active_tasks=64,
    params={"cases": Param(type="array")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=0)},
):

    @task
    def cases(params: dict[str, Any]) -> list[dict[str, str]]:
        """Hand the cases to the mapped task."""
        given: list[dict[str, str]] = params["cases"]
        return given

    KilledCreateBatchOperator.partial(task_id="create", configuration_id="cfg-PARSE_AGENTIC").expand_kwargs(
        cases()
    )
