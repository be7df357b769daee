"""
Process the failed files of a batch again: what the button of the page in Airflow's UI starts.

The run's conf names the batch's directory and the files, as the page fills it in; a run can be triggered by hand with
the same. The files are put together in a new directory without being uploaded again, and a batch is made over it with
the same configuration, or with another one given as ``configuration_id``. LlamaCloud bills that batch. The results are
the jobs in the XCom ``job_references``: save them with ``SaveBatchResultsOperator`` where you need them.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, Param, dag, task

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator


@task
def put_together(params: dict[str, Any], run_id: str) -> str:
    """Return the directory that holds the failed files alone; a retry finds the one that is already there."""
    from airflow_provider_llamabatch.execution.following import follow_up_directory
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

    name = f"failed files of {params['batch_id']}, {run_id}"
    with LlamaBatchHook(params["llamabatch_conn_id"]) as hook:
        followed = follow_up_directory(
            hook,
            params["source_directory_id"],
            params["file_ids"],
            name,
            logging.getLogger(__name__),
            None,
            None,
        )
    if followed is None:
        raise AirflowFailException(
            f"Directory {params['source_directory_id']} does not hold the files any more: upload them again"
        )
    return followed[0]


@dag(
    schedule=None,
    catchup=False,
    tags=["llamacloud", "example"],
    doc_md=__doc__,
    params={
        "batch_id": Param(type="string", minLength=1, description="the batch whose files failed"),
        "source_directory_id": Param(type="string", minLength=1, description="the directory of that batch"),
        "file_ids": Param(type="array", minItems=1, description="the files of the directory to process"),
        "configuration_id": Param(type="string", minLength=1, description="how to process them"),
        "job_type": Param("parse_v2", type="string", enum=["parse_v2", "extract_v2"]),
        "llamabatch_conn_id": Param("llamabatch_default", type="string", minLength=1),
    },
)
def process_failed_files() -> None:
    CreateBatchOperator(
        task_id="create_batch",
        source_directory_id=put_together(),  # type: ignore[misc]  # Airflow gives it the params and the run's id
        configuration_id="{{ params.configuration_id }}",
        job_type="{{ params.job_type }}",
        llamabatch_conn_id="{{ params.llamabatch_conn_id }}",
        wait_for_jobs=True,
        retries=2,
    )


process_failed_files()
