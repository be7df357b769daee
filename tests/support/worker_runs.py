"""How often a run's tasks were on a worker and for how long, read off what a real Airflow's executor logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.airflow_processes import RealAirflow

# One line for each time a worker has let go of a task (Airflow 3.3, sdk/execution_time/supervisor.py).
_LET_GO = re.compile(
    r"Workload finished .*\bduration=(?P<seconds>[\d.]+) .*\bfinal_state=(?P<state>\w+) .*\bworkload_id=(?P<id>[\w-]+)"
)
_COLOUR = re.compile(r"\x1b\[\d*m")


@dataclass(frozen=True)
class WorkerRun:
    """One stay of a task on a worker: for how many seconds, and the state it left in (``deferred``, ``success``...)."""

    task_id: str
    seconds: float
    final_state: str


def worker_runs(airflow: RealAirflow, dag_id: str, run_id: str) -> list[WorkerRun]:
    """Return the stays that have ended, in that order; the last one is logged a moment after the run's end."""
    names = {task["id"]: task["task_id"] for task in airflow.api.task_instances(dag_id, run_id)}
    log = _COLOUR.sub("", airflow.processes["scheduler"].log.read_text(encoding="utf-8"))
    return [
        WorkerRun(names[found["id"]], float(found["seconds"]), found["state"])
        for found in _LET_GO.finditer(log)
        if found["id"] in names
    ]
