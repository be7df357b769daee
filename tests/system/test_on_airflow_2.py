"""Submitting, waiting in the triggerer and collecting, in a real Airflow 2."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.llamacloud import calls
from tests.support.airflow_2 import Airflow2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAGS = Path(__file__).parent / "dags"
EXAMPLES = Path(__file__).parents[2] / "dags_examples"
AT_ONCE = dict.fromkeys(
    ("batch_pending_seconds", "batch_running_seconds", "job_pending_seconds", "job_running_seconds"), 0
)
RUN_SECONDS = 120.0


@pytest.fixture(scope="module")
def airflow(llamacloud: LlamaCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow2]:
    home = tmp_path_factory.mktemp("airflow-2")
    dags = home / "dags"
    dags.mkdir()
    for file in (*DAGS.glob("*.py"), EXAMPLES / "inbox_daily.py", EXAMPLES / "many_directories.py"):
        shutil.copy(file, dags)
    with Airflow2(home, dags, {"AIRFLOW_CONN_LLAMABATCH_DEFAULT": llamacloud.connection_json}) as airflow:
        yield airflow


def has_ended(airflow: Airflow2, dag_id: str, run_id: str) -> bool:
    return airflow.run_state(dag_id, run_id) in ("success", "failed")


@pytest.mark.parametrize(
    ("dag_id", "task_id", "key"),
    [("waiting", "parse", "job_references"), ("two_tasks_deferred", "wait", "return_value")],
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
    submits, under = ("create", "return_value") if task_id == "wait" else (task_id, "batch_id")
    batch_id = airflow.xcom(dag_id, run_id, submits, under)
    airflow.wait(lambda: f"Batch {batch_id} is PENDING" in airflow.log(dag_id, run_id, task_id), RUN_SECONDS)
    emulator.control.advance(600)
    airflow.wait(partial(has_ended, airflow, dag_id, run_id), RUN_SECONDS)

    assert airflow.run_state(dag_id, run_id) == "success", airflow.log(dag_id, run_id, task_id)
    references = airflow.xcom(dag_id, run_id, task_id, key)
    assert [entry["job_reference"]["type"] for entry in references] == ["parse_v2", "parse_v2"]
    assert airflow.xcom(dag_id, run_id, task_id, "batch")["status"] == "COMPLETED"
    assert airflow.xcom(dag_id, run_id, task_id, "file_errors") == []
    counters = emulator.control.counters()
    assert (counters["batches"], counters["cancels"]) == (1, 0)


def test_every_file_of_a_directory_that_others_fill_is_processed_once(
    airflow: Airflow2, emulator: LlamaCloudEmulator, llamacloud: LlamaCloud, tmp_path: Path
) -> None:
    emulator.control.reset()
    emulator.control.change(**AT_ONCE)
    dag_id, client = "inbox_daily", llamacloud.client
    directory_id = client.send(calls.create_directory(name="inbox", type="user")).id
    airflow.command("variables", "set", "inbox_directory_id", directory_id)
    airflow.command("variables", "set", "markdown_folder", str(tmp_path))
    for night in ("1", "2"):
        client.send(calls.upload_directory_file(directory_id, night.encode(), display_name=f"{night}.txt"))
        airflow.trigger(dag_id, night, {})
        airflow.wait(partial(has_ended, airflow, dag_id, night), RUN_SECONDS)
        assert airflow.run_state(dag_id, night) == "success"
    rows = manifest.from_lines((tmp_path / "inbox" / "manifest.jsonl").read_bytes())
    assert [(row.file, Path(row.path or "").read_text()) for row in rows] == [("1.txt", "1"), ("2.txt", "2")]
    batches = client.send(calls.list_batches()).items
    results = [client.send(calls.get_batch(batch.id, expand_results=True)).results for batch in batches]
    assert [len(of_batch or ()) for of_batch in results] == [1, 1]
    [kept] = airflow.rows("SELECT val FROM variable WHERE key LIKE 'llamabatch_processed_%'")
    assert kept


def test_a_batch_over_each_of_many_directories_ends_in_one_manifest(
    airflow: Airflow2, emulator: LlamaCloudEmulator, llamacloud: LlamaCloud, tmp_path: Path
) -> None:
    emulator.control.reset()
    emulator.control.change(**AT_ONCE)
    dag_id, client = "many_directories", llamacloud.client
    airflow.command("pools", "set", "llamacloud", "2", "batches", "--include-deferred")
    directories = []
    for number in range(3):
        directories.append(client.send(calls.create_directory(name=f"d{number}", type="user")).id)
        client.send(calls.upload_directory_file(directories[-1], b"text", display_name=f"{number}.txt"))
    airflow.trigger(dag_id, "once", {"directory_ids": directories, "target": str(tmp_path)})
    airflow.wait(partial(has_ended, airflow, dag_id, "once"), RUN_SECONDS)
    assert airflow.run_state(dag_id, "once") == "success"
    rows = manifest.from_lines((tmp_path / "manifest.jsonl").read_bytes())
    assert [(row.file, row.status) for row in rows] == [(f"{n}.txt", "COMPLETED") for n in range(3)]


def test_no_secret_is_in_what_a_run_leaves_behind(airflow: Airflow2, llamacloud: LlamaCloud) -> None:
    """The serialized DAG holds what the DAG file holds, webhook secrets included, so only runs are looked at."""
    key = json.loads(llamacloud.connection_json)["password"]
    webhook_secrets = ("signing-secret-4711", "header-secret-4711")
    logs = [path for path in (airflow.home / "logs").rglob("*.log") if "run_id=" in str(path)]
    rendered = airflow.rows(
        "SELECT rendered_fields FROM rendered_task_instance_fields WHERE dag_id = 'waiting'"
    )
    assert logs
    assert rendered
    assert not any(secret in path.read_text() for path in logs for secret in (key, *webhook_secrets))
    assert not any(secret in str(rendered) for secret in webhook_secrets)
    assert key.encode() not in (airflow.home / "airflow.db").read_bytes()
