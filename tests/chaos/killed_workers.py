"""Worker processes of a real Airflow, killed at every step of a submission; then Airflow tries again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.rows import Row, Run, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tests.chaos.cloud import Cloud
    from tests.support.airflow_processes import RealAirflow

DAG_ID = "killed_while_submitting"
BOUNDARIES = (
    "before the list",
    "after the intent",
    "in the middle of the POST",
    "after the POST, before the answer",
    "after the server committed",
    "after the id is recorded",
    "after XCom",
    "after the intent, with its supervisor",
    "after the server committed, with its supervisor",
)
LIST_LAG = 3.0  # seconds until the list shows a new batch


def kill_workers(
    airflow: RealAirflow, cloud: Cloud, kills: int, boundaries: Sequence[str] = BOUNDARIES
) -> list[Row]:
    """Kill the first try of ``kills`` task instances at each boundary and return a row per boundary."""
    cloud.control.reset()
    cloud.control.change(list_hides_new_batches_seconds=LIST_LAG, batch_running_seconds=3600)
    directories = cloud.make_directories(kills * len(boundaries))
    # Boundaries take turns, so that those that search for their batch do not hold all workers together.
    cases = [
        {"source_directory_id": directory_id, "boundary": boundaries[n % len(boundaries)]}
        for n, directory_id in enumerate(directories)
    ]
    airflow.wait_for_dag(DAG_ID)
    run_id = airflow.api.trigger(DAG_ID, {"cases": cases})
    airflow.wait_for_run(DAG_ID, run_id, seconds=240 + 5 * len(cases))
    tasks = [task for task in airflow.api.task_instances(DAG_ID, run_id) if task["task_id"] == "create"]
    made = cloud.batches()
    cancelled = cloud.control.counters()["cancels"]
    return [
        _row(airflow, boundary, [(cases[task["map_index"]], task) for task in tasks], made, cancelled)
        for boundary in boundaries
    ]


def _row(
    airflow: RealAirflow,
    boundary: str,
    tasks: Sequence[tuple[dict[str, str], dict[str, Any]]],
    made: dict[str, list[str]],
    cancelled: int,
) -> Row:
    ours = [(case["source_directory_id"], task) for case, task in tasks if case["boundary"] == boundary]
    runs = [Run(directory_id, _returned(airflow, task)) for directory_id, task in ours]
    killed = sum(task["try_number"] > 1 for _, task in ours)
    of_ours = {run.directory_id: made.get(run.directory_id, []) for run in runs}
    return row_of(f"worker killed {boundary}", "CreateBatchOperator", killed, runs, of_ours, cancelled)


def _returned(airflow: RealAirflow, task: dict[str, Any]) -> str | None:
    if task["state"] != "success":
        return None
    value: str = airflow.api.xcom(DAG_ID, task["dag_run_id"], "create", map_index=task["map_index"])
    return value
