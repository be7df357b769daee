"""Submitting, waiting in the triggerer and collecting, in a real Airflow 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.airflow_2 import Airflow2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from dags_examples.demo.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAGS = Path(__file__).parent / "dags"
RUN_SECONDS = 120.0


@pytest.fixture(scope="module")
def airflow(llamacloud: LlamaCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow2]:
    home = tmp_path_factory.mktemp("airflow-2")
    with Airflow2(home, DAGS, {"AIRFLOW_CONN_LLAMABATCH_DEFAULT": llamacloud.connection_json}) as airflow:
        yield airflow


@pytest.mark.parametrize(
    ("dag_id", "task_id", "key"),
    [("one_task_deferred", "create", "job_references"), ("two_tasks_deferred", "wait", "return_value")],
)
def test_a_batch_is_submitted_once_waited_for_in_the_triggerer_and_collected(
    airflow: Airflow2,
    emulator: LlamaCloudEmulator,
    llamacloud: LlamaCloud,
    tmp_path: Path,
    dag_id: str,
    task_id: str,
    key: str,
) -> None:
    emulator.control.reset()
    emulator.control.freeze()
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"this is {name}")
    directory_id = llamacloud.upload("airflow 2", sorted(tmp_path.iterdir()))
    run_id = f"of-{dag_id}"

    airflow.trigger(dag_id, run_id, {"source_directory_id": directory_id})
    airflow.wait(lambda: airflow.task_state(dag_id, run_id, task_id) == "deferred", RUN_SECONDS)
    batch_id = airflow.xcom(dag_id, run_id, "create", "return_value" if task_id == "wait" else "batch_id")
    airflow.wait(lambda: f"Batch {batch_id} is PENDING" in airflow.log(dag_id, run_id, task_id), RUN_SECONDS)
    emulator.control.advance(600)
    airflow.wait(lambda: airflow.run_state(dag_id, run_id) in ("success", "failed"), RUN_SECONDS)

    assert airflow.run_state(dag_id, run_id) == "success", airflow.log(dag_id, run_id, task_id)
    references = airflow.xcom(dag_id, run_id, task_id, key)
    assert [entry["job_reference"]["type"] for entry in references] == ["parse_v2", "parse_v2"]
    assert airflow.xcom(dag_id, run_id, task_id, "batch")["status"] == "COMPLETED"
    assert airflow.xcom(dag_id, run_id, task_id, "file_errors") == []
    counters = emulator.control.counters()
    assert (counters["batches"], counters["cancels"]) == (1, 0)


def test_no_secret_is_in_what_the_database_and_the_logs_hold(
    airflow: Airflow2, llamacloud: LlamaCloud
) -> None:
    key = json.loads(llamacloud.connection_json)["password"]
    logs = [path for path in (airflow.home / "logs").rglob("*.log") if "run_id=" in str(path)]
    assert logs
    assert not any(key in path.read_text() for path in logs)
    assert key.encode() not in (airflow.home / "airflow.db").read_bytes()
