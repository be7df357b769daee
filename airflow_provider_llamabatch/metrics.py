"""
Every metric there is, counted through Airflow's own ``Stats``: StatsD, Datadog or OpenTelemetry, as configured.

Counting never fails a task. The values that a tag can have are listed here, everything else counts as ``other``, so no
answer of a service makes new time series. ``docs/metrics.md`` has the same list for people.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.airflow_compat import stats
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.documents.manifest import reused_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_llamabatch.batches.submission import Submission
    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.execution.uploading import Uploaded

OTHER = "other"
COUNTER, TIMER = "counter", "timer"

_KINDS = ("batch", "jobs")
_ERRORS = (
    "AuthenticationError",
    "ConflictError",
    "InvalidResponseError",
    "NoResponseError",
    "NotFoundError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RefusedError",
    "UnavailableError",
)
_JOB_STATUSES = ("COMPLETED", "FAILED", "CANCELLED", "PENDING", "THROTTLED", "RUNNING")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name without the deployment's prefix, its kind, and each tag with the values it can have."""

    name: str
    kind: str = COUNTER
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SUBMISSIONS = Metric("llamabatch.submissions", tags={"decision": ("submit", "rejoin", "return", "adopt")})
WAITS_STARTED = Metric("llamabatch.waits.started", tags={"kind": _KINDS, "where": ("triggerer", "worker")})
WAITS_ENDED = Metric("llamabatch.waits.ended", tags={"kind": _KINDS, "reason": tuple(Reason)})
WAIT_TIME = Metric("llamabatch.waits.duration", TIMER, {"kind": _KINDS, "reason": tuple(Reason)})
POLLS = Metric("llamabatch.polls", tags={"request": ("list_page", "get"), "result": ("ok", "error")})
RETRIES = Metric("llamabatch.requests.retried", tags={"error": _ERRORS})
FILES = Metric(
    "llamabatch.files",
    tags={"result": ("uploaded", "kept", "reused", "failed_before", "skipped", "removed", "without_job")},
)
UPLOADED_BYTES = Metric("llamabatch.uploaded_bytes")
JOBS = Metric("llamabatch.jobs", tags={"status": _JOB_STATUSES})
DOCUMENTS = Metric(
    "llamabatch.documents", tags={"status": (*_JOB_STATUSES, "NO_JOB", "NO_RESULT", "SKIPPED", "UPLOADED")}
)
PAGES = Metric("llamabatch.pages", tags={"result": ("ok", "failed")})
CREDITS = Metric("llamabatch.credits")

METRICS = (
    SUBMISSIONS,
    WAITS_STARTED,
    WAITS_ENDED,
    WAIT_TIME,
    POLLS,
    RETRIES,
    FILES,
    UPLOADED_BYTES,
    JOBS,
    DOCUMENTS,
    PAGES,
    CREDITS,
)

# The names that Airflow's own resumable operators count under, by what was decided about a recorded batch.
_RESUMED = {"rejoin": "reconnect_success", "return": "already_succeeded", "submit": "terminal_resubmit"}


def submitted(submission: Submission, *, keeps_record: bool) -> None:
    """Count what was decided about a submission; where Airflow keeps a record also under Airflow's own names."""
    _count(SUBMISSIONS, decision=submission.decision.action)
    if not keeps_record:
        return
    names = ["fresh_submit"]
    if submission.recorded is not None:
        names = ["reconnect_attempt", _RESUMED[submission.recorded]]
    operator = "CreateBatchOperator"
    for name in names:
        _count(Metric(f"resumable_job.{name}", tags={"operator": (operator,)}), operator=operator)


def wait_started(kind: str, where: str) -> None:
    """Count a wait that begins: for a ``batch`` or ``jobs``, in the ``triggerer`` or on a ``worker``."""
    _count(WAITS_STARTED, kind=kind, where=where)


def wait_ended(kind: str, reason: Reason, seconds: float) -> None:
    """Count a wait that has ended, and how long it took."""
    _count(WAITS_ENDED, kind=kind, reason=reason)
    try:
        stats().timing(
            WAIT_TIME.name, timedelta(seconds=max(0.0, seconds)), tags={"kind": kind, "reason": str(reason)}
        )
    except Exception:
        log.debug("%s was not sent", WAIT_TIME.name, exc_info=True)


def reason_for(all_ended: bool) -> Reason:
    """Return why a wait for jobs is over: all have ended, or the deadline has passed."""
    return Reason.COMPLETED if all_ended else Reason.TIMED_OUT


def polled(request: str, *, ok: bool, count: int = 1) -> None:
    """Count requests of a wait: a ``list_page``, which stands for many waits, or a ``get`` for one."""
    _count(POLLS, count, request=request, result="ok" if ok else "error")


@contextlib.contextmanager
def polling(request: str, count: int = 1) -> Iterator[None]:
    """Count the requests that are sent inside; where one fails, it counts for all of them."""
    try:
        yield
    except Exception:
        polled(request, ok=False, count=count)
        raise
    polled(request, ok=True, count=count)


def retried(error: BaseException | None) -> None:
    """Count a request that is sent again, by what came of it before."""
    names = (kind.__name__ for kind in type(error).__mro__)
    _count(RETRIES, error=next((name for name in names if name in _ERRORS), OTHER))


def files_uploaded(uploaded: Uploaded, *, reused: Iterable[Row], skipped: int) -> None:
    """Count the files of one upload; ``reused`` are the rows of what an earlier run made."""
    for result, files in (
        ("uploaded", uploaded.uploaded),
        ("kept", uploaded.kept),
        ("removed", uploaded.removed),
        *reused_counts(reused).items(),
        ("skipped", skipped),
    ):
        _count(FILES, files, result=result)
    _count(UPLOADED_BYTES, uploaded.bytes)


def files_without_job(files: int) -> None:
    """Count the files that a batch made no job for."""
    _count(FILES, files, result="without_job")


def jobs_ended(summary: Mapping[str, int]) -> None:
    """Count the jobs of a wait that is over, given by status."""
    for status, jobs in summary.items():
        _count(JOBS, jobs, status=status)


def documents_saved(rows: Iterable[Row]) -> None:
    """Count what a save has made of its documents, their pages and credits; what was reused was counted before."""
    new = [row for row in rows if not row.reused]
    for status, documents in Counter(row.status for row in new).items():
        _count(DOCUMENTS, documents, status=status)
    failed = sum(row.pages_failed or 0 for row in new)
    _count(PAGES, sum(row.pages or 0 for row in new) - failed, result="ok")
    _count(PAGES, failed, result="failed")
    _count(CREDITS, sum(row.credits or 0 for row in new))


def _count(metric: Metric, value: float = 1, **tags: str) -> None:
    if value <= 0:
        return
    bounded = {tag: str(given) if given in metric.tags[tag] else OTHER for tag, given in tags.items()}
    try:
        stats().incr(metric.name, value, **{"tags": bounded} if bounded else {})
    except Exception:  # a metric is never a reason to fail
        log.debug("%s was not sent", metric.name, exc_info=True)
