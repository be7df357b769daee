"""The example DAGs of the pipeline, and a watched directory, in a real Airflow over PostgreSQL."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from airflow_provider_llamabatch.defaults import EVENT_SETTLE, FIRST_POLL_AFTER
from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.llamacloud import calls
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.postgres.pipeline_world import PipelineWorld
    from tests.support.airflow_processes import RealAirflow

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAY = 24 * 3600.0
AT_ONCE = dict.fromkeys(
    ("batch_pending_seconds", "batch_running_seconds", "job_pending_seconds", "job_running_seconds"), 0
)
TRIGGERERS = ("triggerer", "triggerer-2")


def states(airflow: RealAirflow, dag_id: str, run_id: str) -> dict[str, str]:
    tasks = airflow.api.task_instances(dag_id, run_id)
    return {task["task_id"].rpartition(".")[2]: task["state"] for task in tasks}


def ended(airflow: RealAirflow, dag_id: str, run_id: str) -> str:
    assert airflow.wait_for_run(dag_id, run_id, seconds=120) == "success", states(airflow, dag_id, run_id)
    return run_id


def test_nights_over_a_directory_that_others_fill(airflow: RealAirflow, world: PipelineWorld):
    dag_id, target = "inbox_daily", world.home / "markdown" / "inbox"
    world.arrive(world.inbox, "1a.txt", "1b.txt")
    first = ended(airflow, dag_id, airflow.wait_for_scheduled_run(dag_id))
    world.control.change(**AT_ONCE)
    nights = [first]
    for night in (2, 3):
        world.control.advance(DAY)
        world.arrive(world.inbox, f"{night}a.txt", f"{night}b.txt")
        nights.append(ended(airflow, dag_id, airflow.api.trigger(dag_id)))
    assert [airflow.api.xcom(dag_id, run, "process_directory.save_results")["saved"] for run in nights] == [
        2,
        2,
        2,
    ]

    batches = len(world.cloud.client.send(calls.list_batches()).items)
    airflow.api.clear(dag_id, nights[1], ["process_directory.create_batch"], downstream=True)
    until(lambda: airflow.api.run_state(dag_id, nights[1]) != "success")
    ended(airflow, dag_id, nights[1])
    assert len(world.cloud.client.send(calls.list_batches()).items) == batches

    world.control.advance(DAY)
    world.arrive(world.inbox, "4.txt")
    airflow.api.backfill(dag_id, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    made_up = until(lambda: runs if len(runs := backfilled(airflow, dag_id)) == 2 else None)
    for run in made_up:
        ended(airflow, dag_id, run)
    assert sorted(states(airflow, dag_id, run)["create_batch"] for run in made_up) == ["skipped", "success"]

    assert world.paid() == {f"this is {name}.txt": 1 for name in ("1a", "1b", "2a", "2b", "3a", "3b", "4")}
    rows = manifest.from_lines((target / "manifest.jsonl").read_bytes())
    assert {row.file: row.status for row in rows} == dict.fromkeys(
        ("1a.txt", "1b.txt", "2a.txt", "2b.txt", "3a.txt", "3b.txt", "4.txt"), "COMPLETED"
    )
    assert all(Path(row.path or "").read_text() == f"this is {row.file}" for row in rows)


def test_what_was_processed_is_known_by_the_asset_where_the_task_has_it_also_without_the_variable(
    airflow: RealAirflow, world: PipelineWorld
):
    dag_id = "inbox_with_asset"
    world.control.change(**AT_ONCE)
    world.arrive(world.asset, "first.txt")
    airflow.wait_for_dag(dag_id)
    before = airflow.api.variables()
    for told in ("success", "skipped"):
        assert states(airflow, dag_id, ended(airflow, dag_id, airflow.api.trigger(dag_id))) == {
            "create": told
        }
        [kept] = {*airflow.api.variables()} - {*before}
        airflow.api.delete_variable(kept)


def backfilled(airflow: RealAirflow, dag_id: str) -> list[str]:
    return [run for run in airflow.api.run_ids(dag_id) if run.startswith("backfill")]


def test_a_person_decides_about_invoices_that_were_not_read_surely(
    airflow: RealAirflow, world: PipelineWorld
):
    dag_id = "invoices_to_parquet"
    world.control.change(**AT_ONCE, file_results={"blurred*": {"confidence": 0.62}})
    (world.home / "invoices").mkdir()
    for number, name in enumerate(("good.txt", "blurred.txt"), 1):
        (world.home / "invoices" / name).write_text(f"Invoice number: A-{number}\nTotal: {number}.5\n")
    (world.home / "invoices" / "broken.pdf").write_bytes(b"%PDF-nonsense")
    run_id = airflow.wait_for_scheduled_run(dag_id)
    waiting = ("deferred", "awaiting_input")  # before Airflow 3.3, and since
    until(lambda: states(airflow, dag_id, run_id).get("approve") in waiting, 120)
    asked = airflow.api.question(dag_id, run_id, "approve")
    assert "blurred.txt: sure to 62 %" in asked
    assert "1 have no record" in asked
    assert "good.txt" not in asked
    time.sleep(FIRST_POLL_AFTER)  # a task resumed sooner can be marked failed by the scheduler
    airflow.api.answer(dag_id, run_id, "approve", "Approve")
    ended(airflow, dag_id, run_id)
    assert states(airflow, dag_id, run_id)["approve"] == "success"
    table = pq.read_table(world.home / "records" / "records.parquet")
    assert sorted(table.column("total").to_pylist()) == [1.5, 2.5]


def test_a_pool_bounds_how_many_batches_run_at_once(airflow: RealAirflow, world: PipelineWorld):
    dag_id = "many_directories"
    world.control.change(batch_pending_seconds=1, batch_running_seconds=2)
    directories = [
        world.cloud.client.send(calls.create_directory(name=f"d{number}", type="user")).id
        for number in range(3)
    ]
    for number, directory_id in enumerate(directories):
        world.arrive(directory_id, f"{number}.txt")
    airflow.api.create_pool("llamacloud", 2)
    airflow.wait_for_dag(dag_id)
    target = world.home / "many"
    run_id = airflow.api.trigger(dag_id, {"directory_ids": directories, "target": str(target)})
    ended(airflow, dag_id, run_id)
    spans = [
        (task["start_date"], task["end_date"])
        for task in airflow.api.task_instances(dag_id, run_id)
        if task["task_id"] == "create_batch"
    ]
    assert len(spans) == 3
    assert all(sum(start <= one[0] < end for start, end in spans) <= 2 for one in spans)
    rows = manifest.from_lines((target / "manifest.jsonl").read_bytes())
    assert [row.file for row in rows] == ["0.txt", "1.txt", "2.txt"]
    assert {row.status for row in rows} == {"COMPLETED"}


def test_a_dag_runs_once_for_each_document_where_documents_are_partitions(
    airflow: RealAirflow, world: PipelineWorld
):
    world.control.change(**AT_ONCE)
    names = ["a.txt", "north/b.txt", "name with spaces.txt"]
    for name in names:
        path = world.home / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for dag_id in ("partitioned", "for_each_text"):
        airflow.wait_for_dag(dag_id)
    airflow.api.unpause("for_each_text")
    ended(airflow, "partitioned", airflow.api.trigger("partitioned"))
    runs = until(lambda: found if len(found := airflow.api.run_ids("for_each_text")) == len(names) else None)
    told = [airflow.api.xcom("for_each_text", ended(airflow, "for_each_text", run), "name") for run in runs]
    assert sorted(told) == sorted(names)


def test_a_dag_runs_once_for_each_batch_of_a_watched_directory(airflow: RealAirflow, world: PipelineWorld):
    dag_id = "watched"
    world.control.change(**AT_ONCE)
    world.arrive(world.watched, "a.txt")
    world.submit(world.watched)  # before anybody watches: no news
    airflow.wait_for_dag(dag_id)
    airflow.api.unpause(dag_id)
    # Airflow starts a watcher when it reads the file of an active DAG.
    (world.home / "dags" / "watched.py").touch()
    lists = lambda: world.control.counters()["requests_by_route"].get("GET /api/v2/batches", 0)  # noqa: E731
    looked = lists()
    until(lambda: lists() >= looked + 2)
    batches = [world.submit(world.watched)]
    until(lambda: len(airflow.api.run_ids(dag_id)) == 1)
    time.sleep(EVENT_SETTLE + 1.5)  # so that the event is sure to be stored, and remembered
    for triggerer in TRIGGERERS:  # whichever of them watches
        airflow.kill(triggerer)
    batches.append(world.submit(world.watched))
    for triggerer in TRIGGERERS:
        airflow.restart(triggerer)
    until(lambda: len(airflow.api.run_ids(dag_id)) == 2, 90)
    batches.append(world.submit(world.watched))
    until(lambda: len(airflow.api.run_ids(dag_id)) == 3)
    looked = lists()
    until(lambda: lists() >= looked + 3)
    runs = airflow.api.run_ids(dag_id)
    told = [airflow.api.xcom(dag_id, ended(airflow, dag_id, run_id), "batch_ids") for run_id in runs]
    assert sorted(told) == sorted([batch_id] for batch_id in batches)
