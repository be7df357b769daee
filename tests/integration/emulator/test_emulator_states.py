"""The state machines and the other pure parts, without a server."""

from __future__ import annotations

import base64
import itertools
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

from airflow_provider_llamabatch.emulator import Settings
from airflow_provider_llamabatch.emulator.documents.reading import Found
from airflow_provider_llamabatch.emulator.models.requests import Paging
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state import batches, jobs
from airflow_provider_llamabatch.emulator.state.clock import Clock, iso
from airflow_provider_llamabatch.emulator.state.outcomes import outcome
from airflow_provider_llamabatch.emulator.state.records import Batch, Entry, FileResult, Job
from airflow_provider_llamabatch.emulator.state.tables import Table

T0 = 1_000_000.0
THROTTLED = Settings(
    batch_pending_seconds=10, batch_throttled_seconds=5, batch_running_seconds=100, cancel_seconds=3
)


def a_batch(settings: Settings = THROTTLED, entries: int = 0) -> Batch:
    timeline = batches.plan(settings, T0)
    made = [
        batches.new_entry(settings, timeline, f"dfl-{index}", f"{index}.txt", index / entries)
        for index in range(entries)
    ]
    for entry in made:
        entry.job_id = f"pjb-{entry.file_id}"
    return Batch("bat-1", 1, "dir-1", "parse_v2", "cfg-1", timeline, made)


@pytest.mark.parametrize(
    ("seconds", "status", "ended"),
    [
        (0, "PENDING", False),
        (9.999, "PENDING", False),
        (10, "THROTTLED", False),
        (14.999, "THROTTLED", False),
        (15, "RUNNING", False),
        (114.999, "RUNNING", False),
        (115, "COMPLETED", True),
        (1e6, "COMPLETED", True),
    ],
)
def test_a_batch_walks_through_its_statuses(seconds: float, status: str, ended: bool) -> None:
    state = batches.snapshot(a_batch(), T0 + seconds)
    assert (state.status, state.ended) == (status, ended)


def test_a_batch_that_nothing_throttles_goes_from_pending_to_running() -> None:
    settings = Settings(batch_pending_seconds=1, batch_running_seconds=1)
    seen = [batches.snapshot(a_batch(settings), T0 + second).status for second in (0, 1, 2)]
    assert seen == ["PENDING", "RUNNING", "COMPLETED"]


@pytest.mark.parametrize("word", ["FAILED", "CANCELLED", "ARCHIVED"])
def test_a_batch_ends_as_it_was_set_to_end(word: str) -> None:
    batch = a_batch(Settings(final_status=word))
    assert batches.snapshot(batch, T0 + 1e6).status == word


@pytest.mark.parametrize(
    ("asked_at", "before", "stays"), [(2, "PENDING", 4.9), (12, "THROTTLED", 14.9), (114, "RUNNING", 116.9)]
)
def test_a_cancel_takes_its_time_and_keeps_the_status_meanwhile(
    asked_at: float, before: str, stays: float
) -> None:
    batch = a_batch()
    batches.ask_to_cancel(batch, T0 + asked_at, THROTTLED)
    assert batches.snapshot(batch, T0 + stays).status == before
    assert batches.snapshot(batch, T0 + asked_at + 3) == batches.BatchSnapshot(
        "CANCELLED", T0 + asked_at + 3, ended=True
    )


def test_a_second_cancel_does_not_prolong_the_first() -> None:
    batch = a_batch()
    batches.ask_to_cancel(batch, T0 + 20, THROTTLED)
    batches.ask_to_cancel(batch, T0 + 22, THROTTLED)
    assert batches.snapshot(batch, T0 + 23).status == "CANCELLED"


def test_a_cancelled_batch_keeps_the_jobs_made_so_far_and_makes_no_more() -> None:
    batch = a_batch(entries=4)  # mapped 15, 40, 65 and 90 s after the creation
    never_made = batches.ask_to_cancel(batch, T0 + 50, THROTTLED)
    batch.results_looks = 1
    shown = batches.results(batch, T0 + 1000, THROTTLED)
    assert shown is not None
    with_job = {entry["source_directory_file_id"] for entry in shown if entry["job_reference"]}
    assert with_job == {"dfl-0", "dfl-1"}
    assert never_made == ["pjb-dfl-2", "pjb-dfl-3"]


@pytest.mark.parametrize(
    ("changes", "seconds", "references"),
    [
        ({}, 0, None),
        ({}, 50, None),
        ({}, 115, 4),
        ({"partial_results_while_running": True}, 0, None),
        ({"partial_results_while_running": True}, 50, 2),
        ({"final_status": "FAILED"}, 115, None),
        ({"final_status": "FAILED", "partial_results_when_failed": True}, 115, 4),
        ({"final_status": "ARCHIVED"}, 115, 4),
        ({"results_null_when_completed_looks": 1}, 115, None),
    ],
)
def test_results_are_shown_when_there_are_some(
    changes: dict[str, Any], seconds: float, references: int | None
) -> None:
    settings = THROTTLED.changed(**changes)
    batch = a_batch(settings, entries=4)
    batch.results_looks = 1
    shown = batches.results(batch, T0 + seconds, settings)
    assert (
        None if shown is None else sum(entry["job_reference"] is not None for entry in shown)
    ) == references


def test_results_come_in_another_order_on_every_look_unless_told_otherwise() -> None:
    batch = a_batch(entries=30)
    orders = []
    for look in (1, 2):
        batch.results_looks = look
        orders.append(
            [entry["source_directory_file_id"] for entry in batches.results(batch, T0 + 200, THROTTLED) or []]
        )
    plain = batches.results(batch, T0 + 200, THROTTLED.changed(results_shuffle=False)) or []
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert [entry["source_directory_file_id"] for entry in plain] == [f"dfl-{index}" for index in range(30)]


def test_files_can_be_left_without_a_job_with_and_without_a_reason() -> None:
    settings = Settings(mapping_error_files=("*.exe",), unresolved_files=("odd*",))
    timeline = batches.plan(settings, T0)
    entries = {
        name: batches.new_entry(settings, timeline, name, name, 0)
        for name in ("x.exe", "odd.txt", "fine.txt")
    }
    takes = {name: batches.takes_job(settings, entry, name) for name, entry in entries.items()}
    assert takes == {"x.exe": False, "odd.txt": False, "fine.txt": True}
    assert [name for name, entry in entries.items() if entry.error_message] == ["x.exe"]


@pytest.mark.parametrize(
    ("finish", "seconds_after_completion", "status"),
    [
        ("before_completed", 0, "COMPLETED"),
        ("after_completed", 1, "RUNNING"),
        ("after_completed", 5, "COMPLETED"),
    ],
)
def test_jobs_end_before_the_batch_or_after_it(
    finish: str, seconds_after_completion: float, status: str
) -> None:
    settings = Settings().changed(jobs_finish=finish, job_lag_seconds=5)
    timeline = batches.plan(settings, T0)
    for place in (0.0, 0.5, 0.99):
        entry = batches.new_entry(settings, timeline, "dfl", "a.txt", place)
        times = batches.job_times(settings, timeline, entry.mapped_at)
        assert times.created_at <= times.running_at <= times.ended_at
        job = a_job(times.created_at, times.running_at, times.ended_at)
        assert jobs.status(job, timeline.ended_at + seconds_after_completion) == status


def a_job(
    created_at: float = T0, running_at: float = T0 + 1, ended_at: float = T0 + 2, error: str | None = None
) -> Job:
    job = Job("pjb-1", 1, created_at, running_at, ended_at, "parse_v2", "blob", "dfl-1", {"tier": "agentic"})
    job.pages, job.error = (1,), error
    return job


@pytest.mark.parametrize(("seconds", "status"), [(0, "PENDING"), (1, "RUNNING"), (2, "COMPLETED")])
def test_a_job_walks_through_its_statuses(seconds: float, status: str) -> None:
    assert jobs.status(a_job(), T0 + seconds) == status


def test_a_job_that_is_to_fail_fails_at_its_end() -> None:
    job = a_job(error="NO_DATA_FOUND_IN_FILE: the file is empty")
    assert jobs.status(job, T0 + 1.9) == "RUNNING"
    assert jobs.status(job, T0 + 2) == "FAILED"


def test_a_cancel_stops_a_running_job_and_leaves_a_finished_one() -> None:
    running, finished = a_job(), a_job(ended_at=T0 + 1.5)
    for job in (running, finished):
        jobs.cancel(job, T0 + 1.5)
    assert [jobs.status(job, T0 + 10) for job in (running, finished)] == ["CANCELLED", "COMPLETED"]


def test_credits_are_recorded_some_time_after_the_end() -> None:
    settings = Settings(usage_delay_seconds=2)
    billed = [jobs.credits_billed(a_job(), T0 + seconds, settings) for seconds in (1, 2, 3.9, 4)]
    assert billed == [None, None, None, 10.0]


def test_the_clock_stands_still_and_is_moved() -> None:
    clock = Clock()
    clock.freeze()
    frozen_at = clock.now()
    clock.advance(60)
    assert clock.now() == pytest.approx(frozen_at + 60)
    clock.release()
    assert clock.now() >= frozen_at + 60
    with pytest.raises(ValueError, match="turned back"):
        clock.advance(-1)


def test_the_clock_runs_with_real_time_when_nobody_touches_it() -> None:
    before = time.time()
    assert before - 0.001 <= Clock().now() <= time.time() + 0.001


def test_a_shown_time_is_exactly_the_kept_one() -> None:
    clock = Clock()
    for _ in range(100):
        moment = clock.now()
        assert datetime.fromisoformat(iso(moment)).timestamp() == moment


@dataclass
class Numbered:
    order: int
    created_at: float
    id: str = ""

    def __post_init__(self) -> None:
        self.id = str(self.order)


def numbered(records: list[Numbered]) -> Table[Numbered]:
    table: Table[Numbered] = Table()
    for record in records:
        table.add(record)
    return table


def walk(table: Table[Numbered], size: int, between: Any = lambda: None) -> list[int]:
    seen: list[int] = []
    token: str | None = None
    while True:
        asked = Paging(page_size=size, page_token=token)
        cut = newest_page(table, asked, Settings(), lambda one: {"order": one.order}, now=T0 + 1e6)
        seen += [one["order"] for one in cut["items"]]
        token = cut["next_page_token"]
        if token is None:
            return seen
        between()


@pytest.mark.parametrize(("count", "size"), [*itertools.product([0, 1, 9, 10, 11, 25], [1, 10, 100])])
def test_pages_show_everything_once_and_newest_first(count: int, size: int) -> None:
    records = numbered([Numbered(index, T0 + index // 3) for index in range(count)])
    assert walk(records, size) == list(reversed(range(count)))


def test_records_made_between_two_pages_shift_nothing() -> None:
    records = numbered([Numbered(index, T0 + index) for index in range(20)])
    new = itertools.count(100)
    seen = walk(records, 3, between=lambda: records.add(Numbered(number := next(new), T0 + number)))
    assert seen == list(reversed(range(20)))


def test_records_of_the_future_are_not_listed_and_removed_ones_are_gone() -> None:
    records = numbered([Numbered(index, T0 + index) for index in range(4)])
    records.remove("1")
    records.remove("none")
    cut = newest_page(records, Paging(), Settings(), lambda one: {"order": one.order}, now=T0 + 2)
    assert [one["order"] for one in cut["items"]] == [2, 0]
    assert len(records) == 3


@pytest.mark.parametrize("size", [0, 101, -1])
def test_a_page_size_out_of_bounds_is_refused(size: int) -> None:
    with pytest.raises(RequestValidationError):
        newest_page(Table(), Paging(page_size=size), Settings(), lambda _: {}, now=T0)


@pytest.mark.parametrize(
    "place",
    ["x", "[]", "null", '["Paging ", "a", 1]', '["Paging ", 1e999, 1]', '["Paging ", 1.0]', "[1.0, 1]"],
)
def test_a_forged_token_is_refused(place: str) -> None:
    refuse_token(base64.urlsafe_b64encode(place.encode()).decode())


@pytest.mark.parametrize("token", ["x", "\ud800"])
def test_a_token_that_is_no_base64_is_refused(token: str) -> None:
    refuse_token(token)


def refuse_token(token: str) -> None:
    with pytest.raises(HTTPException) as caught:
        newest_page(Table(), Paging.model_construct(page_token=token), Settings(), lambda _: {}, now=T0)
    assert caught.value.status_code == 400


def document_of(pages: int, failed: tuple[int, ...] = ()) -> Found:
    return Found(pages, failed, None)


@pytest.mark.parametrize(
    ("pages", "failed", "ratio", "fails"),
    [
        (100, 5, None, False),
        (100, 6, None, True),
        (2, 1, None, True),
        (2, 1, 0.5, False),
        (3, 3, 1, True),
        (3, 0, 0.01, False),
    ],
)
def test_a_job_fails_when_more_pages_fail_than_are_allowed(
    pages: int, failed: int, ratio: float | None, fails: bool
) -> None:
    conditions = {} if ratio is None else {"allowed_page_failure_ratio": ratio}
    parameters = {"processing_control": {"job_failure_conditions": conditions}}
    document = document_of(pages, tuple(range(1, failed + 1)))
    assert (outcome(Settings(), document, parameters, "a.txt").error is not None) == fails


@pytest.mark.parametrize(
    ("parameters", "pages"),
    [
        ({}, (1, 2, 3, 4, 5)),
        ({"target_pages": "1,3-4"}, (1, 3, 4)),
        ({"page_ranges": {"target_pages": "2-99"}}, (2, 3, 4, 5)),
        ({"page_ranges": {"max_pages": 2}}, (1, 2)),
        ({"page_ranges": {"target_pages": "1,3", "max_pages": 1}}, (1, 3)),
        ({"target_pages": "4,5", "max_pages": 1}, (4,)),
        ({"target_pages": "6"}, ()),
    ],
)
def test_a_job_reads_the_pages_that_were_asked_for(
    parameters: dict[str, Any], pages: tuple[int, ...]
) -> None:
    decided = outcome(Settings(), document_of(5), parameters, "a.txt")
    assert (decided.pages, decided.error is None) == (pages, bool(pages))


def test_what_is_set_for_a_file_is_what_its_job_comes_to() -> None:
    def decided(**result: Any) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
        settings = Settings(file_results={"a.*": FileResult(**result)})
        made = outcome(settings, document_of(3), {}, "a.txt")
        assert outcome(settings, document_of(3), {}, "b.txt").result is None
        return made.pages, made.failed_pages, made.error is not None

    assert decided(markdown="one\ftwo") == ((1, 2), (), False)
    assert decided(failed_pages=(2,)) == ((1, 2, 3), (2,), False)
    assert decided(failed_pages=(1, 2, 3)) == ((1, 2, 3), (1, 2, 3), True)
    assert decided(error_message="TIMEOUT: too slow") == ((1, 2, 3), (), True)


def test_an_entry_is_plain_until_its_file_is_mapped() -> None:
    batch = a_batch()
    batch.entries = [Entry("dfl-1", T0 + 60, error_message="no job")]
    settings = THROTTLED.changed(partial_results_while_running=True)
    early, late = (batches.results(batch, T0 + seconds, settings) for seconds in (50, 61))
    assert early == [{"source_directory_file_id": "dfl-1", "job_reference": None, "error_message": None}]
    assert late == [{"source_directory_file_id": "dfl-1", "job_reference": None, "error_message": "no job"}]
