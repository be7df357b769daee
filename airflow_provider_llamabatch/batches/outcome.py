"""
From a finished batch to what a DAG goes on with: job references, file errors, pass or fail.

``results`` of the API are matched by ``source_directory_file_id``, never by order (the order is not documented).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.models import BatchResult
    from airflow_provider_llamabatch.xcom import JobReferenceEntry

MAX_NAMED_FILES = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of the files of a batch, in the API's own shape, sorted by ``source_directory_file_id``.

    ``job_references`` are the entries that carry a job, ``file_errors`` those that carry none.
    """

    job_references: list[JobReferenceEntry]
    file_errors: list[JobReferenceEntry]


def outcome_of(results: list[BatchResult]) -> Outcome:
    """Split the entries of a finished batch."""
    references: list[JobReferenceEntry] = []
    errors: list[JobReferenceEntry] = []
    for result in sorted(results, key=lambda entry: entry.source_directory_file_id):
        job = result.job_reference
        entry: JobReferenceEntry = {
            "source_directory_file_id": result.source_directory_file_id,
            "job_reference": {"id": job.id, "type": job.type} if job else None,
            "error_message": result.error_message,
        }
        (references if job else errors).append(entry)
    return Outcome(references, errors)


def are_told(results: list[BatchResult]) -> bool:
    """Say whether each entry has a job or an error: one that has neither is not known yet."""
    return all(result.job_reference is not None or result.error_message is not None for result in results)


def problem_with(outcome: Outcome, *, fail_on_partial_error: bool) -> str | None:
    """Return why the outcome counts as a failure, or None. Files without a job always fail it when no file has one."""
    if not outcome.file_errors or (outcome.job_references and not fail_on_partial_error):
        return None
    return named_errors(outcome)


def named_errors(outcome: Outcome) -> str:
    """Say how many files got no job, and of the first ones why."""
    failed, total = len(outcome.file_errors), len(outcome.file_errors) + len(outcome.job_references)
    named = "; ".join(
        f"{entry['source_directory_file_id']}: {entry['error_message'] or 'neither a job nor an error'}"
        for entry in outcome.file_errors[:MAX_NAMED_FILES]
    )
    more = f"; and {failed - MAX_NAMED_FILES} more" if failed > MAX_NAMED_FILES else ""
    return f"{failed} of {total} files got no job: {named}{more}"
