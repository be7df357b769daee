"""The course of a batch, computed from the clock whenever somebody looks. Pure: no I/O, no state of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.state.clock import to_the_microsecond
from airflow_provider_llamabatch.emulator.state.records import Entry, Timeline

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.settings import Settings
    from airflow_provider_llamabatch.emulator.state.records import Batch


@dataclass(frozen=True)
class BatchSnapshot:
    """The state of a batch at one time."""

    status: str
    since: float
    ended: bool


@dataclass(frozen=True)
class JobTimes:
    """When a job is made, starts and ends."""

    created_at: float
    running_at: float
    ended_at: float


def plan(settings: Settings, created_at: float) -> Timeline:
    """Fix the course of a new batch."""
    throttled_at = to_the_microsecond(created_at + settings.batch_pending_seconds)
    running_at = to_the_microsecond(throttled_at + settings.batch_throttled_seconds)
    ended_at = to_the_microsecond(running_at + settings.batch_running_seconds)
    return Timeline(created_at, throttled_at, running_at, ended_at, settings.final_status)


def snapshot(batch: Batch, now: float) -> BatchSnapshot:
    """Say where a batch stands. A batch that is being cancelled stays as it was until the cancel is done."""
    if batch.cancelled_at is not None and now >= batch.cancelled_at:
        return BatchSnapshot("CANCELLED", batch.cancelled_at, ended=True)
    seen_at = now if batch.cancel_asked_at is None else min(now, batch.cancel_asked_at)
    return _uncancelled(batch.timeline, seen_at)


def _uncancelled(timeline: Timeline, now: float) -> BatchSnapshot:
    if now >= timeline.ended_at:
        return BatchSnapshot(timeline.final_status, timeline.ended_at, ended=True)
    if now >= timeline.running_at:
        return BatchSnapshot("RUNNING", timeline.running_at, ended=False)
    if now >= timeline.throttled_at:
        return BatchSnapshot("THROTTLED", timeline.throttled_at, ended=False)
    return BatchSnapshot("PENDING", timeline.created_at, ended=False)


def shown_status(batch: Batch, now: float, settings: Settings) -> str:
    """Return the status word an answer carries."""
    status = snapshot(batch, now).status
    return settings.status_words.get(status, status)


def new_entry(settings: Settings, timeline: Timeline, file_id: str, name: str, place: float) -> Entry:
    """
    Make a file's entry. ``place`` (0 to 1) is the file's place in the batch: files get their jobs one after another.

    The caller adds the job to an entry that ``takes_job``.
    """
    mapped_at = to_the_microsecond(timeline.running_at + place * (timeline.ended_at - timeline.running_at))
    if any(fnmatchcase(name, pattern) for pattern in settings.mapping_error_files):
        return Entry(file_id, mapped_at, error_message=f"No job could be created for file {name!r}")
    return Entry(file_id, mapped_at)


def takes_job(settings: Settings, entry: Entry, name: str) -> bool:
    """Whether a job is to be made for this entry."""
    unresolved = any(fnmatchcase(name, pattern) for pattern in settings.unresolved_files)
    return entry.error_message is None and not unresolved


def job_times(settings: Settings, timeline: Timeline, mapped_at: float) -> JobTimes:
    """Fix the course of a job that a batch makes: over when the batch is, or still running then."""
    if settings.jobs_finish == "after_completed":
        ended_at = timeline.ended_at + settings.job_lag_seconds
    else:
        duration = settings.job_pending_seconds + settings.job_running_seconds
        ended_at = min(mapped_at + duration, timeline.ended_at)
    running_at = mapped_at + min(settings.job_pending_seconds, (ended_at - mapped_at) / 2)
    return JobTimes(mapped_at, running_at, ended_at)


def ask_to_cancel(batch: Batch, now: float, settings: Settings) -> list[str]:
    """Begin a cancel and return the ids of the jobs that will now never be made; asking again changes nothing."""
    if batch.cancel_asked_at is not None:
        return []
    batch.cancel_asked_at = now
    batch.cancelled_at = now + settings.cancel_seconds
    unmapped = [entry for entry in batch.entries if entry.mapped_at > now]
    never_made = [entry.job_id for entry in unmapped if entry.job_id]
    for entry in unmapped:
        entry.job_id = entry.error_message = None
    return never_made


def results(batch: Batch, now: float, settings: Settings) -> list[dict[str, Any]] | None:
    """Return the expanded results of a look at ``now``, or None where the API has none to show."""
    if not _results_are_shown(batch, snapshot(batch, now), settings):
        return None
    shown = [_entry_json(entry, batch, now) for entry in batch.entries]
    if settings.results_shuffle:
        # Another order on every look, the same one in every run.
        random.Random(f"{batch.id}{batch.results_looks}").shuffle(shown)  # noqa: S311 - nothing secret
    return shown


def _results_are_shown(batch: Batch, state: BatchSnapshot, settings: Settings) -> bool:
    if not state.ended:
        return settings.partial_results_while_running and state.status == "RUNNING"
    if state.status == "FAILED":
        return settings.partial_results_when_failed
    return batch.results_looks > settings.results_null_when_completed_looks


def _entry_json(entry: Entry, batch: Batch, now: float) -> dict[str, Any]:
    mapped = entry.mapped_at <= now
    reference = {"type": batch.job_type, "id": entry.job_id} if mapped and entry.job_id else None
    return {
        "source_directory_file_id": entry.file_id,
        "job_reference": reference,
        "error_message": entry.error_message if mapped else None,
    }
