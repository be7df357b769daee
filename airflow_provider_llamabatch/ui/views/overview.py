"""What the last days came to: files per day, failures by reason, credits per DAG and day."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.ui.views import words
from airflow_provider_llamabatch.ui.views.pictures import Chart, columns, shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_llamabatch.llamacloud.models import Batch
    from airflow_provider_llamabatch.ui.runs import Count

DAYS = 14
MAX_REASONS = 10


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
    place = {date: day for day, date in enumerate(dates)}
    days = [f"{date.day} {date:%b}" for date in dates]
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
    by_status: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * DAYS)
    made = 0
    for batch in batches:
        if batch.created_at is not None and (date := batch.created_at.astimezone(UTC).date()) in place:
            by_status[batch.status][place[date]] += 1
            made += 1
    usual = [word for word in ("COMPLETED", "FAILED", "CANCELLED", "RUNNING") if word in by_status]
    rest = sorted(word for word in by_status if word not in usual)
    totals = (
        ("Batches", words.number(made)),
        ("Files done", words.number(sum(done))),
        ("Files failed", words.number(sum(failed))),
        ("Credits", words.number(sum(sum(values) for values in credits.values()) if credits else None)),
    )
    return Overview(
        totals,
        columns(days, {"done": done, "failed": failed}),
        columns(days, dict(by_cost)),
        columns(days, {word: by_status[word] for word in [*usual, *rest]}),
        shares(dict(reasons.most_common(MAX_REASONS))),
    )


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
