"""A batch, its jobs, and further attempts at what failed: deferred, on the worker, and over tries that die."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.exceptions import FilesWithoutJobError, JobsFailedError
from airflow_provider_llamabatch.execution.following import files_of, follow_up_directory
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger
from tests.integration.documents.conftest import LATER, fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.models import DirectoryFile
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")

FAULT = "INTERNAL_ERROR: the parser gave up"  # nothing that lies in the document
ALL_DONE = {"jobs": 1, "ended": 1, "deadline": 0.0}


def create(directory_id: str, **arguments: Any) -> CreateBatchOperator:
    arguments = {
        "wait_for_jobs": True,
        "deferrable": True,
        "configuration_id": "cfg-PARSE_AGENTIC",
        **arguments,
    }
    return CreateBatchOperator(task_id="create", source_directory_id=directory_id, **arguments)


def carried_out(
    operator: Callable[[], CreateBatchOperator],
    context: Any,
    emulator: LlamaCloudEmulator,
    until: Callable[[list[str]], bool] = lambda _: False,
) -> tuple[Any, list[str]]:
    """Run a task over all its deferrals, each resumed by a new operator; returns its value and the triggers."""
    triggers: list[str] = []
    step: Callable[[CreateBatchOperator], Any] = lambda task: task.execute(context)  # noqa: E731
    while True:
        try:
            return step(operator()), triggers
        except TaskDeferred as deferred:
            trigger = deferred.trigger
            triggers.append(type(trigger).__name__)
            if until(triggers):
                return None, triggers
            emulator.control.advance(LATER)
            event = (
                ALL_DONE
                if isinstance(trigger, JobsTrigger)
                else {"batch_id": trigger.batch_id, "reason": "completed", "deadline": trigger.deadline}
            )
            method = deferred.method_name
            step = partial(resumed, method, context, event)


def resumed(method: str, context: Any, event: Any, task: CreateBatchOperator) -> Any:
    return getattr(task, method)(context, event)


def batches(hook: LlamaBatchHook) -> list[Any]:
    return list(hook.list_batches())


@pytest.fixture
def directory_id(line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator) -> str:
    emulator.control.change(file_results={"broken.pdf": {"error_message": FAULT}})
    fill(source, {"a.txt": b"alpha", "b.csv": b"x,y", "broken.pdf": b"%PDF-nonsense"})
    [directory_id] = line.upload(source=str(source), target=str(target))
    return directory_id


def test_the_task_waits_for_batch_and_jobs_and_tells_what_became_of_each(
    directory_id: str, context: Any, emulator: LlamaCloudEmulator, hook: LlamaBatchHook
):
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=LATER * 1.5)
    value, triggers = carried_out(lambda: create(directory_id), context, emulator)
    assert triggers == ["BatchTrigger", "JobsTrigger"]
    assert [batch.id for batch in batches(hook)] == [value]
    outcomes = context["ti"].xcoms["job_references"]
    assert sorted(outcome["status"] for outcome in outcomes) == ["COMPLETED", "COMPLETED", "FAILED"]
    assert context["ti"].xcoms["summary"] == {"COMPLETED": 2, "FAILED": 1}
    [submitted] = context["ti"].xcoms["submissions"]
    assert (submitted["batch_id"], submitted["directory_id"], submitted["action"]) == (
        value,
        directory_id,
        "submit",
    )
    usage = context["ti"].xcoms["usage"]
    assert (usage["source"], usage["files"], usage["failed"], sum(usage["reasons"].values())) == (
        "jobs",
        3,
        1,
        1,
    )


def test_failed_and_job_less_files_get_another_attempt_in_a_batch_of_their_own(
    line: Line,
    target: Path,
    directory_id: str,
    context: Any,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
):
    emulator.control.change(mapping_error_files=("*.csv",))

    def mapped_from_now_on(_: list[str]) -> bool:
        emulator.control.change(mapping_error_files=())
        return False

    # The batch of the first attempt keeps what was set when it was made.
    operator = lambda: create(directory_id, max_file_attempts=2)  # noqa: E731
    value, _ = carried_out(operator, context, emulator, mapped_from_now_on)
    again, first = batches(hook)  # newest first
    assert first.id == value
    files = {
        file.display_name for file in hook.iterate(calls.list_directory_files(again.source_directory_id))
    }
    assert files == {"b.csv", "broken.pdf"}
    submissions = context["ti"].xcoms["submissions"]
    assert [entry["batch_id"] for entry in submissions] == [first.id, again.id]
    assert (context["ti"].xcoms["usage"]["files"], context["ti"].xcoms["usage"]["failed"]) == (3, 1)
    line.references = context["ti"].xcoms["job_references"]
    line.file_errors = context["ti"].xcoms["file_errors"]
    line.save(target)
    assert {name: (row.status, row.attempt) for name, row in rows_of(target).items()} == {
        "a.txt": ("COMPLETED", 1),
        "b.csv": ("COMPLETED", 2),
        "broken.pdf": ("FAILED", 2),
    }


@pytest.mark.parametrize("dies_after", [1, 2])
def test_a_task_that_dies_in_any_round_pays_for_no_batch_twice(
    directory_id: str,
    context: Any,
    next_try: Callable[..., None],
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    dies_after: int,
):
    operator = lambda: create(directory_id, max_file_attempts=2, retry_configuration_id="cfg-PARSE_AGENTIC")  # noqa: E731
    carried_out(operator, context, emulator, until=lambda triggers: len(triggers) == dies_after)
    emulator.control.advance(LATER)
    next_try(context)
    carried_out(operator, context, emulator)
    assert len(batches(hook)) == 2
    outcomes = context["ti"].xcoms["job_references"]
    assert sorted((one["status"], one["attempt"]) for one in outcomes) == [
        ("COMPLETED", 1),
        ("COMPLETED", 1),
        ("FAILED", 2),
    ]


@pytest.mark.parametrize("keeps_state", [True, False], ids=["Airflow 3.3", "below"])
def test_a_later_try_finds_the_follow_up_directory_that_is_not_listed_yet(
    directory_id: str,
    context: Any,
    next_try: Callable[..., None],
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    keeps_state: bool,
):
    if not keeps_state:
        del context["task_state_store"]
    operator = lambda: create(directory_id, max_file_attempts=2)  # noqa: E731
    carried_out(operator, context, emulator, until=lambda triggers: len(triggers) == 2)
    unlisted = {"kind": "missing_fields", "method": "GET", "path": "/directories$", "fields": ("name",)}
    emulator.control.add_fault(**unlisted, times=None if keeps_state else 1)
    next_try(context)
    carried_out(operator, context, emulator)
    assert len(batches(hook)) == 2


def test_a_follow_up_directory_that_was_deleted_is_made_anew(
    directory_id: str,
    context: Any,
    next_try: Callable[..., None],
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("airflow_provider_llamabatch.execution.directory_record.ADOPTION_PAUSES", (0.0, 0.0))
    operator = lambda: create(directory_id, max_file_attempts=2)  # noqa: E731
    carried_out(operator, context, emulator, until=lambda triggers: len(triggers) == 2)
    gone = batches(hook)[0].source_directory_id
    hook.send(calls.delete_directory(gone))
    next_try(context)
    carried_out(operator, context, emulator)
    assert batches(hook)[0].source_directory_id not in {gone, directory_id}


@pytest.mark.parametrize("has_batch", [False, True])
def test_what_a_later_try_need_not_repeat_leaves_the_follow_up_directory_unless_a_batch_has_it(
    directory_id: str, hook: LlamaBatchHook, has_batch: bool
):
    a, b, _ = [file.id for file in hook.iterate(calls.list_directory_files(directory_id))]

    def follow_up(*file_ids: str) -> tuple[str, set[str]]:
        log: Any = logging.getLogger()
        found = follow_up_directory(hook, directory_id, file_ids, "again", log, None, None)
        assert found is not None
        return found[0], set(found[1].values())

    again, origins = follow_up(a, b)
    assert origins == {a, b}
    if has_batch:
        hook.create_batch(
            source_directory_id=again, configuration_id="cfg-PARSE_AGENTIC", job_type="parse_v2"
        )
    expected = {a, b} if has_batch else {a}
    assert follow_up(a) == (again, expected)
    held = {file.unique_id for file in hook.iterate(calls.list_directory_files(again))}
    assert held == expected


@pytest.mark.parametrize("copied", [False, True], ids=["the same file id", "a file id of its own"])
def test_a_file_that_is_added_twice_since_the_list_was_late_is_in_the_follow_up_directory_once(
    directory_id: str,
    hook: LlamaBatchHook,
    emulator: LlamaCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    copied: bool,
):
    async def not_listed_yet(*_: Any) -> None:
        return None

    async def with_own_ids(client: AsyncClient, of: str) -> list[DirectoryFile]:
        held = await files_of(client, of)
        if of == directory_id:
            return held
        return [file.model_copy(update={"file_id": f"copy-of-{file.file_id}"}) for file in held]

    monkeypatch.setattr("airflow_provider_llamabatch.execution.following._file_with", not_listed_yet)
    emulator.control.add_fault(kind="drop_after", method="POST", path="/files$", times=1)
    file_ids = [file.id for file in hook.iterate(calls.list_directory_files(directory_id))]
    log: Any = logging.getLogger()
    if copied:
        monkeypatch.setattr("airflow_provider_llamabatch.execution.following.files_of", with_own_ids)
    followed = follow_up_directory(hook, directory_id, file_ids, "again", log, None, None)

    assert followed is not None
    again, origin = followed
    held = list(hook.iterate(calls.list_directory_files(again)))
    assert sorted(file.unique_id or "" for file in held) == sorted(file_ids)
    assert origin == {file.id: file.unique_id for file in held}


def test_what_counts_as_a_failure_is_decided_after_the_last_attempt(
    directory_id: str, context: Any, emulator: LlamaCloudEmulator, hook: LlamaBatchHook
):
    operator = lambda: create(directory_id, max_file_attempts=2, fail_on_partial_error=True)  # noqa: E731
    with pytest.raises(JobsFailedError, match=FAULT):
        carried_out(operator, context, emulator)
    assert len(batches(hook)) == 2


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("fault", ["outage", "single jobs"])
def test_what_nobody_can_tell_is_not_paid_for_again(
    directory_id: str,
    context: Any,
    emulator: LlamaCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
    fault: str,
):
    for grace in ("RESULTS_GRACE", "UNREAD_GRACE"):
        monkeypatch.setattr(defaults, grace, 0.1)
    seconds = ("batch_pending_seconds", "batch_running_seconds", "job_pending_seconds", "job_running_seconds")
    emulator.control.change(**dict.fromkeys(seconds, 0))
    if fault == "outage":
        emulator.control.add_fault(kind="status", status=503, path="/api/v2/parse$")
    else:
        emulator.control.add_fault(kind="missing_fields", path="/api/v2/parse$")
        emulator.control.add_fault(kind="status", status=503, path="/api/v2/parse/")
    waiting = {"max_file_attempts": 2, "deferrable": deferrable, "poll_interval": 1}
    operator = partial(create, directory_id, **waiting, timeout=3 if not deferrable else 60)
    if fault == "outage":
        with pytest.raises(LlamaCloudError):
            carried_out(operator, context, emulator)
    else:
        carried_out(operator, context, emulator)
        outcomes = context["ti"].xcoms["job_references"]
        assert {one["status"] for one in outcomes} == {"UNKNOWN"}
        assert all("did not say how it ended" in one["error_message"] for one in outcomes)
    assert len(emulator.control.state()["batches"]) == 1


def test_without_a_job_for_any_file_the_task_fails_after_all_attempts(
    directory_id: str, context: Any, emulator: LlamaCloudEmulator, hook: LlamaBatchHook
):
    emulator.control.change(mapping_error_files=("*",))
    with pytest.raises(FilesWithoutJobError):
        carried_out(lambda: create(directory_id, max_file_attempts=3), context, emulator)
    assert len(batches(hook)) == 3


def test_a_second_attempt_that_fails_as_a_whole_keeps_what_the_first_gave(
    directory_id: str, context: Any, emulator: LlamaCloudEmulator
):
    def fail_from_now_on(triggers: list[str]) -> bool:
        emulator.control.change(final_status="FAILED")
        return False

    value, triggers = carried_out(
        lambda: create(directory_id, max_file_attempts=2), context, emulator, fail_from_now_on
    )
    assert value
    assert triggers.count("BatchTrigger") == 2
    assert len(context["ti"].xcoms["job_references"]) == 3
