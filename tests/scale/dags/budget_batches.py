"""
Submissions under one budget: a pool for the tasks that send requests, and a share of it for each DAG.

Trigger either DAG with ``directory_id``. Both use the pool ``llamacloud``; the larger team may hold all but one of its
slots, so that the smaller one never waits for more than one task of the other.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator

POOL = "llamacloud"
SHARES = {"many_of_team_a": 2, "few_of_team_b": 1}  # of the pool's three slots

for name, share in SHARES.items():
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
            pool=POOL,
            max_active_tis_per_dag=share,
            retries=3,
            retry_delay=timedelta(seconds=20),
        )
    globals()[name] = dag
