"""
Invoices in, one Parquet file out; when some could not be read, a person is asked whether to go on without them.

The Parquet file has the columns that the schema of the saved extract configuration names. Needs the extra ``parquet``,
and Airflow 3.1 or newer for the approval; below that it is left out.
"""

from __future__ import annotations

from datetime import datetime
from importlib.util import find_spec
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_llamabatch.task_groups import process_directory

HAS_APPROVALS = (
    find_spec("airflow.providers.standard") is not None
    and find_spec("airflow.providers.standard.operators.hitl") is not None
)


@task.short_circuit
def has_doubtful_documents(summary: dict[str, Any]) -> bool:
    """Go on to a person only when there is something to decide."""
    return bool(summary["failed"])


@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, doc_md=__doc__)
def invoices_to_parquet() -> None:
    invoices = process_directory(
        "invoices",
        source="{{ var.value.invoices_folder }}",
        target="{{ var.value.records_folder }}",
        configuration_id="{{ var.value.invoices_configuration_id }}",
        job_type="extract_v2",
        outputs=("records", "parquet"),
        max_file_attempts=2,
    )
    save: Any = invoices.children["invoices.save_results"]
    doubtful = has_doubtful_documents(save.output)
    if HAS_APPROVALS:
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        approve = ApprovalOperator(
            task_id="approve",
            subject="Some invoices could not be read",
            body="{{ ti.xcom_pull(task_ids='invoices.save_results')['manifest'] }} says which.",
        )
        doubtful >> approve


invoices_to_parquet()
