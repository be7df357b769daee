"""
From a finished batch to what a DAG goes on with: job references, file errors, pass or fail.

``results`` of the API are matched by ``source_directory_file_id``, never by order (the order is not documented).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.models import Batch, BatchResult

# Seconds before each further look at a COMPLETED batch whose results are still null.
RESULTS_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

MOST_NAMED_FILES = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of the files of a batch, in the API's own shape, sorted by ``source_directory_file_id``.

    ``job_references`` are the entries that carry a job, ``file_errors`` those that carry none.
    """

    job_references: list[dict[str, Any]]
    file_errors: list[dict[str, Any]]


def outcome_of(results: list[BatchResult]) -> Outcome:
    """Split the entries of a finished batch."""
    references: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for result in sorted(results, key=lambda entry: entry.source_directory_file_id):
        job = result.job_reference
        entry = {
            "source_directory_file_id": result.source_directory_file_id,
            "job_reference": {"id": job.id, "type": job.type} if job else None,
            "error_message": result.error_message,
        }
        (references if job else errors).append(entry)
    return Outcome(references, errors)


def problem_with(outcome: Outcome, *, fail_on_partial_error: bool) -> str | None:
    """Return why the outcome counts as a failure, or None. Files without a job always fail it when no file has one."""
    failed, total = len(outcome.file_errors), len(outcome.file_errors) + len(outcome.job_references)
    if not failed or (outcome.job_references and not fail_on_partial_error):
        return None
    named = "; ".join(
        f"{entry['source_directory_file_id']}: {entry['error_message'] or 'neither a job nor an error'}"
        for entry in outcome.file_errors[:MOST_NAMED_FILES]
    )
    more = f"; and {failed - MOST_NAMED_FILES} more" if failed > MOST_NAMED_FILES else ""
    return f"{failed} of {total} files got no job: {named}{more}"


def without_results(batch: Batch) -> dict[str, Any]:
    """Return a batch as JSON data without its per-file results."""
    return batch.model_dump(mode="json", exclude={"results"})
