"""A directory that others keep filling, and a task that processes what is new in it, night after night."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from tests.integration.documents.conftest import LATER

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook


class DiedError(Exception):
    """A worker has died."""


def die() -> None:
    raise DiedError


class Nights:
    def __init__(self, hook: LlamaBatchHook, emulator: LlamaCloudEmulator, new_context: Any) -> None:
        self.hook, self.emulator, self._new_context = hook, emulator, new_context
        self.directory_id = hook.send(calls.create_directory(name="inbox", type="user")).id
        self.count = 0
        self.contexts: dict[int, Any] = {}

    def arrive(self, files: int) -> None:
        for _ in range(files):
            self.count += 1
            name = f"{self.count:03}.txt"
            content = f"document {self.count}".encode()
            self.hook.send(calls.upload_directory_file(self.directory_id, content, display_name=name))
        self.emulator.control.advance(60)

    def night(
        self, number: int, *, between: Callable[[], None] = lambda: None, **arguments: Any
    ) -> list[str]:
        """Run one night's task to its end; return the original ids of the files that got a job."""
        context = self.contexts.setdefault(number, self._new_context(f"night-{number}", "create"))
        create = CreateBatchOperator(
            task_id="create",
            source_directory_id=self.directory_id,
            configuration_id="cfg-PARSE_AGENTIC",
            wait_for_jobs=True,
            only_new=True,
            deferrable=True,
            **arguments,
        )
        step: Callable[[], Any] = lambda: create.execute(context)  # noqa: E731
        while True:
            try:
                step()
                break
            except TaskDeferred as deferred:
                between()
                self.emulator.control.advance(LATER)
                batch_id = deferred.trigger.batch_id
                event = {"batch_id": batch_id, "reason": self.hook.get_batch(batch_id).status.lower()}
                step = partial(create.execute_complete, context, event)
        outcomes = context["ti"].xcoms["job_references"]
        assert {outcome["status"] for outcome in outcomes} == {"COMPLETED"}
        return [outcome["source_directory_file_id"] for outcome in outcomes]

    def paid(self) -> Counter[str]:
        """Return how often each document was given to a job that is paid for."""
        jobs: Counter[str] = Counter()
        for batch in self.hook.list_batches():
            for result in self.hook.get_batch(batch.id, expand_results=True).results or ():
                if result.job_reference:
                    job = self.hook.send(calls.get_parse_job(result.job_reference.id, expand=("text",)))
                    assert job.text is not None
                    jobs[job.text.pages[0].text or ""] += 1
        return jobs
