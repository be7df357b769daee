"""What a thousand files cost a real Airflow, from a folder to a folder: the task group, beside a mapped task per file.

Called by the benchmark as ``python -m tests.bench.folders``; prints one line of JSON. Each DAG runs alone in one
Airflow against the emulator. CPU is that of all of Airflow's processes and everything they started, from the trigger
to the end of the run; what an idle Airflow takes in as long a time is taken off, as it is no cost of the run.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from tests.support.airflow_processes import RealAirflow
from tests.support.llamacloud import LlamaCloud

FILES = 1000
IDLE_SECONDS = 20.0
DEADLINE_SECONDS = 1800.0
API_KEY = "llx-folder-bench"
DAGS = Path(__file__).parents[2] / "dags_examples"

BEFORE, AFTER = "parse_directory", "folder_to_markdown"
TITLES = {BEFORE: "a mapped, rescheduled task per file (upload not counted)", AFTER: "`process_directory`"}


@dataclass(frozen=True)
class Cost:
    """One run over all files."""

    dag_id: str
    tasks: int
    cpu: float  # seconds, above an idle Airflow's
    seconds: float  # from the trigger to the end


def cpu_of(airflow: RealAirflow) -> float:
    """Return the processor seconds of Airflow's processes so far, with those of what they started and has ended."""
    total = 0.0
    for process in airflow.processes.values():
        for member in process.members():
            try:
                times = member.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def measure() -> dict[str, Any]:
    """Run both DAGs over the same thousand files and return what each cost."""
    with tempfile.TemporaryDirectory() as home, LlamaCloudEmulator(api_key=API_KEY) as emulator:
        folder, source = Path(home), Path(home, "in")
        source.mkdir()
        for number in range(FILES):
            (source / f"{number:04}.txt").write_text(f"document {number}\n" * 20)
        cloud = LlamaCloud("the emulator", {"password": API_KEY, "host": emulator.url})
        environment = {
            "AIRFLOW_CONN_LLAMABATCH_DEFAULT": cloud.connection_json,
            "AIRFLOW_VAR_DOCUMENTS_FOLDER": str(source),
            "AIRFLOW_VAR_MARKDOWN_FOLDER": str(folder / "markdown"),
        }
        directory_id = cloud.upload("before", sorted(source.iterdir()))
        conf = {"source_directory_id": directory_id, "report_path": str(folder / "report" / "report.jsonl")}
        with RealAirflow(folder / "airflow", DAGS, env=environment) as airflow:
            for dag_id in TITLES:
                airflow.wait_for_dag(dag_id)
            idle = _idle(airflow)
            after = _run(airflow, AFTER, airflow.wait_for_scheduled_run, idle)
            before = _run(airflow, BEFORE, lambda dag_id: airflow.api.trigger(dag_id, conf), idle)
        cloud.close()
        rows = manifest.from_lines((folder / "markdown" / "manifest.jsonl").read_bytes())
    if sum(row.is_saved for row in rows) != FILES:
        raise RuntimeError(f"{sum(row.is_saved for row in rows)} of {FILES} files were saved")
    return {"files": FILES, "idle_cpu_per_second": idle, "costs": [asdict(before), asdict(after)]}


def _idle(airflow: RealAirflow) -> float:
    before = cpu_of(airflow)
    time.sleep(IDLE_SECONDS)
    return (cpu_of(airflow) - before) / IDLE_SECONDS


def _run(airflow: RealAirflow, dag_id: str, begin: Any, idle: float) -> Cost:
    cpu, began = cpu_of(airflow), time.monotonic()
    run_id = begin(dag_id)
    if airflow.wait_for_run(dag_id, run_id, seconds=DEADLINE_SECONDS) != "success":
        raise RuntimeError(f"the run of {dag_id} failed")
    seconds = time.monotonic() - began
    used = cpu_of(airflow) - cpu - idle * seconds
    cost = Cost(dag_id, len(airflow.api.task_instances(dag_id, run_id)), used, seconds)
    sys.stderr.write(f"{cost}\n")
    return cost


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
