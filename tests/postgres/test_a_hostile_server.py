"""Two triggerers over PostgreSQL survive whatever a server answers, and so does every other wait that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from tests.postgres.hostile_world import API_KEY, VERDICTS, trouble
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.postgres.hostile_world import HostileWorld
    from tests.support.airflow_processes import RealAirflow

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

DAG_ID = "waiting_beside_hostile_answers"
SERVED = 1  # times that each hostile answer is given at least


def test_no_answer_takes_a_triggerer_or_a_wait_beside_it_down(
    airflow: RealAirflow, hostile: HostileWorld, database: str
):
    waits = hostile.waits()
    airflow.wait_for_dag(DAG_ID)
    run_id = airflow.api.trigger(DAG_ID, {"waits": waits})

    def states() -> dict[str, Any]:
        tasks = [task for task in airflow.api.task_instances(DAG_ID, run_id) if task["task_id"] == "wait"]
        return {waits[task["map_index"]]["batch_id"]: task["state"] for task in tasks}

    served = hostile.gateway.served
    until(lambda: all(served[hostile.hostile[name]] >= SERVED for name in trouble()), seconds=300)
    until(lambda: all(states()[hostile.hostile[name]] == "failed" for name in VERDICTS), seconds=200)
    airflow.check()  # no process has ended
    hostile.control.advance(7200)
    until(lambda: all(states()[batch_id] == "success" for batch_id in hostile.healthy), seconds=120)
    assert {name for name in trouble() if states()[hostile.hostile[name]] != "deferred"} == set()

    hostile.gateway.is_hostile = False
    airflow.wait_for_run(DAG_ID, run_id, seconds=240)
    airflow.check()
    assert {name: states()[hostile.hostile[name]] for name in trouble()} == dict.fromkeys(
        trouble(), "success"
    )

    logs = "".join(path.read_text(errors="replace") for path in (airflow.home / "logs").rglob("*.log"))
    assert len(logs) < 3_000_000
    for name, text in (("logs", logs), ("database", _everything_in(database))):
        assert API_KEY not in text, name
        assert "\x1b[31m" not in text, name
        assert "\\u001b" not in text, name
        assert "\x00" not in text, name


def _everything_in(database: str) -> str:
    """Return what Airflow has stored of tasks: their results, errors and triggers."""
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        tables = ("xcom", "trigger", "task_instance", "rendered_task_instance_fields", "log")
        rows = [connection.execute(sqlalchemy.text(f"SELECT * FROM {table}")).all() for table in tables]
    engine.dispose()
    return repr(rows)
