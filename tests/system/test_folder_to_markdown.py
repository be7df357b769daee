"""The example DAG from a folder to a folder in a real Airflow, twice: the second night has nothing to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.llamacloud import calls

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.airflow_processes import RealAirflow
    from tests.support.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAG_ID = "folder_to_markdown"
DOCUMENTS = Path(__file__).parents[2] / "dags_examples" / "documents"


def ended(airflow: RealAirflow, run_id: str) -> str:
    assert airflow.wait_for_run(DAG_ID, run_id, seconds=150) == "success"
    return run_id


def states(airflow: RealAirflow, run_id: str) -> dict[str, Any]:
    tasks = airflow.api.task_instances(DAG_ID, run_id)
    return {task["task_id"].rpartition(".")[2]: task["state"] for task in tasks}


def test_two_nights(airflow: RealAirflow, emulator: LlamaCloudEmulator, llamacloud: LlamaCloud):
    names = sorted(path.name for path in DOCUMENTS.iterdir())
    target = airflow.home / "markdown"
    first = ended(airflow, airflow.wait_for_scheduled_run(DAG_ID))
    assert set(states(airflow, first).values()) == {"success"}
    assert len(airflow.api.task_instances(DAG_ID, first)) == 4
    rows = manifest.from_lines((target / "manifest.jsonl").read_bytes())
    assert [row.file for row in rows] == names
    assert Counter(row.status for row in rows) == {"COMPLETED": len(names) - 1, "FAILED": 1}
    for row in rows:
        assert row.path is None or Path(row.path).stat().st_size == row.bytes
    assert llamacloud.client.send(calls.list_directories()).items == []
    assert len(llamacloud.client.send(calls.list_batches()).items) == 1

    second = ended(airflow, airflow.api.trigger(DAG_ID))
    assert states(airflow, second) == {
        "upload": "success",
        "create_batch": "skipped",
        "save_results": "success",
        "delete_directories": "success",
    }
    summary = airflow.api.xcom(DAG_ID, second, "process_directory.save_results")
    assert (summary["saved"], summary["reused"], summary["failed_before"]) == (0, len(names) - 1, 1)
    assert len(llamacloud.client.send(calls.list_batches()).items) == 1
    assert len(manifest.from_lines((target / "manifest.jsonl").read_bytes())) == len(names)
