"""What the last days came to: files per day, failures by reason, credits per DAG and day."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.ui.views import words
from airflow_provider_llamabatch.ui.views.pictures import Chart, columns, shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from airflow_provider_llamabatch.llamacloud.models import Batch
    from airflow_provider_llamabatch.ui.runs import Count

DAYS = 14
MAX_REASONS = 10
USUAL_STATUSES = ("COMPLETED", "FAILED", "CANCELLED", "RUNNING")


@dataclass(frozen=True, slots=True)
class Overview:
    """The pictures, and the totals above them (name, value)."""

    totals: Sequence[tuple[str, str]]
    files: Chart
    credits: Chart
    batches: Chart
    reasons: Sequence[tuple[str, int, float]]


def overview(counts: Iterable[Count], batches: Iterable[Batch], now: datetime) -> Overview:
    """Return the last ``DAYS`` days (UTC), as far as tasks said what their files came to."""
    first = (now.astimezone(UTC) - timedelta(days=DAYS - 1)).date()
    dates = [first + timedelta(days=day) for day in range(DAYS)]
    place = {at: day for day, at in enumerate(dates)}
    days = [f"{at.day} {at:%b}" for at in dates]
    recent = [count for count in counts if count.at.astimezone(UTC).date() in place]
    of_files = _files(recent)
    done, failed = [0.0] * DAYS, [0.0] * DAYS
    reasons: Counter[str] = Counter()
    for count in of_files:
        day = place[count.at.astimezone(UTC).date()]
        done[day] += count.files - count.failed
        failed[day] += count.failed
        reasons.update(count.reasons)
    credits: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * DAYS)
    for count in _credits(recent):
        credits[count.task.dag_id][place[count.at.astimezone(UTC).date()]] += count.credits or 0.0
    by_cost = sorted(credits.items(), key=lambda one: (-sum(one[1]), one[0]))
    by_status = _by_status(batches, place)
    totals = (
        ("Batches", words.number(sum(sum(values) for values in by_status.values()))),
        ("Files done", words.number(sum(done))),
        ("Files failed", words.number(sum(failed))),
        ("Credits", words.number(sum(sum(values) for values in credits.values()) if credits else None)),
    )
    return Overview(
        totals,
        columns(days, {"done": done, "failed": failed}),
        columns(days, dict(by_cost)),
        columns(days, by_status),
        shares(dict(reasons.most_common(MAX_REASONS))),
    )


def _by_status(batches: Iterable[Batch], place: Mapping[date, int]) -> dict[str, list[float]]:
    # The usual ones are always there, in this order: the style sheet gives each its colour.
    by_status = {status: [0.0] * DAYS for status in USUAL_STATUSES}
    for batch in batches:
        if (
            batch.created_at is not None
            and (day := place.get(batch.created_at.astimezone(UTC).date())) is not None
        ):
            by_status.setdefault(batch.status, [0.0] * DAYS)[day] += 1
    return by_status


def _files(counts: Sequence[Count]) -> list[Count]:
    """Return who counts a run's files: the waits for jobs, or the save in a run without any."""
    waited = {(count.task.dag_id, count.task.run_id) for count in counts if count.source == "jobs"}
    return [
        count
        for count in counts
        if count.source == "jobs" or (count.task.dag_id, count.task.run_id) not in waited
    ]


def _credits(counts: Sequence[Count]) -> list[Count]:
    """Return who tells a run's credits: the save, or the waits for jobs in a run without one."""
    saved = {
        (count.task.dag_id, count.task.run_id)
        for count in counts
        if count.source == "results" and count.credits is not None
    }
    return [
        count
        for count in counts
        if count.credits is not None
        and (count.source == "results" or (count.task.dag_id, count.task.run_id) not in saved)
    ]
