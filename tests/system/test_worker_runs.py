"""How many times a batch takes a worker, counted in a real Airflow: what a task slot and a start of Python cost."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.worker_runs import worker_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.airflow_processes import RealAirflow
    from tests.support.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LOGGED_SECONDS = 10.0  # the executor logs the end of a task at its next heartbeat


@pytest.fixture
def stays(
    airflow: RealAirflow, emulator: LlamaCloudEmulator, llamacloud: LlamaCloud, tmp_path: Path
) -> Callable[..., list[tuple[str, str]]]:
    """Return a function that runs a DAG over a new directory and returns each stay on a worker, sorted."""
    document = tmp_path / "a.txt"
    document.write_text("hello")

    def run(dag_id: str, *, waits_in: str | None = None) -> list[tuple[str, str]]:
        airflow.wait_for_dag(dag_id)
        directory_id = llamacloud.upload("worker runs", [document])
        run_id = airflow.api.trigger(dag_id, {"source_directory_id": directory_id})
        if waits_in is not None:
            airflow.wait_for_task(dag_id, run_id, waits_in, "deferred", seconds=90)
            emulator.control.advance(600)
        assert airflow.wait_for_run(dag_id, run_id, seconds=90) == "success"
        end, found = time.monotonic() + LOGGED_SECONDS, worker_runs(airflow, dag_id, run_id)
        while Counter(stay.final_state for stay in found)["success"] < _tasks(airflow, dag_id, run_id):
            assert time.monotonic() < end, found
            time.sleep(0.5)
            found = worker_runs(airflow, dag_id, run_id)
        assert emulator.control.counters()["batches_by_directory"][directory_id] == 1
        # Airflow logs what let go of its worker as its executor notices it, so the order of short stays is chance.
        return sorted((stay.task_id, stay.final_state) for stay in found)

    emulator.control.reset()
    return run


def _tasks(airflow: RealAirflow, dag_id: str, run_id: str) -> int:
    return len(airflow.api.task_instances(dag_id, run_id))


def test_a_task_that_submits_and_waits_is_on_a_worker_twice(emulator, stays):
    emulator.control.freeze()
    assert stays("one_task_deferred", waits_in="create") == [("create", "deferred"), ("create", "success")]


def test_a_task_to_submit_and_a_sensor_to_wait_are_on_a_worker_three_times(emulator, stays):
    emulator.control.freeze()
    assert stays("two_tasks_deferred", waits_in="wait") == [
        ("create", "success"),
        ("wait", "deferred"),
        ("wait", "success"),
    ]


def test_a_batch_that_has_ended_defers_nobody(emulator, stays):
    emulator.control.change(batch_pending_seconds=0, batch_running_seconds=0)
    assert stays("one_task_deferred") == [("create", "success")]
    assert stays("two_tasks_deferred") == [("create", "success"), ("wait", "success")]
