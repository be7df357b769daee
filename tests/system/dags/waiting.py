"""A DAG for the system tests: one task that submits and waits, as a person may interrupt it."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator


@dag(schedule=None, catchup=False, params={"source_directory_id": Param(type="string")})
def waiting() -> None:
    CreateBatchOperator(
        task_id="parse",
        source_directory_id="{{ params.source_directory_id }}",
        configuration_id="cfg-PARSE_AGENTIC",
        webhook_configurations=[
            {
                "webhook_url": "https://example.com/hook",
                "webhook_signing_secret": "signing-secret-4711",
                "webhook_headers": {"X-Tenant": "header-secret-4711"},
            }
        ],
        wait_for_completion=True,
        deferrable=True,
        poll_interval=2,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )


waiting()
