"""A DAG whose lineage and metrics are looked at: a folder to a folder, and a batch by separate tasks."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.task_groups import process_directory

PARAMS = {name: Param(type="string") for name in ("source", "target", "source_directory_id")}


@dag(schedule=None, catchup=False, params=PARAMS, default_args={"poll_interval": 2})
def observed() -> None:
    process_directory(
        source="{{ params.source }}", target="{{ params.target }}", configuration_id="cfg-PARSE_AGENTIC"
    )
    create = CreateBatchOperator(
        task_id="create",
        source_directory_id="{{ params.source_directory_id }}",
        configuration_id="cfg-PARSE_AGENTIC",
    )
    batch = BatchSensor(task_id="batch", batch_id=create.output)
    jobs = BatchJobsSensor(task_id="jobs", job_references=batch.output)
    jobs >> CancelBatchOperator(task_id="cancel", batch_id=create.output)
    # Its directory does not exist, so it fails.
    CreateBatchOperator(
        task_id="fails", source_directory_id="dir-missing", configuration_id="cfg-PARSE_AGENTIC"
    )


observed()
