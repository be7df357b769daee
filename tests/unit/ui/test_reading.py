from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_llamabatch import xcom
from airflow_provider_llamabatch.llamacloud.models import Batch
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.reading import horizon, with_listed
from airflow_provider_llamabatch.ui.runs import Row, Task, runs_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
EPOCH = NOW.timestamp()


def batch(id_: str, status: str = "COMPLETED", hours: float | None = 1.0) -> Batch:
    created = None if hours is None else (NOW - timedelta(hours=hours)).isoformat()
    return Batch.model_validate({"id": id_, "status": status, "created_at": created})


MONTH = NOW - timedelta(days=limits.DAYS)
OVERLAP = timedelta(seconds=limits.OVERLAP)


@pytest.mark.parametrize(
    ("known", "later", "since", "in_full"),
    [
        (None, 0, MONTH, True),
        ([], 15, MONTH, True),
        ([batch("a")], 15, NOW - timedelta(hours=1) - OVERLAP, False),
        ([batch("a"), batch("b", hours=5)], 15, NOW - timedelta(hours=1) - OVERLAP, False),
        ([batch("a"), batch("b", "RUNNING", hours=600)], 15, NOW - timedelta(hours=1) - OVERLAP, False),
        ([batch("a"), batch("b", "RUNNING", 5)], 15, NOW - timedelta(hours=5), False),
        ([batch("a"), batch("b", "WHATEVER", 5)], 15, NOW - timedelta(hours=5), False),
        ([batch("a"), batch("b", hours=None)], 15, MONTH, True),
        ([batch("a")], limits.FULL_READ, MONTH, True),
    ],
)
def test_between_full_reads_only_what_can_have_changed_is_listed(known, later, since, in_full):
    last = None if known is None else with_listed(None, known, EPOCH, in_full=True)
    asked, full = horizon(last, EPOCH + later)
    assert full is in_full
    assert abs(asked - since) <= timedelta(seconds=later)


def test_a_batch_that_a_full_list_does_not_show_is_gone_and_one_of_a_part_stays():
    last = with_listed(None, [batch("a"), batch("b", "RUNNING")], EPOCH, in_full=True)
    part = with_listed(last, [batch("b")], EPOCH + 15, in_full=False)
    assert sorted(part.by_id) == ["a", "b"]
    assert part.read_in_full_at == EPOCH
    whole = with_listed(part, [batch("b")], EPOCH + 30, in_full=True)
    assert sorted(whole.by_id) == ["b"]


def test_the_statuses_that_were_seen_are_remembered_with_their_times():
    last = with_listed(None, [batch("a", "PENDING")], EPOCH, in_full=True)
    for later, status in ((15, "PENDING"), (30, "RUNNING"), (45, "RUNNING"), (60, "COMPLETED")):
        last = with_listed(last, [batch("a", status)], EPOCH + later, in_full=False)
    assert last.seen["a"] == (("PENDING", EPOCH), ("RUNNING", EPOCH + 30), ("COMPLETED", EPOCH + 60))


def test_more_batches_than_are_read_are_said_not_to_be_all(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BATCHES", 2)
    kept = with_listed(None, [batch("a"), batch("b"), batch("c")], EPOCH, in_full=True)
    assert (len(kept.by_id), kept.is_all) == (2, False)


CREATE, SAVE = Task("dag", "run", "create_batch", 0), Task("dag", "run", "save_results")
ENTRY = {
    "batch_id": "bat-1",
    "connection_id": "c",
    "directory_id": "dir-1",
    "configuration_id": "cfg-1",
    "job_type": "parse_v2",
    "action": "submit",
    "reason": "no earlier submission is recorded",
}
USAGE = {
    "source": "jobs",
    "files": 10,
    "failed": 1,
    "reasons": {"x": 1},
    "credits": None,
    "credits_by_directory": {},
}


def rows(*given: tuple[Task, str, object]) -> list[Row]:
    return [Row(task, key, value, NOW) for task, key, value in given]


def test_a_batch_is_known_with_its_task_its_count_and_its_credits():
    saved = {
        **USAGE,
        "source": "results",
        "credits": 33.0,
        "credits_by_directory": {"dir-1": 30.0, "dir-2": 3.0},
    }
    runs = runs_of(
        rows((CREATE, xcom.SUBMISSIONS, [ENTRY]), (CREATE, xcom.USAGE, USAGE), (SAVE, xcom.USAGE, saved))
    )
    made = runs.made["bat-1"]
    assert (made.task, made.number, made.credits) == (CREATE, 1, 30.0)
    assert made.count is not None
    assert (made.count.files, made.count.failed) == (10, 1)
    assert len(runs.counts) == 2


def test_further_attempts_are_batches_of_their_own_without_the_tasks_count():
    again = {**ENTRY, "batch_id": "bat-2", "directory_id": "dir-2"}
    runs = runs_of(rows((CREATE, xcom.SUBMISSIONS, [ENTRY, again]), (CREATE, xcom.USAGE, USAGE)))
    assert (runs.made["bat-2"].number, runs.made["bat-2"].count) == (2, None)


def test_a_batch_that_two_tasks_name_belongs_to_the_newest():
    newer, older = Task("dag", "run 2", "create_batch"), Task("dag", "run 1", "create_batch")
    runs = runs_of(rows((newer, xcom.SUBMISSIONS, [ENTRY]), (older, xcom.SUBMISSIONS, [ENTRY])))
    assert runs.made["bat-1"].task == newer


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (xcom.SUBMISSIONS, None),
        (xcom.SUBMISSIONS, "text"),
        (xcom.SUBMISSIONS, {"batch_id": "bat-1"}),
        (xcom.SUBMISSIONS, [None, "x", {"batch_id": "bat-1"}, {**ENTRY, "reason": 3}]),
        (xcom.USAGE, None),
        (xcom.USAGE, [USAGE]),
        (xcom.USAGE, {"source": "jobs"}),
        (xcom.USAGE, {**USAGE, "source": "elsewhere"}),
        (xcom.USAGE, {**USAGE, "files": "ten"}),
    ],
)
def test_an_xcom_of_somebody_else_under_the_same_key_is_left_out(key, value):
    runs = runs_of(rows((CREATE, key, value)))
    assert (runs.made, runs.counts) == ({}, ())
