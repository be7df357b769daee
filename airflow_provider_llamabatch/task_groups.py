"""The whole line from a folder of documents to a folder of results, as one task group."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup, XComArg

from airflow_provider_llamabatch import xcom
from airflow_provider_llamabatch.defaults import MAX_FILES_PER_DIRECTORY
from airflow_provider_llamabatch.execution.arguments import check_batch, check_outputs
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Asset


RETRIES = 2  # a retry goes on where the last try was
# Arguments that may also come from the ``default_args`` of the group or the DAG.
INHERITED = frozenset(
    ("project_id", "organization_id", "llamabatch_conn_id", "poll_interval", "timeout", "max_concurrency")
)


def process_directory(
    group_id: str = "process_directory",
    *,
    source: str | os.PathLike[str] | None = None,
    directory_id: str | None = None,
    target: str | os.PathLike[str],
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
    max_concurrency: int | None = None,
    poll_interval: float | timedelta | None = None,
    timeout: float | timedelta | None = None,
    min_confidence: float | None = None,
    partitions: Asset | None = None,
    fail_on_partial_error: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
    llamabatch_conn_id: str = "llamabatch_default",
    default_args: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> TaskGroup:
    """
    Process every document of ``source`` and write the results below ``target``: a folder in, a folder out.

    Four tasks, however many documents there are: ``upload``, ``create_batch`` (one instance per 1,000 files; it waits
    for the jobs, and gives failed files further attempts), ``save_results`` and ``delete_directories``. What has a
    result from an earlier run is reused (``reuse=False`` processes everything again). One batch that fails does not
    keep the others' results from being saved; ``save_results`` then fails in the end. The directories are deleted once
    everything was saved; after a failure they stay, so that the failed task can be cleared, until LlamaCloud cleans
    them up.

    With ``directory_id`` instead of ``source``, a directory that others keep filling, two tasks: ``create_batch`` takes
    what is new since earlier runs, and ``save_results`` adds its results to the manifest; both are skipped when there
    is nothing new. The DAG needs ``max_active_runs=1``. What counts for an upload alone (``pattern``, ``reuse``,
    ``max_files``, ...) is an error there.

    The XCom of ``save_results`` names the manifest and counts. ``timeout`` counts for the batches and for the jobs.
    ``default_args`` and ``kwargs`` (``tooltip``, ``prefix_group_id``, ...) are the task group's own; the other
    arguments are those of the operators of the same names. Connection, project, ``poll_interval``, ``timeout`` and
    ``max_concurrency`` may come from ``default_args`` of group or DAG, as may what Airflow's operators take; there are
    2 ``retries`` where nothing else is said. Raises ``ValueError`` for a wrong constant (as
    ``InvalidInputError`` where it is about one argument alone), and ``TypeError`` for an argument that there is not.
    """
    if (source is None) == (directory_id is None):
        given = (
            "neither was given" if source is None else f"both were: {source!r:.100} and {directory_id!r:.100}"
        )
        raise ValueError(f"process_directory takes either source or directory_id, and {given}")
    _refuse_own_arguments(default_args or {})
    inherited = dict(default_args or {})
    check_batch(
        job_type=job_type,
        poll_interval=inherited.get("poll_interval") if poll_interval is None else poll_interval,
        timeout=inherited.get("timeout") if timeout is None else timeout,
        max_file_attempts=max_file_attempts,
        retry_configuration_id=retry_configuration_id,
    )
    check_outputs(job_type, outputs)
    uploading: dict[str, Any] = {
        "pattern": pattern,
        "source_conn_id": source_conn_id,
        "reuse": reuse,
        "if_empty": if_empty,
        "on_unsupported": on_unsupported,
        "max_files": max_files,
        "max_pages": max_pages,
        "max_files_per_directory": max_files_per_directory,
    }
    if directory_id is not None:
        parameters = inspect.signature(process_directory).parameters
        for argument, value in uploading.items():
            if value != parameters[argument].default:
                raise InvalidInputError(
                    argument,
                    f"counts for the upload of a source, and with directory_id nothing is uploaded: {value!r:.100} "
                    "would do nothing; leave it out",
                )
    common = _given(
        project_id=project_id, organization_id=organization_id, llamabatch_conn_id=llamabatch_conn_id
    )
    creating: dict[str, Any] = {
        "task_id": "create_batch",
        "configuration_id": configuration_id,
        "job_type": job_type,
        "wait_for_jobs": True,
        "max_file_attempts": max_file_attempts,
        "retry_configuration_id": retry_configuration_id,
        **_given(poll_interval=poll_interval, timeout=timeout),
        **common,
    }
    saving: dict[str, Any] = {
        "task_id": "save_results",
        "target": target,
        "target_conn_id": target_conn_id,
        "outputs": outputs,
        "configuration_id": configuration_id,
        **_given(max_concurrency=max_concurrency),
        "min_confidence": min_confidence,
        "partitions": partitions,
        "fail_on_partial_error": fail_on_partial_error,
        **common,
    }
    try:
        group = TaskGroup(group_id, **{"default_args": dict(default_args or {}), **kwargs})
    except TypeError as error:  # "TaskGroup.__init__() got an unexpected keyword argument 'sourcee'"
        raise TypeError(f"process_directory() {str(error).rpartition('() ')[2]}") from None
    everywhere = {**getattr(getattr(group, "dag", None), "default_args", {}), **group.default_args}
    if "retries" not in everywhere:
        group.default_args["retries"] = RETRIES
    with group:
        if directory_id is not None:
            # A backfill does not count as an active run: its runs at least do not look for new files at once.
            new = CreateBatchOperator(
                source_directory_id=directory_id, only_new=True, max_active_tis_per_dag=1, **creating
            )
            SaveBatchResultsOperator(
                **_results_of(new), source_directory_id=directory_id, keep_earlier=True, **saving
            )
            return group
        upload = UploadDirectoryOperator(
            task_id="upload",
            source=source or "",
            target=target,
            target_conn_id=target_conn_id,
            configuration_id=configuration_id,
            outputs=outputs,
            **_given(max_concurrency=max_concurrency),
            **uploading,
            **common,
        )
        create = CreateBatchOperator.partial(**creating).expand(source_directory_id=upload.output)
        save = SaveBatchResultsOperator(
            **_results_of(create),
            upload=XComArg(upload, key=xcom.UPLOAD),
            trigger_rule="all_done",  # one batch that failed does not keep the others from being saved
            **saving,
        )
        delete = DeleteDirectoryOperator(
            task_id="delete_directories", directory_id=upload.output, only_after=save.output, **common
        )
        save >> delete.as_teardown()
    return group


def _given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that were given; for the others ``default_args`` of group and DAG speak."""
    parameters = inspect.signature(process_directory).parameters
    return {name: value for name, value in arguments.items() if value != parameters[name].default}


def _refuse_own_arguments(default_args: Mapping[str, Any]) -> None:
    """Refuse in ``default_args`` what the group itself gives its tasks: it would do nothing there."""
    own = inspect.signature(process_directory).parameters.keys() - INHERITED - {"default_args", "kwargs"}
    if wrong := sorted(own & default_args.keys()):
        raise InvalidInputError(
            "default_args", f"{', '.join(wrong)}: an argument of process_directory itself; give it there"
        )


def _results_of(create: Any) -> dict[str, Any]:
    return {
        "job_references": XComArg(create, key=xcom.JOB_REFERENCES),
        "file_errors": XComArg(create, key=xcom.FILE_ERRORS),
    }
