"""One batch: its files, its statuses in time, and the first lines of a result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.documents.results import RECORDS, of_extract_job, of_parse_job
from airflow_provider_llamabatch.llamacloud.models import ExtractJob
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.views import words
from airflow_provider_llamabatch.ui.views.tables import Query, Table, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_llamabatch.llamacloud.models import Batch, BatchResult, ParseResult
    from airflow_provider_llamabatch.ui.reading import Detail
    from airflow_provider_llamabatch.ui.runs import Made

NO_JOB = "NO JOB"  # the API made none for the file
UNKNOWN = "UNKNOWN"  # the job is not known, or its status was not listed
FAILED = (*FAILED_STATUSES, NO_JOB)
USUAL_STATUSES = ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a batch. ``pages`` and ``credits`` are known once its result was opened."""

    id: str
    name: str
    status: str
    kind: str
    error: str
    pages: str
    credits: str
    has_job: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something in the life of a batch; ``at`` is None where the time is not known."""

    at: datetime | None
    kind: str
    what: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """The first lines of a result, and what is known of its job."""

    status: str
    kind: str
    error: str
    pages: str
    credits: str
    lines: str
    more: str


def files_table(detail: Detail, query: Query, previews: Mapping[str, Preview]) -> Table[FileRow]:
    """Return the files that match by their names, those that failed first; ``previews`` are by job id."""
    rows = sorted(
        (_file_row(result, detail, previews) for result in detail.files or ()),
        key=lambda row: (row.status not in FAILED, row.name.lower(), row.id),
    )
    found = [row for row in rows if query.matches(row.name, row.id, row.error, row.status)]
    return table(
        found,
        query,
        status=lambda row: row.status,
        row=lambda row: row,
        one="file",
        always=USUAL_STATUSES if detail.files else (),
    )


def name_of(result: BatchResult, detail: Detail) -> str:
    """Return what a file is called: as in its directory, or as its job calls it, or its id."""
    file_id, job = result.source_directory_file_id, result.job_reference
    of_job = detail.jobs[job.id].name if job is not None and job.id in detail.jobs else None
    return detail.names.get(file_id) or of_job or file_id


def failed_files(detail: Detail) -> list[str]:
    """Return the ids of the files that have no result and get none any more."""
    return [
        result.source_directory_file_id
        for result in detail.files or ()
        if status_and_error(result, detail)[0] in FAILED
    ]


def timeline(
    batch: Batch, made: Made | None, seen: Sequence[tuple[str, float]], now: datetime
) -> list[Event]:
    """
    Return what is known of a batch's life, in its order.

    LlamaCloud tells when a batch was made and last changed; statuses between are those that the page saw. What the
    task decided comes from its XCom.
    """
    events = []
    if batch.created_at is not None:
        events.append(Event(batch.created_at, "plain", "Made by LlamaCloud"))
    if made is not None:
        what = f"Task {made.task.task_id} {words.decision_in_words(made.action)} it"
        events.append(Event(made.at, "plain", what, made.reason))
    for status, at in seen:
        when = datetime.fromtimestamp(at, UTC)
        if status != batch.status:
            events.append(Event(when, words.kind_of(status), f"Seen {status}"))
    if made is not None and made.count is not None:
        count = made.count
        ended = f"{words.counted(count.files, 'file')}, {count.failed:,} failed"
        events.append(Event(count.at, "bad" if count.failed else "good", "Wait for the jobs was over", ended))
    last = batch.updated_at if batch.is_terminal else now
    verb = "Ended" if batch.is_terminal else "Is"
    events.append(Event(last, words.kind_of(batch.status), f"{verb} {batch.status}"))
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(events, key=lambda event: event.at or earliest)


def preview(result: ParseResult | ExtractJob) -> Preview:
    """Return the first lines of a result as plain text."""
    if isinstance(result, ExtractJob):
        found = of_extract_job(result)
        content = found.contents.get(RECORDS)
        text = "" if content is None else json.dumps(json.loads(content), ensure_ascii=False, indent=2)
    else:
        found = of_parse_job(result, ("markdown",))
        text = found.contents.get("markdown", b"").decode()
    lines = text.split("\n")
    shown = [line[: limits.MAX_LINE_CHARACTERS] for line in lines[: limits.MAX_LINES]]
    left = len(lines) - len(shown)
    return Preview(
        found.status,
        words.kind_of(found.status),
        found.error or "",
        words.number(found.pages),
        words.number(found.credits),
        "\n".join(shown),
        f"{words.counted(left, 'more line')}" if left else "",
    )


def _file_row(result: BatchResult, detail: Detail, previews: Mapping[str, Preview]) -> FileRow:
    status, error = status_and_error(result, detail)
    job = result.job_reference
    known = previews.get(job.id) if job is not None else None
    return FileRow(
        result.source_directory_file_id,
        name_of(result, detail),
        status,
        words.kind_of(status),
        error,
        known.pages if known else words.NOTHING,
        known.credits if known else words.NOTHING,
        has_job=job is not None,
    )


def status_and_error(result: BatchResult, detail: Detail) -> tuple[str, str]:
    """Return the status of a file, which is that of its job, and what went wrong."""
    job = result.job_reference
    if job is None:
        return (NO_JOB, result.error_message) if result.error_message else (UNKNOWN, "")
    state = detail.jobs.get(job.id)
    return (UNKNOWN, "") if state is None else (state.status, state.error or "")
