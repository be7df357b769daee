"""The example DAG in a real Airflow, against the emulator whose time the test moves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.airflow_processes import RealAirflow
    from tests.support.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAG_ID = "parse_directory"
DOCUMENTS = sorted((Path(__file__).parents[2] / "dags_examples" / "documents").iterdir())
PAGES = {
    "grinder-manual.pdf": 6,
    "lab-notes-clay.pdf": 2,
    "safety-data-sheet.pdf": 3,
    "tram-annual-report.pdf": 4,
    "workshop-lease.pdf": 5,
}


@dataclass
class Finished:
    """A run that is over, what was seen on the way, and where its report is."""

    run_id: str
    directory_id: str
    waiting: dict[str, Any]
    report: Path

    def rows(self) -> dict[str, dict[str, Any]]:
        lines = self.report.read_text().splitlines()
        return {row["file"]: row for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def finished(
    airflow: RealAirflow,
    emulator: LlamaCloudEmulator,
    llamacloud: LlamaCloud,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=60, mapping_error_files=("*.csv",))
    emulator.control.freeze()
    directory_id = llamacloud.upload("system test", DOCUMENTS)
    report = tmp_path_factory.mktemp("report") / "report.jsonl"
    airflow.wait_for_dag(DAG_ID)
    conf = {"source_directory_id": directory_id, "report_path": str(report)}
    run_id = airflow.api.trigger(DAG_ID, conf)

    waiting = airflow.wait_for_task(DAG_ID, run_id, "wait_for_batch", "deferred", seconds=90)
    emulator.control.advance(30)  # the batch is completed, its jobs are not
    airflow.wait_for_task(DAG_ID, run_id, "fetch_markdown", "up_for_reschedule", seconds=90, map_index=0)
    emulator.control.advance(60)  # now they are
    assert airflow.wait_for_run(DAG_ID, run_id, seconds=90) == "success"
    return Finished(run_id, directory_id, waiting, report)


def test_exactly_one_batch_is_created_and_its_id_is_the_xcom(
    airflow: RealAirflow, llamacloud: LlamaCloud, finished: Finished
):
    [batch] = llamacloud.client.send(calls.list_batches(source_directory_id=finished.directory_id)).items
    assert airflow.api.xcom(DAG_ID, finished.run_id, "create_batch") == batch.id
    seen = airflow.api.xcom(DAG_ID, finished.run_id, "wait_for_batch", key="batch")
    assert (seen["id"], seen["status"], "results" in seen) == (batch.id, "COMPLETED", False)


def test_the_sensor_waits_in_the_triggerer(finished: Finished):
    assert (
        finished.waiting["trigger"]["classpath"] == "airflow_provider_llamabatch.triggers.batch.BatchTrigger"
    )


def test_the_xcoms_are_what_the_service_says(
    airflow: RealAirflow, llamacloud: LlamaCloud, finished: Finished
):
    [batch] = llamacloud.client.send(calls.list_batches(source_directory_id=finished.directory_id)).items
    results = llamacloud.client.send(calls.get_batch(batch.id, expand_results=True)).results or []
    by_file = sorted(
        (result.model_dump(mode="json") for result in results),
        key=lambda entry: entry["source_directory_file_id"],
    )
    references = airflow.api.xcom(DAG_ID, finished.run_id, "wait_for_batch")
    errors = airflow.api.xcom(DAG_ID, finished.run_id, "wait_for_batch", key="file_errors")
    assert references == [entry for entry in by_file if entry["job_reference"]]
    assert errors == [entry for entry in by_file if not entry["job_reference"]]
    assert (len(references), len(errors)) == (len(DOCUMENTS) - 2, 2)


def test_one_mapped_task_per_job_reference_fetched_its_text(airflow: RealAirflow, finished: Finished):
    tasks = airflow.api.task_instances(DAG_ID, finished.run_id)
    fetched = [task["state"] for task in tasks if task["task_id"] == "fetch_markdown"]
    assert fetched == ["success"] * (len(DOCUMENTS) - 2)
    [document] = [path for path in DOCUMENTS if path.name == "meeting-minutes.md"]
    markdown = Path(finished.rows()[document.name]["markdown_path"])
    assert markdown.read_text().strip() == document.read_text().strip()


def test_the_report_has_a_row_per_file_whatever_became_of_it(finished: Finished):
    rows = finished.rows()
    assert sorted(rows) == [path.name for path in DOCUMENTS]
    assert {name: row.get("pages") for name, row in rows.items() if name in PAGES} == PAGES
    assert rows["tram-annual-report.pdf"]["first_line"] == "## Annual report of the tram works, 2025"
    statuses = {name: row["status"] for name, row in rows.items() if row["status"] != "COMPLETED"}
    assert statuses == {
        "broken-scan.pdf": "FAILED",
        "energy-readings.csv": "NO_JOB",
        "warehouse-inventory.csv": "NO_JOB",
    }
    assert all(rows[name]["error"] for name in statuses)


def test_the_last_task_returns_the_counts(airflow: RealAirflow, finished: Finished):
    assert airflow.api.xcom(DAG_ID, finished.run_id, "write_report") == {
        "report": str(finished.report),
        "statuses": {"COMPLETED": len(DOCUMENTS) - 3, "FAILED": 1, "NO_JOB": 2},
    }


def test_the_api_key_is_in_no_file_that_airflow_wrote(
    airflow: RealAirflow, emulator: LlamaCloudEmulator, finished: Finished
):
    assert finished.report.exists()
    files = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert {"airflow.db", "scheduler.log", "attempt=1.log"} <= {path.name for path in files}
    assert [path for path in files if emulator.api_key.encode() in path.read_bytes()] == []
