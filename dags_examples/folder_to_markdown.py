"""
Every night: a folder of documents in, a folder of Markdown out.

What was processed on an earlier night is neither uploaded nor paid for again. ``manifest.jsonl`` in the target says of
every document what became of it. Both folders are Airflow Variables, and may be on any storage (``s3://bucket/folder``).
"""

from datetime import datetime

from airflow.providers.common.compat.sdk import dag

from airflow_provider_llamabatch.task_groups import process_directory


@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, doc_md=__doc__)
def folder_to_markdown() -> None:
    process_directory(
        source="{{ var.value.documents_folder }}",
        target="{{ var.value.markdown_folder }}",
        configuration_id="cfg-PARSE_AGENTIC",
    )


folder_to_markdown()
