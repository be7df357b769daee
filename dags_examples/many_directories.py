"""
A batch over each of many directories, few at once, and one manifest in the end.

The pool bounds how many batches run at the same time. Create it with ``airflow pools set llamacloud 4 batches`` and
check "include deferred": waiting tasks are deferred, and count only then.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator


@task
def directory_ids(params: dict[str, Any]) -> list[str]:
    """Return the directories as a task's output, over which tasks can be mapped."""
    return list(params["directory_ids"])


@dag(
    schedule=None,
    params={"directory_ids": Param([], type="array"), "target": Param("/data/markdown", type="string")},
    doc_md=__doc__,
)
def many_directories() -> None:
    ids = directory_ids()
    create = CreateBatchOperator.partial(
        task_id="create_batch", configuration_id="cfg-PARSE_AGENTIC", wait_for_jobs=True, pool="llamacloud"
    ).expand(source_directory_id=ids)
    SaveBatchResultsOperator(
        task_id="save_results",
        job_references=create.output["job_references"],
        file_errors=create.output["file_errors"],
        source_directory_id=ids,
        target="{{ params.target }}",
    )


many_directories()
