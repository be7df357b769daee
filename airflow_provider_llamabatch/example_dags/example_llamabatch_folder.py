"""
A folder of documents in, a folder of Markdown out, whenever you trigger it.

1. Create the connection `llamabatch_default` of type LlamaCloud, with your API key as the password.
2. Set the Variables `documents_folder` and `markdown_folder`: local paths, or URLs such as `s3://bucket/folder` where
   the provider for that storage is installed.
3. Trigger this Dag. Each document is paid for once: what an earlier run has processed is reused.

`manifest.jsonl` in the target says of every document what became of it.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import dag

from airflow_provider_llamabatch.task_groups import process_directory


@dag(schedule=None, catchup=False, max_active_runs=1, tags=["example", "llamacloud"], doc_md=__doc__)
def example_llamabatch_folder() -> None:
    """Process a folder of documents."""
    process_directory(
        source="{{ var.value.documents_folder }}",
        target="{{ var.value.markdown_folder }}",
        configuration_id="cfg-PARSE_AGENTIC",
        max_files=100,
    )


example_llamabatch_folder()
