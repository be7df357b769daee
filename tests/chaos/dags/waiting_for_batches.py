"""
Tasks that wait in the triggerer: operators that submit and wait, sensors that wait for batches made elsewhere.

Trigger it with ``directories`` (for the operators) and ``batches`` (for the sensors).
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor

POLL_INTERVAL = 2.0
TIMEOUT = 1800.0

with DAG(
    "waiting_for_batches",
    schedule=None,
    max_active_tasks=64,
    params={"directories": Param(type="array"), "batches": Param(type="array")},
):

    @task
    def given(name: str, params: dict[str, Any]) -> list[str]:
        """Hand ids to a mapped task."""
        ids: list[str] = params[name]
        return ids

    CreateBatchOperator.partial(
        task_id="create_and_wait",
        configuration_id="cfg-PARSE_AGENTIC",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=POLL_INTERVAL,
        timeout=TIMEOUT,
    ).expand(source_directory_id=given.override(task_id="directories")("directories"))

    BatchSensor.partial(
        task_id="wait",
        deferrable=True,
        poll_interval=POLL_INTERVAL,
        timeout=TIMEOUT,
    ).expand(batch_id=given.override(task_id="batches")("batches"))
