"""Triggerers of a real Airflow that vanish or stand still while batches wait in them."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.real_airflow import wait_until
from tests.chaos.rows import Row, Run, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.chaos.cloud import Cloud
    from tests.support.airflow_processes import RealAirflow

DAG_ID = "waiting_for_batches"
HOLDER, OTHER = "triggerer", "triggerer-2"
PATIENCE = 120.0  # seconds for each step
LOCKED_SECONDS = 2.0  # longer than any of Airflow's transactions takes
LOOKS = 2  # of whoever took over, before anything ends

# Who waits where, with which arguments: not to be had from Airflow's API.
_WAITS = """
    SELECT trigger.id, trigger.triggerer_id, trigger.kwargs
    FROM task_instance JOIN trigger ON trigger.id = task_instance.trigger_id
    WHERE task_instance.run_id = ? AND trigger.triggerer_id IS NOT NULL
"""
_TRIGGERERS = "SELECT id FROM job WHERE job_type = 'TriggererJob'"


def _kill(airflow: RealAirflow) -> None:
    airflow.kill(HOLDER)


def _kill_and_start(airflow: RealAirflow) -> None:
    airflow.kill(HOLDER)
    airflow.restart(HOLDER)


def _stop(airflow: RealAirflow) -> None:
    """Let it stand still, but not while it holds SQLite's lock: that would stop all the others as well."""
    airflow.signal(HOLDER, signal.SIGSTOP)
    while _database_is_locked(airflow):
        airflow.signal(HOLDER, signal.SIGCONT)
        time.sleep(0.1)
        airflow.signal(HOLDER, signal.SIGSTOP)


def _go_on(airflow: RealAirflow, run_id: str, waits: int) -> None:
    """Let it find out that its waits are gone: it takes them for killed and says so to each."""
    airflow.signal(HOLDER, signal.SIGCONT)
    _until(lambda: _on_kills(airflow, run_id) == waits, "the triggerer did not drop its waits")


def _nothing(airflow: RealAirflow, run_id: str, waits: int) -> None:
    """Leave it at that."""


@dataclass(frozen=True)
class Blow:
    """What befalls the triggerer that holds all waits, and what follows once they were taken over."""

    fault: str
    strike: Callable[[RealAirflow], None]
    has_standby: bool = True
    afterwards: Callable[[RealAirflow, str, int], None] = _nothing


BLOWS = (
    Blow("triggerer killed, another one runs", _kill),
    Blow("triggerer killed, then started again", _kill_and_start, has_standby=False),
    Blow("triggerer stands still, goes on after its waits were taken over", _stop, afterwards=_go_on),
)


def strike_triggerers(
    airflow: RealAirflow, cloud: Cloud, waits: int, blows: Sequence[Blow] = BLOWS
) -> list[Row]:
    """Have ``waits`` operators and as many sensors wait through each blow and return a row per blow."""
    airflow.wait_for_dag(DAG_ID)
    return [_row(airflow, cloud, waits, blow) for blow in blows]


def _row(airflow: RealAirflow, cloud: Cloud, waits: int, blow: Blow) -> Row:
    _have_one_triggerer(airflow)
    cloud.control.reset()
    cloud.control.freeze()  # no batch ends before it is told to
    directories = cloud.make_directories(2 * waits)
    batches = [cloud.make_batch(directory_id).id for directory_id in directories[waits:]]
    run_id = airflow.api.trigger(DAG_ID, {"directories": directories[:waits], "batches": batches})
    _until(lambda: len(_waits(airflow, run_id)) == 2 * waits, "not all tasks wait in the triggerer")
    before = _waits(airflow, run_id)
    if blow.has_standby:
        _start_other(airflow)

    blow.strike(airflow)
    _until(lambda: _all_moved(before, _waits(airflow, run_id)), "the waits were not taken over")
    blow.afterwards(airflow, run_id, len(before))
    _until_looked_at(cloud)
    after = _waits(airflow, run_id)

    cloud.control.advance(600)
    airflow.wait_for_run(DAG_ID, run_id, seconds=PATIENCE + 10 * waits)
    ended_with = _operators_batches(airflow, run_id, waits) + _sensors_batches(airflow, run_id, waits)
    kept = {wait.trigger_id: wait.deadline for wait in before} == {
        wait.trigger_id: wait.deadline for wait in after
    }
    runs = [
        Run(directory_id, batch_id if kept else None)
        for directory_id, batch_id in zip(directories, ended_with, strict=True)
    ]
    cancelled = cloud.control.counters()["cancels"]
    return row_of(blow.fault, "both, deferred", len(before), runs, cloud.batches(), cancelled)


@dataclass(frozen=True)
class Waiting:
    """A task in the triggerer ``triggerer_id``; ``deadline`` is in epoch seconds, as the trigger will read it."""

    trigger_id: int
    triggerer_id: int
    deadline: float


def _waits(airflow: RealAirflow, run_id: str) -> list[Waiting]:
    return [
        Waiting(trigger_id, triggerer_id, json.loads(arguments)["deadline"])
        for trigger_id, triggerer_id, arguments in _read(airflow, _WAITS, run_id)
    ]


def _all_moved(before: Sequence[Waiting], after: Sequence[Waiting]) -> bool:
    gone = {wait.triggerer_id for wait in before}
    return len(after) == len(before) and not gone & {wait.triggerer_id for wait in after}


def _database_is_locked(airflow: RealAirflow) -> bool:
    with closing(sqlite3.connect(_database_of(airflow), timeout=LOCKED_SECONDS)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def _database_of(airflow: RealAirflow) -> Path:
    return airflow.home / "airflow.db"


def _read(airflow: RealAirflow, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(f"file:{_database_of(airflow)}?mode=ro", uri=True)) as database:
        return database.execute(query, values).fetchall()


def _have_one_triggerer(airflow: RealAirflow) -> None:
    airflow.kill(OTHER)
    if airflow.processes[HOLDER].exit_code is not None:
        airflow.restart(HOLDER)


def _start_other(airflow: RealAirflow) -> None:
    known = _read(airflow, _TRIGGERERS)
    airflow.restart(OTHER)
    _until(lambda: _read(airflow, _TRIGGERERS) != known, "the other triggerer did not come up")


def _on_kills(airflow: RealAirflow, run_id: str) -> int:
    """Count the triggers of a run whose ``on_kill`` Airflow says to have called."""
    logs = (airflow.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={run_id}").rglob("*.trigger.*.log")
    return sum("invoking on_kill" in log.read_text(encoding="utf-8") for log in logs)


def _until_looked_at(cloud: Cloud) -> None:
    enough = cloud.control.counters()["requests"] + LOOKS
    _until(lambda: cloud.control.counters()["requests"] >= enough, "nobody looks at the batches any more")


def _until(is_done: Callable[[], bool], what: str) -> None:
    wait_until(is_done, what, seconds=PATIENCE)


def _operators_batches(airflow: RealAirflow, run_id: str, waits: int) -> list[str | None]:
    """Return the ids that the operators returned, None for those that did not succeed."""
    states = _states(airflow, run_id, "create_and_wait")
    return [
        airflow.api.xcom(DAG_ID, run_id, "create_and_wait", map_index=n) if states[n] == "success" else None
        for n in range(waits)
    ]


def _sensors_batches(airflow: RealAirflow, run_id: str, waits: int) -> list[str | None]:
    """Return the ids of the batches whose jobs the sensors returned, None where they did not."""
    states = _states(airflow, run_id, "wait")
    ids: list[str | None] = []
    for n in range(waits):
        references = airflow.api.xcom(DAG_ID, run_id, "wait", map_index=n) if states[n] == "success" else []
        batch = airflow.api.xcom(DAG_ID, run_id, "wait", key="batch", map_index=n) if references else None
        ids.append(batch["id"] if batch else None)
    return ids


def _states(airflow: RealAirflow, run_id: str, task_id: str) -> dict[int, str | None]:
    instances = airflow.api.task_instances(DAG_ID, run_id)
    return {one["map_index"]: one["state"] for one in instances if one["task_id"] == task_id}
