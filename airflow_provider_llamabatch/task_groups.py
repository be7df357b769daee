"""The whole line from a folder of documents to a folder of results, as one task group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup, XComArg

from airflow_provider_llamabatch import xcom
from airflow_provider_llamabatch.defaults import (
    MAX_CONCURRENCY,
    MAX_FILES_PER_DIRECTORY,
    POLL_INTERVAL,
    WAIT_TIMEOUT,
)
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta


def process_directory(
    group_id: str = "process_directory",
    *,
    source: str,
    target: str,
    configuration_id: str,
    job_type: str = "parse_v2",
    outputs: Sequence[str] = ("markdown",),
    pattern: str = "**/*",
    source_conn_id: str | None = None,
    target_conn_id: str | None = None,
    reuse: bool = True,
    max_file_attempts: int = 1,
    retry_configuration_id: str | None = None,
    if_empty: str = "skip",
    on_unsupported: str = "skip",
    max_files: int | None = None,
    max_pages: int | None = None,
    max_files_per_directory: int = MAX_FILES_PER_DIRECTORY,
    max_concurrency: int = MAX_CONCURRENCY,
    poll_interval: float | timedelta = POLL_INTERVAL,
    timeout: float | timedelta = WAIT_TIMEOUT,
    fail_on_partial_error: bool = False,
    llamabatch_conn_id: str = "llamabatch_default",
    default_args: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> TaskGroup:
    """
    Process every document of ``source`` and write the results below ``target``: a folder in, a folder out.

    Four tasks, however many documents there are: ``upload``, ``create_batch`` (one instance per 1,000 files; it waits
    for the jobs, and gives failed files further attempts), ``save_results`` and ``delete_directories``. What has a result from an earlier run is reused
    (``reuse=False`` processes everything again). One batch that fails does not keep the others' results from being
    saved; ``save_results`` then fails in the end. The directories are deleted once everything was saved; after a
    failure they stay, so that the failed task can be cleared, until LlamaCloud cleans them up.

    The XCom of ``save_results`` names the manifest and counts. ``timeout`` counts for the batches and for the jobs.
    ``default_args`` and ``kwargs`` (``tooltip``, ``prefix_group_id``, ...) are the task group's own; the other
    arguments are those of the operators of the same names.
    """
    connection: dict[str, Any] = {"llamabatch_conn_id": llamabatch_conn_id}
    retries: dict[str, Any] = {"retries": 2, **(default_args or {})}  # a retry goes on where the last try was
    with TaskGroup(group_id, default_args=retries, **kwargs) as group:
        upload = UploadDirectoryOperator(
            task_id="upload",
            source=source,
            pattern=pattern,
            source_conn_id=source_conn_id,
            max_files_per_directory=max_files_per_directory,
            if_empty=if_empty,
            on_unsupported=on_unsupported,
            max_files=max_files,
            max_pages=max_pages,
            target=target,
            target_conn_id=target_conn_id,
            reuse=reuse,
            configuration_id=configuration_id,
            outputs=outputs,
            max_concurrency=max_concurrency,
            **connection,
        )
        create = CreateBatchOperator.partial(
            task_id="create_batch",
            configuration_id=configuration_id,
            job_type=job_type,
            wait_for_jobs=True,
            max_file_attempts=max_file_attempts,
            retry_configuration_id=retry_configuration_id,
            poll_interval=poll_interval,
            timeout=timeout,
            **connection,
        ).expand(source_directory_id=upload.output)
        save = SaveBatchResultsOperator(
            task_id="save_results",
            job_references=XComArg(create, key=xcom.JOB_REFERENCES),
            file_errors=XComArg(create, key=xcom.FILE_ERRORS),
            upload=XComArg(upload, key=xcom.UPLOAD),
            target=target,
            target_conn_id=target_conn_id,
            outputs=outputs,
            configuration_id=configuration_id,
            max_concurrency=max_concurrency,
            fail_on_partial_error=fail_on_partial_error,
            trigger_rule="all_done",  # one batch that failed does not keep the others from being saved
            **connection,
        )
        delete = DeleteDirectoryOperator(
            task_id="delete_directories",
            directory_id=upload.output,
            only_after=save.output,
            **connection,
        )
        save >> delete.as_teardown()
    return group
