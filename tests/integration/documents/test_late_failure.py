"""What fails after the upload, or is missing when a task runs, is seen as a failure, and nothing is thrown away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.task_groups import process_directory
from tests.integration.documents.conftest import TELLS_ERRORS, fill, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

CONFIGURATION = "cfg-PARSE_AGENTIC"
START = datetime(2026, 1, 1, tzinfo=UTC)

# Airflow's own, when a task of a test's DAG is a function.
pytestmark = [
    pytest.mark.usefixtures("connection"),
    pytest.mark.filterwarnings("ignore:.*operator_helpers.determine_kwargs"),
]


def group(source: Path, target: Any, **arguments: Any) -> Any:
    with DAG("late_failure", schedule=None, start_date=START) as dag:
        process_directory(source=str(source), target=target, configuration_id=CONFIGURATION, **arguments)
    return dag


def test_a_further_attempt_that_fails_keeps_the_directories_for_a_clear(
    run_dag, source: Path, target: Path, llamacloud: LlamaCloudEmulator, capfd: pytest.CaptureFixture[str]
):
    fill(source, {"ok.txt": b"ok", "bad.txt": b"bad"})
    llamacloud.control.change(file_results={"bad.txt": {"error_message": "TIMEOUT: x"}})

    ran = run_dag(group(source, str(target), max_file_attempts=2, retry_configuration_id="cfg-not-there"))

    assert ran.state == "failed"
    assert {name.partition(".")[2]: state for name, state in ran.tasks.items()} == {
        "upload": "success",
        "create_batch[0]": "failed",
        "save_results": "failed",
        "delete_directories": "skipped",
    }
    assert rows_of(target)["ok.txt"].is_saved
    said = capfd.readouterr()
    told = "process_directory.create_batch[0] failed; 1 of 2 documents have a result"
    assert told in said.out + said.err or not TELLS_ERRORS


def test_what_failed_long_before_is_nothing_to_the_save(run_dag, source: Path, target: Path):
    fill(source, {"a.txt": b"alpha"})

    def check() -> None:
        raise ValueError("something that nobody waits for")

    with DAG("checked", schedule=None, start_date=START) as dag:
        checked: Any = task(check)()
        begin: Any = task(trigger_rule="all_done", task_id="begin")(lambda: None)()
        checked >> begin
        begin >> process_directory(source=str(source), target=str(target), configuration_id=CONFIGURATION)

    assert run_dag(dag).tasks["process_directory.save_results"] == "success"


@pytest.mark.parametrize("files", [{}, {"a.exe": b"no document"}])
def test_an_empty_source_fails_the_run_where_that_is_asked_for(
    run_dag, source: Path, target: Path, files: dict[str, bytes]
):
    fill(source, files)
    ran = run_dag(group(source, str(target), if_empty="fail"))
    assert ran.state == "failed"
    assert ran.tasks["process_directory.upload"] == "failed"
    assert ran.tasks["process_directory.save_results"] == "failed"


def test_a_target_that_is_nothing_when_the_task_runs_is_refused_before_anything_is_sent(
    run_dag, source: Path, llamacloud: LlamaCloudEmulator
):
    fill(source, {"a.txt": b"alpha"})

    def choose() -> None:
        return None

    with DAG("no_target", schedule=None, start_date=START) as dag:
        chosen: Any = task(choose)()
        process_directory(source=str(source), target=chosen, configuration_id=CONFIGURATION)

    assert run_dag(dag).state == "failed"
    assert [one for one in llamacloud.control.requests() if one.method == "POST"] == []


@pytest.mark.parametrize(
    ("argument", "more"),
    [
        ("target", {"reuse": True, "configuration_id": CONFIGURATION}),
        ("target", {}),
        ("directory_id", {"mirror": True}),
        ("directory_id", {"changed_only": True}),
        ("directory_id", {}),
    ],
)
def test_what_a_template_makes_nothing_of_is_not_as_if_it_were_not_given(
    new_context, source: Path, target: Path, emulator: LlamaCloudEmulator, argument: str, more: dict[str, Any]
):
    fill(source, {"a.txt": b"alpha"})
    given: dict[str, Any] = {"target": str(target)} if more.get("reuse") else {}
    upload = UploadDirectoryOperator(
        task_id="upload", source=str(source), **{**given, **more, argument: "{{ params.nothing }}"}
    )
    setattr(upload, argument, None)  # as Airflow renders it to a native object

    with pytest.raises(RequestRefusedError, match=f"^{argument}: must not be None"):
        upload.execute(new_context("run", "upload"))
    assert emulator.control.requests() == []


@pytest.mark.parametrize("argument", ["source", "target", "pattern"])
def test_the_text_none_is_no_folder_and_no_pattern(new_context, source: Path, argument: str):
    fill(source, {"a.txt": b"alpha"})
    arguments: dict[str, Any] = {"source": str(source), argument: "None"}
    upload = UploadDirectoryOperator(task_id="upload", **arguments)
    with pytest.raises(RequestRefusedError, match=f"^{argument}: .*'None'"):
        upload.execute(new_context("run", "upload"))


@pytest.mark.parametrize("given", [7, {"directories": 1, "files": 2}, ["dir-1", 7], "None"])
def test_what_is_no_id_of_a_directory_is_refused_and_named(new_context, target: Path, given: Any):
    delete = DeleteDirectoryOperator(task_id="delete", directory_id=given)
    with pytest.raises(RequestRefusedError, match=r"^directory_id: "):
        delete.execute(new_context("run", "delete"))
    save = SaveBatchResultsOperator(
        task_id="save", job_references=[], target=str(target), source_directory_id=given
    )
    with pytest.raises(RequestRefusedError, match=r"^source_directory_id: "):
        save.execute(new_context("run", "save"))


def test_a_name_that_is_rendered_to_a_number_is_a_name(new_context, source: Path, hook):
    fill(source, {"a.txt": b"alpha"})
    upload = UploadDirectoryOperator(task_id="upload", source=str(source))
    upload.directory_name = 20261130  # type: ignore[assignment]  # as {{ ds_nodash }} is, rendered to a native object
    assert len(upload.execute(new_context("run", "upload"))) == 1
