"""
The pipeline as a load: documents of a folder in, their Markdown in another folder, many runs at once.

Trigger it with ``source`` and ``target``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_llamabatch.task_groups import process_directory

POLL_INTERVAL = 10.0
TIMEOUT = 3600.0

with DAG(
    "load_pipeline",
    schedule=None,
    max_active_runs=1000,
    max_active_tasks=1000,
    params={"source": Param(type="string"), "target": Param(type="string")},
):
    process_directory(
        "pipeline",
        source="{{ params.source }}",
        target="{{ params.target }}",
        configuration_id="cfg-PARSE_AGENTIC",
        reuse=False,
        poll_interval=POLL_INTERVAL,
        timeout=TIMEOUT,
        default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    )
