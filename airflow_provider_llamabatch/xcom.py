"""Everything that lands in XCom: the keys and the shapes, and what pushes and pulls what is known of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_llamabatch.batches.outcome import Outcome
    from airflow_provider_llamabatch.batches.submission import Decision, Request
    from airflow_provider_llamabatch.llamacloud.models import Batch

BATCH_ID = "batch_id"  # str, pushed right after the submission
BATCH = "batch"  # dict: the API's batch without its results, as last read
JOB_REFERENCES = "job_references"  # list[JobReferenceEntry], sorted by source_directory_file_id
FILE_ERRORS = "file_errors"  # list[JobReferenceEntry] whose job_reference is None
SUMMARY = "summary"  # dict: counts of jobs by status, or of documents
ROUNDS = "rounds"  # list[Round]: the batches of one task that gives failed files another attempt
DOUBTFUL = "doubtful"  # list of {"file", "confidence", "path"}: extracted documents below min_confidence, worst first
UPLOAD = "upload"  # dict: counts of an upload, and where it is recorded
SUBMISSIONS = (
    "submissions"  # list[SubmissionEntry]: the batches of this task and why it has them, for the page
)
USAGE = "usage"  # Usage: what became of the files and what they cost, for the page
PAGE = "llamabatch_page"  # str: where the page in Airflow's UI shows the batch, empty before there is one
LINK = "llamacloud_url"  # str: what the operator link opens, empty where there is no page


class JobReference(TypedDict):
    """A job in the API's own shape."""

    id: str
    type: str


class JobReferenceEntry(TypedDict):
    """One file of a batch in the API's own shape: with a job, or with none and perhaps the reason."""

    source_directory_file_id: str
    job_reference: JobReference | None
    error_message: str | None


class Round(TypedDict):
    """
    One batch of a task. ``origin`` leads from the files of a follow-up directory to those of the first one.

    ``directory_id`` is where the files come from, ``batch_directory_id`` what the batch is over: the same, or a
    follow-up directory. ``jobs_known`` says that the batch has completed, and the wait is for its jobs.
    """

    batch_id: str
    directory_id: str
    batch_directory_id: str
    configuration_id: str
    origin: dict[str, str]
    jobs_known: bool


class SubmissionEntry(TypedDict):
    """
    One batch of a task, and how the task came to it.

    ``action`` is ``submit``, ``rejoin``, ``adopt`` or ``return`` (an earlier try's batch had completed); ``reason`` is
    the sentence of the task's log.
    """

    batch_id: str
    connection_id: str
    directory_id: str
    configuration_id: str
    job_type: str
    action: str
    reason: str


class Usage(TypedDict):
    """
    What became of the files of a task.

    ``source`` tells who counted: ``jobs`` (a wait for jobs that is over) or ``results`` (a save). ``reasons`` counts
    the failed files by the first words of their errors. ``credits`` are None where the API reported none, and
    ``credits_by_directory`` divides them up where the directories are known.
    """

    source: str
    files: int
    failed: int
    reasons: dict[str, int]
    credits: float | None
    credits_by_directory: dict[str, float]


def push(context: Context, key: str, value: Any) -> None:
    """
    Push a value, without names that mean something to Airflow.

    Airflow makes an object of a class that ``__type`` or ``__classname__`` names, and refuses some others; the
    service's own words must not say which.
    """
    context["ti"].xcom_push(key=key, value=_without_reserved_names(value))


def _without_reserved_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {_unreserved(name): _without_reserved_names(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_without_reserved_names(held) for held in value]
    return value


def _unreserved(name: str) -> str:
    return f"_{name.lstrip('_')}" if name.startswith("__") else name


def push_submission(context: Context, batch_id: str) -> None:
    """Push what a person or a later step needs even if the task fails from here on."""
    push(context, BATCH_ID, batch_id)


def push_submission_entry(
    context: Context,
    batch_id: str,
    decision: Decision,
    request: Request,
    *,
    earlier: Sequence[SubmissionEntry] = (),
) -> None:
    """Push which batch a task has and why, after those it had before."""
    entry = SubmissionEntry(
        batch_id=batch_id,
        connection_id=request.connection_id,
        directory_id=request.source_directory_id,
        configuration_id=request.configuration_id,
        job_type=request.job_type,
        action=decision.action.value,
        reason=decision.reason,
    )
    push(context, SUBMISSIONS, [*earlier, entry])


def pull_batch_id(context: Context, task_id: str) -> str | None:
    """Return the batch that this very task instance has submitted."""
    ti = context["ti"]
    pulled: Any = ti.xcom_pull(task_ids=task_id, key=BATCH_ID, map_indexes=ti.map_index)
    return pulled if isinstance(pulled, str) else None


def pull_own(context: Context, task_id: str, key: str) -> Any:
    """Return what this very task instance has pushed in this try, None where there is nothing."""
    ti = context["ti"]
    return ti.xcom_pull(task_ids=task_id, key=key, map_indexes=ti.map_index)


def push_outcome(context: Context, batch: Batch, outcome: Outcome) -> None:
    """Push what became of a batch that has completed, apart from its job references."""
    push_batch(context, batch)
    push(context, FILE_ERRORS, outcome.file_errors)


def push_batch(context: Context, batch: Batch) -> None:
    """Push a batch without its per-file results and without webhooks."""
    # Should LlamaCloud repeat the webhooks of a request, their signing secrets would be in it.
    push(context, BATCH, batch.model_dump(mode="json", exclude={"results", "webhook_configurations"}))


def push_job_references(context: Context, references: list[JobReferenceEntry]) -> None:
    """Push the job references beside a return value that is something else."""
    push(context, JOB_REFERENCES, references)
