"""The four ways to run a batch from a DAG, one DAG each: who waits, and in how many tasks."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor

BATCH: dict[str, Any] = {
    "task_id": "create",
    "source_directory_id": "{{ params.source_directory_id }}",
    "configuration_id": "cfg-PARSE_AGENTIC",
}


def a_dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, catchup=False, params={"source_directory_id": Param(type="string")})


with a_dag("one_task_deferred"):
    CreateBatchOperator(**BATCH, wait_for_completion=True, deferrable=True)

with a_dag("two_tasks_deferred"):
    BatchSensor(task_id="wait", batch_id=CreateBatchOperator(**BATCH).output, deferrable=True)

with a_dag("two_tasks_rescheduled"):
    BatchSensor(
        task_id="wait",
        batch_id=CreateBatchOperator(**BATCH).output,
        deferrable=False,
        mode="reschedule",
        poke_interval=10,
    )

with a_dag("one_task_on_its_worker"):
    CreateBatchOperator(**BATCH, wait_for_completion=True, deferrable=False)
