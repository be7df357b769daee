"""What people see of a running task and do to it: clear it, mark it failed, or let it be. In a real Airflow."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.airflow_processes import RealAirflow
    from tests.support.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAG_ID, TASK_ID = "waiting", "parse"


@pytest.fixture
def deferred(
    airflow: RealAirflow,
    emulator: LlamaCloudEmulator,
    llamacloud: LlamaCloud,
    tmp_path: Path,
) -> tuple[str, dict[str, Any]]:
    """Return a run whose task waits, its trigger at work in the triggerer, and the task."""
    emulator.control.reset()
    emulator.control.change(batch_pending_seconds=300)
    document = tmp_path / "a.txt"
    document.write_text("hello")
    directory_id = llamacloud.upload("people", [document])
    airflow.wait_for_dag(DAG_ID)
    run_id = airflow.api.trigger(DAG_ID, {"source_directory_id": directory_id})
    task = airflow.wait_for_task(DAG_ID, run_id, TASK_ID, "deferred", seconds=90)
    assert until(lambda: _trigger_runs(airflow, run_id), seconds=90)
    return run_id, task


def _trigger_runs(airflow: RealAirflow, run_id: str) -> bool:
    """Say whether the triggerer's own line is in the task's log: only from then on is a kill told to the trigger."""
    lines = airflow.api.log_lines(DAG_ID, run_id, TASK_ID, try_number=1)
    return any(
        line.startswith(f"trigger {DAG_ID}/{run_id}/{TASK_ID}/") and "starting" in line for line in lines
    )


def test_a_wait_is_told_in_the_tasks_log_and_everything_lands_in_xcom(airflow, emulator, deferred):
    run_id, _ = deferred
    told = f"Batch {airflow.api.xcom(DAG_ID, run_id, TASK_ID, key='batch_id')} is PENDING"
    assert until(lambda: told in airflow.api.log_lines(DAG_ID, run_id, TASK_ID, try_number=1), seconds=60)
    emulator.control.advance(600)

    assert airflow.wait_for_run(DAG_ID, run_id, seconds=90) == "success"
    references = airflow.api.xcom(DAG_ID, run_id, TASK_ID, key="job_references")
    assert [entry["job_reference"]["type"] for entry in references] == ["parse_v2"]
    assert airflow.api.xcom(DAG_ID, run_id, TASK_ID) == airflow.api.xcom(
        DAG_ID, run_id, TASK_ID, key="batch_id"
    )
    lines = "\n".join(airflow.api.log_lines(DAG_ID, run_id, TASK_ID, try_number=1))
    assert lines.count("Decided to submit") == 1
    assert lines.count("completed with 1 jobs") == 1
    counters = emulator.control.counters()
    assert (counters["batches"], counters["cancels"]) == (1, 0)


def test_a_task_links_to_its_project_while_it_waits_and_after_it_failed(airflow, emulator, deferred):
    run_id, _ = deferred
    batch = airflow.api.xcom(DAG_ID, run_id, TASK_ID, key="batch_id")
    link = airflow.api.links(DAG_ID, run_id, TASK_ID)["LlamaCloud"]
    assert link.startswith("https://llamacloud.example.com/project/")
    emulator.control.advance(600)
    assert airflow.wait_for_run(DAG_ID, run_id, seconds=90) == "success"

    failed = airflow.api.trigger(DAG_ID, {"source_directory_id": "dir-nope"})

    assert airflow.wait_for_run(DAG_ID, failed, seconds=90) == "failed"
    links = {name: url for name, url in airflow.api.links(DAG_ID, failed, TASK_ID).items() if url}
    assert links == {"LlamaCloud": "https://llamacloud.example.com"}  # and there is no batch to lead to
    lines = airflow.api.log_lines(DAG_ID, failed, TASK_ID)
    assert [line.partition(":")[0] for line in lines if "dir-nope not found" in line] == [
        "RequestRefusedError"
    ]
    assert batch not in "".join(lines)


def test_a_stored_connection_is_found_by_the_test_button_and_by_the_doctor(airflow, emulator, llamacloud):
    """The port is what the documented commands store; without one Airflow 3.3 refuses what its button sends."""
    stored = {
        "connection_id": "stored",
        "conn_type": "llamabatch",
        "host": emulator.url,
        "port": 443,
        "password": emulator.api_key,
        "extra": "{}",
    }
    airflow.api.create_connection(stored)

    assert airflow.api.test_connection({**stored, "description": "", "login": "", "schema": ""}) == {
        "status": True,
        "message": f"The API key was accepted by {emulator.url}.",
    }
    examined = airflow.run_module(
        "airflow_provider_llamabatch", "doctor", "--conn-id", "stored", "--output", "json"
    )
    found = {row["check"]: row for row in json.loads(examined.stdout)}
    assert {row["result"] for row in found.values()} == {"ok"}
    assert found["triggerers"]["found"].startswith("1 alive")
    assert examined.returncode == 0


def test_marking_the_task_failed_cancels_the_batch_exactly_once(airflow, emulator, deferred):
    run_id, _ = deferred
    airflow.api.set_task_state(DAG_ID, run_id, TASK_ID, "failed")

    assert until(lambda: emulator.control.counters()["cancels"] > 0, seconds=60)
    time.sleep(3)
    counters = emulator.control.counters()
    assert (counters["batches"], counters["cancels"]) == (1, 1)


def test_clearing_a_waiting_task_rejoins_its_batch_and_cancels_nothing(airflow, emulator, deferred):
    run_id, _ = deferred
    airflow.api.clear(DAG_ID, run_id, [TASK_ID])
    assert until(
        lambda: (
            airflow.api.task_instance(DAG_ID, run_id, TASK_ID)["try_number"] == 2
            and airflow.api.task_instance(DAG_ID, run_id, TASK_ID)["state"] == "deferred"
        ),
        seconds=90,
    )
    time.sleep(3)  # the old trigger's on_kill would come now
    emulator.control.advance(600)

    assert airflow.wait_for_run(DAG_ID, run_id, seconds=90) == "success"
    counters = emulator.control.counters()
    assert (counters["batches"], counters["cancels"]) == (1, 0)
    log = "\n".join(airflow.api.log_lines(DAG_ID, run_id, TASK_ID, try_number=2))
    assert "Decided to rejoin batch" in log


def test_clearing_a_finished_task_gets_a_new_batch(airflow, emulator, deferred):
    run_id, _ = deferred
    emulator.control.advance(600)
    assert airflow.wait_for_run(DAG_ID, run_id, seconds=90) == "success"
    first = airflow.api.xcom(DAG_ID, run_id, TASK_ID)

    emulator.control.change(batch_pending_seconds=0)
    airflow.api.clear(DAG_ID, run_id, [TASK_ID])
    assert until(lambda: emulator.control.counters()["batches"] == 2, seconds=60)
    assert airflow.wait_for_run(DAG_ID, run_id, seconds=90) == "success"
    assert airflow.api.xcom(DAG_ID, run_id, TASK_ID) != first


def test_a_restarted_triggerer_keeps_the_deadline_and_cancels_nothing(airflow, emulator, deferred):
    run_id, before = deferred
    airflow.kill("triggerer")
    airflow.restart("triggerer")
    after = airflow.api.task_instance(DAG_ID, run_id, TASK_ID)
    assert after["trigger"]["kwargs"] == before["trigger"]["kwargs"]
    emulator.control.advance(600)

    assert airflow.wait_for_run(DAG_ID, run_id, seconds=120) == "success"
    counters = emulator.control.counters()
    assert (counters["batches"], counters["cancels"]) == (1, 0)


def test_webhook_secrets_are_in_nothing_that_a_run_leaves_behind(airflow, emulator, deferred):
    """The DAG file itself holds them, so its own serialized form is looked at apart."""
    run_id, task = deferred
    secrets = ("signing-secret-4711", "header-secret-4711")

    rendered = str(task["rendered_fields"])
    logs = [path for path in (airflow.home / "logs").rglob("*.log") if run_id in str(path)]
    assert logs
    assert not any(secret in rendered for secret in secrets)
    assert not any(secret in path.read_text() for path in logs for secret in secrets)
