"""
What a wait for many jobs means: which are still to be asked for, what became of each, when it is over. Pure.

The jobs of a batch end on their own, after the batch. Asked for in bulk: a hundred ids per request.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.defaults import JOB_TYPES, MAX_LISTED_FILES, PAGE_SIZE
from airflow_provider_llamabatch.llamacloud.call import checked_id
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.statuses import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_llamabatch.llamacloud.models import JobStatusRow

COMPLETED = "COMPLETED"
UNKNOWN = "UNKNOWN"  # never seen: not listed, or not asked for yet
NOT_ASKED_FOR = "its type or its id is none that this version can ask for"
NOT_TOLD = "LlamaCloud did not say how it ended: "
GONE = "LlamaCloud has no such job: it was deleted, has expired, or is in another project"


@dataclass(slots=True)
class Jobs:
    """
    The jobs behind job references, with what was seen of each.

    ``references`` are in the shape that ``BatchSensor`` returns; entries that already carry a terminal ``status`` are
    not asked for again.
    """

    references: list[dict[str, Any]]
    _seen: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _unread: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for reference in self.references:
            if reference.get("status"):
                job_id = reference["job_reference"]["id"]
                self._seen[job_id] = (reference["status"], reference.get("error_message"))

    def pending(self) -> dict[str, list[str]]:
        """Return the ids of the jobs that are to be asked for by job type: they have not ended as far as is known."""
        ids: dict[str, list[str]] = {}
        for reference in self.references:
            job = reference["job_reference"]
            if can_be_asked_for(job) and not self._is_over(job["id"]):
                ids.setdefault(job["type"], []).append(job["id"])
        return ids

    def requests(self) -> Iterator[tuple[str, list[str]]]:
        """Give job type and ids of each request that one look takes."""
        for job_type, ids in self.pending().items():
            for start in range(0, len(ids), PAGE_SIZE):
                yield job_type, ids[start : start + PAGE_SIZE]

    def saw(self, rows: Iterable[JobStatusRow]) -> bool:
        """Take in what a request said; say whether anything is new."""
        before = dict(self._seen)
        self._seen.update({row.id: (row.status, row.error_message) for row in rows})
        return self._seen != before

    def lost(self, job_ids: Iterable[str]) -> None:
        """Take in that there are no such jobs, so nothing is to be waited for."""
        self._gone.update(job_ids)
        self._seen.update(dict.fromkeys(self._gone, (UNKNOWN, GONE)))

    def unread(self, errors: Mapping[str, str]) -> None:
        """Take in which jobs, by id, the last look could not read while it read others, and why."""
        self._unread = {**errors}

    @property
    def are_unread(self) -> bool:
        """Say whether the last look could not read some of the jobs."""
        return bool(self._unread)

    @property
    def have_ended(self) -> bool:
        """Say whether every job has ended."""
        return not self.pending()

    def outcomes(self, *, late: str | None = None) -> list[dict[str, Any]]:
        """
        Return the references with ``status``, the job's ``error_message`` and ``credits``.

        ``late`` is the error message of jobs that have not ended; those that could not be read have their own.
        """
        return [self._outcome(reference, late) for reference in self.references]

    def summary(self) -> dict[str, int]:
        """Return how many jobs there are of each status."""
        return dict(
            Counter(self._status(one["job_reference"]["id"]) for one in self.references).most_common()
        )

    def line(self) -> str:
        """Return how far the jobs are, in one line."""
        done = sum(self._is_over(one["job_reference"]["id"]) for one in self.references)
        failed = done - self.summary().get(COMPLETED, 0)
        return f"{done:,} of {len(self.references):,} jobs done, {failed:,} failed"

    def _status(self, job_id: str) -> str:
        return self._seen.get(job_id, (UNKNOWN, None))[0]

    def _is_over(self, job_id: str) -> bool:
        return job_id in self._gone or is_terminal(self._status(job_id))

    def _outcome(self, reference: Mapping[str, Any], late: str | None) -> dict[str, Any]:
        job_id = reference["job_reference"]["id"]
        status, error = self._seen.get(job_id, (UNKNOWN, None))
        if not can_be_asked_for(reference["job_reference"]):
            error = NOT_ASKED_FOR
        elif late is not None and not self._is_over(job_id):
            error = f"{NOT_TOLD}{self._unread[job_id]}" if job_id in self._unread else late
        return {**reference, "status": status, "error_message": error, "credits": reference.get("credits")}


def is_untold(outcome: Mapping[str, Any]) -> bool:
    """Say whether a job may have ended well for all that is known: to repeat it might be to pay twice."""
    return str(outcome.get("error_message") or "").startswith(NOT_TOLD)


def can_be_asked_for(job: Mapping[str, Any]) -> bool:
    """Say whether a job reference names something that this version knows how to ask for."""
    try:
        checked_id("job_id", job["id"])
    except InvalidInputError:
        return False
    return job["type"] in JOB_TYPES


def problem_with(outcomes: list[dict[str, Any]], *, fail_on_partial_error: bool) -> str | None:
    """Return why outcomes count as a failure, or None; without ``fail_on_partial_error`` they never do."""
    bad = [outcome for outcome in outcomes if outcome["status"] != COMPLETED]
    if not bad or not fail_on_partial_error:
        return None
    named = "; ".join(
        f"{outcome['source_directory_file_id']}: {outcome['status']} {outcome['error_message'] or ''}".strip()
        for outcome in bad[:MAX_LISTED_FILES]
    )
    more = f"; and {len(bad) - MAX_LISTED_FILES} more" if len(bad) > MAX_LISTED_FILES else ""
    return f"{len(bad)} of {len(outcomes)} jobs did not complete: {named}{more}"
