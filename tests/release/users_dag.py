"""A user's file, as mypy --strict and pyright see it: what one task returns is handed on to the next."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.task_groups import process_directory

with DAG("typed", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False):
    upload = UploadDirectoryOperator(task_id="upload", source="s3://documents/in")
    create = CreateBatchOperator(
        task_id="create",
        source_directory_id="dir-1",
        configuration_id="cfg-PARSE_AGENTIC",
        poll_interval=timedelta(seconds=30),
    )
    batch = BatchSensor(task_id="batch", batch_id=create.output)
    jobs = BatchJobsSensor(task_id="jobs", job_references=batch.output, timeout=timedelta(hours=2))
    save = SaveBatchResultsOperator(
        task_id="save", job_references=jobs.output, target="s3://documents/out", outputs=["markdown", "text"]
    )
    cancel = CancelBatchOperator(task_id="cancel", batch_id=create.output, trigger_rule="one_failed")
    create >> batch >> jobs >> save >> cancel
    DeleteDirectoryOperator(task_id="delete", directory_id=upload.output, only_after=save.output)
    CreateBatchOperator(
        task_id="of_another_task", source_directory_id=upload.output, configuration_id="cfg-PARSE_AGENTIC"
    )
    process_directory(source="s3://documents/in", target="s3://documents/out", configuration_id="cfg-1")


def status(batch_id: str) -> tuple[str, dict[str, Any]]:
    """Return what a hook's typed answers hold."""
    with LlamaBatchHook() as hook:
        found = hook.get_batch(batch_id)
        return found.status, found.model_dump()
