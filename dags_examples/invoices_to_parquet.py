"""
Invoices in, one Parquet file out; a person decides about those that could not be read, or not surely.

The Parquet file has the columns that the schema of the saved extract configuration names; ``confidence_scores`` in the
configuration lets LlamaCloud say how sure it is of each field. Needs the extra ``parquet``, and Airflow 3.1 or newer
for the approval; below that it is left out.
"""

from __future__ import annotations

from datetime import datetime
from importlib.util import find_spec
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_llamabatch.task_groups import process_directory

SURE = 0.9  # of 1: below that a person looks at the record

HAS_APPROVALS = (  # the provider has the operator on older ones too, where it cannot be imported
    find_spec("airflow.sdk") is not None and find_spec("airflow.sdk.execution_time.hitl") is not None
)


@task.short_circuit
def has_doubtful_invoices(summary: dict[str, Any]) -> bool:
    """Go on to a person only when there is something to decide."""
    return bool(summary["failed"] or summary["doubtful"])


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
        min_confidence=SURE,
    )
    save: Any = invoices.children["invoices.save_results"]
    doubtful = has_doubtful_invoices(save.output)
    if HAS_APPROVALS:
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        approve = ApprovalOperator(
            task_id="approve",
            subject="Some invoices were not read surely",
            body="""
{%- set summary = ti.xcom_pull(task_ids='invoices.save_results') -%}
{{ summary['failed'] }} have no record: see {{ summary['manifest'] }}.
{% for one in ti.xcom_pull(task_ids='invoices.save_results', key='doubtful') %}
- {{ one['file'] }}: sure to {{ '%.0f' | format(100 * one['confidence']) }} %
{% endfor %}""",
        )
        doubtful >> approve


invoices_to_parquet()
