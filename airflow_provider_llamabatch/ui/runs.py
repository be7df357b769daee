"""
Which DAG run made which batch, and what its files came to: XComs in Airflow's metadata database.

Read once for all viewers and kept for a moment, by key, back to ``limits.DAYS`` ago, at most ``limits.MAX_XCOMS`` rows.
What a viewer may see of it is decided in ``access``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import xcom
from airflow_provider_llamabatch.ui import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

_ENTRY = ("batch_id", "connection_id", "directory_id", "configuration_id", "job_type", "action", "reason")


@dataclass(frozen=True, slots=True)
class Task:
    """A task instance; ``map_index`` is -1 for one that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True, slots=True)
class Count:
    """What a task counted when it ended (see ``xcom.Usage``), and when."""

    task: Task
    at: datetime
    source: str
    files: int
    failed: int
    reasons: dict[str, int] = field(default_factory=dict)
    credits: float | None = None
    credits_by_directory: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """
    A batch and the task that made it.

    ``number`` counts the batches of one task from 1: a further one repeats files that failed. ``count`` is what the
    task counted, ``credits`` what the batch cost, both None where nothing says so.
    """

    batch_id: str
    connection_id: str
    directory_id: str
    configuration_id: str
    job_type: str
    action: str
    reason: str
    task: Task
    at: datetime
    number: int = 1
    count: Count | None = None
    credits: float | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """
    Batches by id and counts by task.

    ``is_all`` is False where there were more XComs than the page reads, or one that an XCom backend keeps elsewhere.
    What was made after ``told_until`` may not have been told of yet.
    """

    made: dict[str, Made] = field(default_factory=dict)
    counts: tuple[Count, ...] = ()
    is_all: bool = True
    told_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """An XCom as it is read."""

    task: Task
    key: str
    value: Any
    at: datetime


class RunsReader:
    """Reads the XComs at most once per ``limits.REFRESH``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs, self._read_at = Runs(), float("-inf")

    def get(self, session: Session) -> Runs:
        """Return what the tasks of the last days said."""
        with self._lock:
            if time.monotonic() - self._read_at >= limits.REFRESH:
                now = datetime.now(UTC)
                rows = rows_since(session, now - timedelta(days=limits.DAYS + 1))
                runs = runs_of(rows[: limits.MAX_XCOMS], is_all=len(rows) <= limits.MAX_XCOMS)
                self._runs = replace(runs, told_until=now - timedelta(seconds=limits.XCOM_LAG))
                self._read_at = time.monotonic()
            return self._runs

    def expire(self) -> None:
        """Read again at the next occasion."""
        with self._lock:
            self._read_at = float("-inf")


def rows_since(session: Session, since: datetime) -> list[Row]:
    """Return the XComs of the two keys, the newest first, at most one more than the page reads."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    found = session.execute(
        select(
            XComModel.dag_id,
            XComModel.run_id,
            XComModel.task_id,
            XComModel.map_index,
            XComModel.key,
            XComModel.value,
            XComModel.timestamp,
        )
        .where(XComModel.key.in_((xcom.SUBMISSIONS, xcom.USAGE)), XComModel.timestamp >= since)
        .order_by(XComModel.timestamp.desc())
        .limit(limits.MAX_XCOMS + 1)
    )
    return [
        Row(
            Task(row.dag_id, row.run_id, row.task_id, row.map_index),
            row.key,
            XComModel.deserialize_value(row),
            row.timestamp,
        )
        for row in found
    ]


def runs_of(rows: Iterable[Row], *, is_all: bool = True) -> Runs:
    """Return what XComs say; what is not in the shape that the operators push (another package's key) is left out."""
    given = list(rows)
    counts = [count for row in given if row.key == xcom.USAGE and (count := _count(row)) is not None]
    of_task = {count.task: count for count in counts}
    by_directory = {
        (count.task.dag_id, count.task.run_id, directory_id): credits
        for count in counts
        for directory_id, credits in count.credits_by_directory.items()
    }
    submissions = [row for row in given if row.key == xcom.SUBMISSIONS]
    is_all = is_all and all(isinstance(row.value, list) for row in submissions)
    made: dict[str, Made] = {}
    # The oldest first: a batch that was returned again stays with the newest task.
    for row in reversed([row for row in submissions if isinstance(row.value, list)]):
        for number, entry in enumerate(row.value, 1):
            if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in _ENTRY):
                continue
            task, directory_id = row.task, entry["directory_id"]
            count = of_task.get(task) if number == 1 else None
            credits = by_directory.get((task.dag_id, task.run_id, directory_id))
            if credits is None and count is not None:
                credits = count.credits
            known = {name: entry[name] for name in _ENTRY}
            made[entry["batch_id"]] = Made(
                **known, task=task, at=row.at, number=number, count=count, credits=credits
            )
    return Runs(made, tuple(counts), is_all)


def _count(row: Row) -> Count | None:
    value = row.value
    if not isinstance(value, dict) or value.get("source") not in ("jobs", "results"):
        return None
    files, failed = value.get("files"), value.get("failed")
    if not isinstance(files, int) or not isinstance(failed, int):
        return None
    credits = value.get("credits")
    return Count(
        row.task,
        row.at,
        value["source"],
        files,
        failed,
        {str(k): int(v) for k, v in _numbers(value.get("reasons")).items()},
        float(credits) if isinstance(credits, int | float) else None,
        _numbers(value.get("credits_by_directory")),
    )


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {str(k): v for k, v in value.items() if isinstance(v, int | float)}
