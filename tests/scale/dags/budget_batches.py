"""
Submissions under one budget, which two teams share: each has a pool for its tasks that send requests.

Trigger either DAG with ``directory_id``. The slots of both pools and the triggerers share what the service allows.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator

POOLS = {"many_of_team_a": "llamacloud_a", "few_of_team_b": "llamacloud_b"}

for name, pool in POOLS.items():
    with DAG(
        name,
        schedule=None,
        max_active_runs=1000,
        max_active_tasks=1000,
        params={"directory_id": Param(type="string")},
    ) as dag:
        CreateBatchOperator(
            task_id="create_batch",
            source_directory_id="{{ params.directory_id }}",
            configuration_id="cfg-PARSE_AGENTIC",
            wait_for_completion=True,
            poll_interval=60,
            pool=pool,
            retries=3,
            retry_delay=timedelta(seconds=20),
        )
    globals()[name] = dag
