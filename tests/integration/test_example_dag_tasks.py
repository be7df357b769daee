"""The functions of the example DAG's tasks, against the emulator; tests/system runs the whole DAG."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from tests.support.llamacloud import LlamaCloud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

# Airflow's own use of deprecated names: when it loads @task.sensor (3.3) and when it joins paths (2.11).
pytestmark = [
    pytest.mark.usefixtures("connection"),
    pytest.mark.filterwarnings("ignore:.*operator_helpers.determine_kwargs"),
    pytest.mark.filterwarnings("ignore:in a future version of UPath:PendingDeprecationWarning"),
]

DOCUMENTS = Path(__file__).parents[2] / "dags_examples" / "documents"
BATCH_SECONDS = 3600.0  # longer than any of the emulator's defaults


@pytest.fixture
def llamacloud(emulator: LlamaCloudEmulator) -> Iterator[LlamaCloud]:
    llamacloud = LlamaCloud("the emulator", {"password": emulator.api_key, "host": emulator.url})
    yield llamacloud
    llamacloud.close()


def function_of(task: str) -> Any:
    return getattr(import_module("dags_examples.parse_directory"), task).function


def reference_to(name: str, llamacloud: LlamaCloud, emulator: LlamaCloudEmulator) -> dict[str, Any]:
    directory_id = llamacloud.upload("sample", [DOCUMENTS / name])
    create = calls.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
    batch = llamacloud.client.send(create)
    emulator.control.advance(BATCH_SECONDS)
    [result] = llamacloud.client.send(calls.get_batch(batch.id, expand_results=True)).results or []
    return result.model_dump(mode="json")


def test_a_job_that_still_runs_is_looked_at_again(
    llamacloud: LlamaCloud, emulator: LlamaCloudEmulator, tmp_path: Path
):
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=2 * BATCH_SECONDS)
    reference = reference_to("meeting-minutes.md", llamacloud, emulator)
    fetch = function_of("fetch_markdown")
    assert not fetch(reference, str(tmp_path / "report.jsonl")).is_done
    emulator.control.advance(2 * BATCH_SECONDS)
    assert fetch(reference, str(tmp_path / "report.jsonl")).is_done


def test_a_page_that_could_not_be_read_is_named_and_the_others_are_kept(
    llamacloud: LlamaCloud, emulator: LlamaCloudEmulator, tmp_path: Path
):
    emulator.control.change(failed_pages=(2,))
    reference = reference_to("tram-annual-report.pdf", llamacloud, emulator)
    row = function_of("fetch_markdown")(reference, str(tmp_path / "report.jsonl")).xcom_value
    assert (row["status"], row["pages"]) == ("COMPLETED", 4)
    assert row["error"].startswith("page 2: ")
    markdown = Path(row["markdown_path"]).read_text()
    assert "Twelve low-floor cars" in markdown
    assert "Passengers by line" not in markdown


def test_a_job_that_failed_is_a_row_with_the_reason(
    llamacloud: LlamaCloud, emulator: LlamaCloudEmulator, tmp_path: Path
):
    reference = reference_to("broken-scan.pdf", llamacloud, emulator)
    row = function_of("fetch_markdown")(reference, str(tmp_path / "report.jsonl")).xcom_value
    assert row["status"] == "FAILED"
    assert "PDF_IS_BROKEN" in row["error"]


def test_files_with_no_job_and_files_with_no_result_are_reported(llamacloud: LlamaCloud, tmp_path: Path):
    names = ("apple-varieties.md", "lab-notes-clay.pdf", "library-faq.html")
    directory_id = llamacloud.upload("sample", [DOCUMENTS / name for name in names])
    files = llamacloud.client.send(calls.list_directory_files(directory_id)).items
    ids = {file.display_name: file.id for file in files}
    report = tmp_path / "new" / "report.jsonl"
    counts = function_of("write_report")(
        directory_id,
        [{"file_id": ids["apple-varieties.md"], "job_id": "pjb-1", "status": "COMPLETED", "pages": 1}],
        [{"source_directory_file_id": ids["library-faq.html"], "error_message": None}],
        str(report),
    )
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(row["file"], row["status"], row.get("error")) for row in rows] == [
        ("apple-varieties.md", "COMPLETED", None),
        ("lab-notes-clay.pdf", "NO_RESULT", "its job did not end in time"),
        ("library-faq.html", "NO_JOB", "LlamaCloud gave no reason"),
    ]
    assert counts["statuses"] == {"COMPLETED": 1, "NO_RESULT": 1, "NO_JOB": 1}
