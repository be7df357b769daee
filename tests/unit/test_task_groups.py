"""What the tasks of ``process_directory`` are given: by its arguments, and by the ``default_args`` around it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator
from airflow_provider_llamabatch.task_groups import process_directory

FOLDERS: dict[str, Any] = {"source": "/in", "target": "/out", "configuration_id": "cfg-1"}


def tasks_of(dag_args: dict[str, Any] | None = None, **arguments: Any) -> dict[str, dict[str, Any]]:
    """Return what each task got of the arguments that are asked about."""
    names = ("llamabatch_conn_id", "project_id", "poll_interval", "timeout", "max_concurrency", "retries")
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1), default_args=dag_args or {}) as dag:
        group = process_directory(**FOLDERS, **arguments)
        single = DeleteDirectoryOperator(task_id="single", directory_id="dir-1")
    found = {}
    for task_id in (*group.children, single.task_id):
        task = dag.get_task(task_id)
        if hasattr(task, "unmap"):
            task = task.unmap({"source_directory_id": "dir-1"})
        held = vars(task)
        found[task_id.rpartition(".")[2]] = {name: held[name] for name in names if name in held}
        found[task_id.rpartition(".")[2]]["retries"] = task.retries
    return found


@pytest.mark.parametrize("where", ["group", "DAG"])
def test_connection_project_and_times_come_from_default_args_where_they_are_not_given(where):
    args = {
        "llamabatch_conn_id": "tenant",
        "project_id": "prj-1",
        "poll_interval": 300.0,
        "timeout": 60.0,
        "max_concurrency": 3,
        "retries": 5,
    }
    found = tasks_of(args) if where == "DAG" else tasks_of(default_args=args)
    if where == "group":
        del found["single"]
    for name, task in found.items():
        assert task == {argument: args[argument] for argument in task}, name
    assert found["create_batch"]["poll_interval"] == 300.0
    assert found["upload"]["max_concurrency"] == 3


def test_what_is_given_to_the_group_goes_before_default_args():
    found = tasks_of(
        {"llamabatch_conn_id": "of the DAG", "retries": 0},
        default_args={"llamabatch_conn_id": "of the group"},
        llamabatch_conn_id="given",
    )
    assert found.pop("single")["llamabatch_conn_id"] == "of the DAG"
    assert {task["llamabatch_conn_id"] for task in found.values()} == {"given"}
    assert {task["retries"] for task in found.values()} == {0}


def test_the_tasks_are_retried_twice_where_nothing_else_is_said():
    found = tasks_of()
    assert {name: task["retries"] for name, task in found.items() if name != "single"} == dict.fromkeys(
        ("upload", "create_batch", "save_results", "delete_directories"), 2
    )
    assert found["upload"]["llamabatch_conn_id"] == "llamabatch_default"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"job_type": "extract_v2", "reuse": False}, "default_args: job_type, reuse: an argument of"),
        ({"poll_interval": "5m"}, "poll_interval: must be"),
    ],
)
def test_default_args_that_would_do_nothing_or_are_wrong_are_refused(args, said):
    with pytest.raises(InvalidInputError, match=said):
        tasks_of(default_args=args)
