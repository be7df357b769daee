"""
Every day: what is new in a LlamaCloud directory that others keep filling, added to a folder of Markdown.

Each file is processed once per version. ``max_active_runs=1`` is needed: two runs at once would take the same files.
"""

from datetime import datetime

from airflow.providers.common.compat.sdk import dag

from airflow_provider_llamabatch.task_groups import process_directory


@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, doc_md=__doc__)
def inbox_daily() -> None:
    process_directory(
        directory_id="{{ var.value.inbox_directory_id }}",
        target="{{ var.value.markdown_folder }}/inbox",
        configuration_id="cfg-PARSE_AGENTIC",
        max_file_attempts=2,
    )


inbox_daily()
