"""A further attempt that gives nothing: what the attempts before it gave is kept, and what came late counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from tests.integration.documents.conftest import LATER, fill, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")

CONFIGURATION = "cfg-PARSE_AGENTIC"


def create(directory_id: str, **arguments: Any) -> CreateBatchOperator:
    return CreateBatchOperator(
        task_id="create",
        source_directory_id=directory_id,
        configuration_id=CONFIGURATION,
        wait_for_jobs=True,
        deferrable=True,
        max_file_attempts=2,
        **arguments,
    )


def deferred_by(step: Any, *arguments: Any) -> Any:
    with pytest.raises(TaskDeferred) as deferred:
        step(*arguments)
    return deferred.value.trigger


def completed(trigger: Any) -> dict[str, Any]:
    return {"batch_id": trigger.batch_id, "reason": "completed", "deadline": trigger.deadline}


def save(line: Line, context: Any, target: Path) -> dict[str, bool]:
    """Save what the task pushed; returns which documents have a result."""
    line.references = context["ti"].xcoms["job_references"]
    line.file_errors = context["ti"].xcoms.get("file_errors") or []
    line.save(target, configuration_id=CONFIGURATION)
    return {name: row.is_saved for name, row in rows_of(target).items()}


@pytest.mark.parametrize("reason", ["cancelled", "timed_out"])
def test_a_further_attempt_that_is_cancelled_leaves_the_results_of_the_first(
    line: Line,
    source: Path,
    target: Path,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    new_context: Any,
    reason: str,
):
    fill(source, {"ok.txt": b"ok", "bad1.txt": b"bad", "bad2.txt": b"worse"})
    emulator.control.change(
        file_results={"bad*": {"error_message": "TIMEOUT: x"}}, partial_results_while_running=True
    )
    [directory_id] = line.upload(source=str(source), target=str(target))
    context = new_context("run", "create")
    task = create(directory_id, cancel_on_timeout=reason == "timed_out")
    first = deferred_by(task.execute, context)
    emulator.control.advance(LATER)
    emulator.control.change(batch_running_seconds=1000)
    again = deferred_by(task.execute_complete, context, completed(first)).batch_id
    emulator.control.advance(60)
    if reason == "cancelled":
        hook.cancel_batch(again)
        emulator.control.advance(60)
    task.execute_complete(context, {"batch_id": again, "reason": reason, "deadline": 0.0})
    assert save(line, context, target) == {"bad1.txt": False, "bad2.txt": False, "ok.txt": True}


@pytest.mark.parametrize("batch_fails", [False, True])
def test_a_late_job_that_completes_during_its_further_attempt_counts_whatever_becomes_of_that(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator, new_context: Any, batch_fails: bool
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=3 * LATER)
    [directory_id] = line.upload(source=str(source), target=str(target))
    context, task = new_context("run", "create"), create(directory_id)
    first = deferred_by(task.execute, context)
    emulator.control.advance(LATER)
    deferred_by(task.execute_complete, context, completed(first))  # for the jobs
    emulator.control.change(
        jobs_finish="before_completed",
        file_results={"*.txt": {"error_message": "INTERNAL_ERROR: x"}},
        final_status="FAILED" if batch_fails else "COMPLETED",
    )
    over = {"jobs": 2, "ended": 0, "deadline": 0.0}
    second = deferred_by(task.jobs_complete, context, over)
    emulator.control.advance(4 * LATER)  # the late jobs end well, the further attempt does not
    task.execute_complete(context, {**completed(second), "reason": "failed" if batch_fails else "completed"})
    assert save(line, context, target) == {"a.txt": True, "b.txt": True}


def test_a_file_whose_job_is_not_told_yet_gets_no_further_attempt(
    line: Line,
    source: Path,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    new_context: Any,
    no_waiting: None,
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    [directory_id] = line.upload(source=str(source))
    context, task = new_context("run", "create"), create(directory_id)
    first = deferred_by(task.execute, context)
    emulator.control.advance(LATER)
    batch = hook.get_batch(first.batch_id, expand_results=True).model_dump(mode="json")
    batch["results"][0]["job_reference"] = None
    emulator.control.add_fault(
        kind="html", status=200, body=json.dumps(batch), method="GET", path="/batches/[^/]+$", times=1
    )
    task.execute_complete(context, completed(first))
    assert [one["status"] for one in context["ti"].xcoms["job_references"]] == ["COMPLETED"] * 2
    assert [one.id for one in hook.list_batches()] == [first.batch_id]
