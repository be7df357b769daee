"""
A batch over each of many directories, few at once, and one manifest in the end.

The pool bounds how many batches run at the same time. Create it with ``airflow pools set llamacloud 4 batches`` and
check "include deferred": waiting tasks are deferred, and count only then.
"""

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator


@dag(
    schedule=None,
    render_template_as_native_obj=True,
    params={"directory_ids": Param([], type="array"), "target": Param("/data/markdown", type="string")},
    doc_md=__doc__,
)
def many_directories() -> None:
    from airflow.providers.common.compat.sdk import task

    @task
    def directories(params: dict) -> list[str]:
        return params["directory_ids"]

    ids = directories()
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
