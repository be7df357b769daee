"""
A run whose lineage and metrics are looked at: a folder to a folder, and a batch by separate tasks, by ``dag.test()``.

    python -m tests.integration.observed_run CONF

``CONF`` is the run's configuration as JSON. Besides what Airflow prints, one line has the tasks and the batch.
"""

from __future__ import annotations

import json
import sys

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.task_groups import process_directory
from airflow_provider_llamabatch.testing.running import run

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


if __name__ == "__main__":
    defaults.FIRST_POLL_AFTER = 0.5  # no scheduler is there that could be overtaken
    result = run(observed(), json.loads(sys.argv[1]))
    print("RESULT", json.dumps({"tasks": result.tasks, "batch_id": result.xcom("create")}))
