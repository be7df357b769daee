"""A batch that is cancelled: what had ended by then is paid for, so it is saved, and not processed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch.exceptions import BatchCancelledError, BatchTimeoutError, ResultsMissingError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

CONFIGURATION = "cfg-PARSE_AGENTIC"

pytestmark = pytest.mark.usefixtures("connection")


class Night:
    """A run of upload, submission and save over a folder, whose batch is cancelled."""

    def __init__(self, new_context: Callable[..., Any], source: Path, target: Path) -> None:
        self.uploads, self.creates, self.saves = (
            new_context("run", name) for name in ("upload", "create", "save")
        )
        self.target = target
        self.folders: dict[str, Any] = {
            "source": str(source), "target": str(target), "reuse": True, "configuration_id": CONFIGURATION
        }  # fmt: skip

    def submit(self, **arguments: Any) -> str:
        upload = UploadDirectoryOperator(task_id="upload", directory_name="d", **self.folders)
        [directory_id] = upload.execute(self.uploads)
        self.create = CreateBatchOperator(
            task_id="create",
            source_directory_id=directory_id,
            configuration_id=CONFIGURATION,
            wait_for_jobs=True,
            deferrable=True,
            **arguments,
        )
        with pytest.raises(TaskDeferred) as deferred:
            self.create.execute(self.creates)
        batch_id: str = deferred.value.trigger.batch_id
        return batch_id

    def save(self) -> None:
        pushed = self.creates["ti"].xcoms
        SaveBatchResultsOperator(
            task_id="save",
            job_references=pushed.get("job_references"),
            file_errors=pushed.get("file_errors"),
            upload=self.uploads["ti"].xcoms["upload"],
            target=str(self.target),
            configuration_id=CONFIGURATION,
        ).execute(self.saves)


@pytest.fixture
def night(new_context: Callable[..., Any], source: Path, target: Path, emulator: LlamaCloudEmulator) -> Night:
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    emulator.control.change(
        batch_running_seconds=1000,
        job_running_seconds=1,
        partial_results_while_running=True,
    )
    return Night(new_context, source, target)


def test_the_jobs_that_had_ended_are_saved_and_not_processed_again(
    night: Night,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    target: Path,
    new_line: Callable[..., Line],
):
    batch_id = night.submit()
    emulator.control.advance(60)
    hook.cancel_batch(batch_id)
    emulator.control.advance(60)

    with pytest.raises(BatchCancelledError, match="XCom job_references"):
        night.create.execute_complete(night.creates, {"batch_id": batch_id, "reason": "cancelled"})
    [ended] = night.creates["ti"].xcoms["job_references"]
    with pytest.raises(ResultsMissingError, match="1 of 2 documents are in no batch"):
        night.save()

    rows = rows_of(target)
    [saved] = [name for name, row in rows.items() if row.is_saved]
    assert rows[saved].job_id == ended["job_reference"]["id"]
    tomorrow = new_line("tomorrow")
    assert tomorrow.names_in(tomorrow.upload(**night.folders)) == sorted({*rows} - {saved})


def test_a_batch_that_was_cancelled_before_it_began_leaves_the_save_to_say_so(
    night: Night, emulator: LlamaCloudEmulator, hook: LlamaBatchHook
):
    batch_id = night.submit()
    hook.cancel_batch(batch_id)
    emulator.control.advance(60)

    with pytest.raises(BatchCancelledError):
        night.create.execute_complete(night.creates, {"batch_id": batch_id, "reason": "cancelled"})
    with pytest.raises(ResultsMissingError, match="2 of 2 documents are in no batch"):
        night.save()


def test_what_had_ended_when_a_deadline_cancelled_the_batch_is_told(
    night: Night, emulator: LlamaCloudEmulator
):
    batch_id = night.submit(cancel_on_timeout=True)
    emulator.control.advance(60)
    with pytest.raises(BatchTimeoutError, match="asked to cancel"):
        night.create.execute_complete(night.creates, {"batch_id": batch_id, "reason": "timed_out"})
    assert len(night.creates["ti"].xcoms["job_references"]) == 1


def test_an_answer_that_does_not_come_hides_the_cancel_from_nobody(
    night: Night, emulator: LlamaCloudEmulator, hook: LlamaBatchHook, caplog: pytest.LogCaptureFixture
):
    batch_id = night.submit()
    hook.cancel_batch(batch_id)
    emulator.control.advance(60)
    emulator.control.add_fault(kind="status", status=503, path=r"/api/v2/batches/")
    with pytest.raises(BatchCancelledError):
        night.create.execute_complete(night.creates, {"batch_id": batch_id, "reason": "cancelled"})
    assert "job_references" not in night.creates["ti"].xcoms
