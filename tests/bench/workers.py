"""What a batch costs the workers: each way to run one, in a real Airflow, from the submission to the references.

Called by the benchmark as ``python -m tests.bench.workers``; prints one line of JSON. The ways take turns in one
Airflow against the emulator, so that each meets the same machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.llamacloud import calls
from tests.support.airflow_processes import RealAirflow
from tests.support.llamacloud import LlamaCloud
from tests.support.worker_runs import worker_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH_SECONDS = 60
ROUNDS = 5
BETWEEN_SECONDS = 5.0  # so that tasks do not start on top of each other
DEADLINE_SECONDS = 180.0
LOGGED_SECONDS = 6.0  # the executor logs the end of a task at its next heartbeat
DAGS = Path(__file__).parents[1] / "system" / "dags"
API_KEY = "llx-worker-bench"

FORMS = {
    "one_task_deferred": "`CreateBatchOperator` waits, deferred",
    "two_tasks_deferred": "`CreateBatchOperator`, then `BatchSensor`, deferred",
    "two_tasks_rescheduled": "`CreateBatchOperator`, then `BatchSensor`, rescheduled every 10 s",
    "one_task_on_its_worker": "`CreateBatchOperator` waits on its worker",
}


@dataclass(frozen=True)
class Cost:
    """One batch, or the medians of several: stays on a worker, their seconds in all, and the latest task's end."""

    form: str
    stays: float
    seconds: float
    late: float  # seconds from the batch's end to the end of the last task


def measure() -> dict[str, Any]:
    """Run every form ``ROUNDS`` times and return the medians of each."""
    with tempfile.TemporaryDirectory() as folder, LlamaCloudEmulator(api_key=API_KEY) as emulator:
        emulator.control.change(batch_pending_seconds=1, batch_running_seconds=BATCH_SECONDS - 1)
        llamacloud = LlamaCloud("the emulator", {"password": API_KEY, "host": emulator.url})
        environment = {"AIRFLOW_CONN_LLAMABATCH_DEFAULT": llamacloud.connection_json}
        document = Path(folder, "a.txt")
        document.write_text("hello")
        with RealAirflow(Path(folder, "airflow"), DAGS, env=environment) as airflow:
            costs = run_all(airflow, llamacloud, document)
        llamacloud.close()
        submitted = emulator.control.counters()["batches"]
    if submitted != len(costs):
        raise RuntimeError(f"{len(costs)} runs made {submitted} batches")
    medians = [median_cost([cost for cost in costs if cost.form == form]) for form in FORMS]
    return {"batch_seconds": BATCH_SECONDS, "rounds": ROUNDS, "forms": [asdict(cost) for cost in medians]}


def run_all(airflow: RealAirflow, llamacloud: LlamaCloud, document: Path) -> list[Cost]:
    """Start all runs in turns, each over a directory of its own, and return what each cost."""
    for form in FORMS:
        airflow.wait_for_dag(form)
    runs = []
    for _ in range(ROUNDS):
        for form in FORMS:
            conf = {"source_directory_id": llamacloud.upload("worker bench", [document])}
            runs.append((form, airflow.api.trigger(form, conf)))
            time.sleep(BETWEEN_SECONDS)
    for form, run_id in runs:
        if airflow.wait_for_run(form, run_id, seconds=DEADLINE_SECONDS) != "success":
            raise RuntimeError(f"a run of {form} failed")
    time.sleep(LOGGED_SECONDS)
    return [cost_of(airflow, llamacloud, form, run_id) for form, run_id in runs]


def cost_of(airflow: RealAirflow, llamacloud: LlamaCloud, form: str, run_id: str) -> Cost:
    """Return what a run that is over has cost."""
    batch = llamacloud.client.send(calls.get_batch(airflow.api.xcom(form, run_id, "create")))
    assert batch.created_at is not None
    tasks = airflow.api.task_instances(form, run_id)
    ended = max(datetime.fromisoformat(task["end_date"]).timestamp() for task in tasks)
    stays = worker_runs(airflow, form, run_id)
    return Cost(
        form,
        stays=len(stays),
        seconds=sum(stay.seconds for stay in stays),
        late=ended - (batch.created_at.timestamp() + BATCH_SECONDS),
    )


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Return the medians of one form's runs."""
    names = ("stays", "seconds", "late")
    return Cost(costs[0].form, **{name: median(getattr(cost, name) for cost in costs) for name in names})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
