from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_llamabatch.batches import submission as s
from airflow_provider_llamabatch.batches.record import Record, read_record
from airflow_provider_llamabatch.batches.submission import Action, Decision, Request, TaskFacts
from airflow_provider_llamabatch.llamacloud.models import Batch
from tests.support.submit_play import VERSION_1

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
AT = NOW.timestamp()
REQUEST = Request("dir-1", "cfg-1", "parse_v2", "llamabatch_default")
TASK = TaskFacts(1, 2, "nonce", keeps_record=True)
INTENT = Record(REQUEST.fingerprint, "nonce", 1, 2, posted_at=AT, floor=AT - 60, seen=("bat-old",), unknown=1)
SUBMITTED = INTENT.submitted("bat-1", unknown=0, max_tries=2)


def read(value):
    return read_record(value, listed_seconds=3600.0)


def batch(batch_id: str = "bat-1", *, minutes: float = 0, **changed) -> Batch:
    values = {
        "id": batch_id,
        "status": "RUNNING",
        "source_directory_id": "dir-1",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
        "created_at": NOW + timedelta(minutes=minutes),
        **changed,
    }
    return Batch(**values)


@pytest.mark.parametrize(
    ("record", "action"),
    [
        (None, Action.SUBMIT),
        (INTENT, Action.ADOPT),
        (replace(INTENT, unknown=0), Action.SUBMIT),
        (SUBMITTED, Action.LOOK_UP),
        (read(VERSION_1), Action.ADOPT),
    ],
)
def test_what_an_earlier_try_recorded_decides_first(record, action):
    decision = s.decide_by_record(record, REQUEST)

    assert decision.action is action
    assert decision.batch_id == ("bat-1" if action is Action.LOOK_UP else "")


@pytest.mark.parametrize("record", [INTENT, SUBMITTED])
def test_a_record_of_other_arguments_does_not_count(record):
    other = Request("dir-2", "cfg-1", "parse_v2", "llamabatch_default")

    assert s.decide_by_record(record, other).action is Action.SUBMIT


@pytest.mark.parametrize(
    ("status", "max_tries", "minutes", "action"),
    [
        ("PENDING", 2, 10, Action.REJOIN),
        ("THROTTLED", 2, 10, Action.REJOIN),
        ("RUNNING", 2, 10, Action.REJOIN),
        ("DREAMING", 2, 10, Action.REJOIN),
        ("RUNNING", 5, 10, Action.REJOIN),
        ("COMPLETED", 2, 10, Action.RETURN),
        ("COMPLETED", 5, 10, Action.SUBMIT),
        ("FAILED", 2, 10, Action.SUBMIT),
        ("CANCELLED", 2, 10, Action.SUBMIT),
        (None, 2, 10, Action.SUBMIT),
        (None, 2, 1, Action.REJOIN),
    ],
)
def test_the_status_of_the_recorded_batch_decides(status, max_tries, minutes, action):
    now = (NOW + timedelta(minutes=minutes)).timestamp()

    decision = s.decide_by_status(SUBMITTED, status, max_tries=max_tries, now=now)

    assert decision.action is action
    assert bool(decision.batch_id) is (action is not Action.SUBMIT)
    assert isinstance(decision, Decision)
    assert decision.reason


def test_a_lost_submission_is_recognised_by_what_was_not_there_before():
    listed = [
        batch("bat-old"),
        batch("bat-other-directory", source_directory_id="dir-2"),
        batch("bat-other-config", config={"job": {"type": "parse_v2", "configuration_id": "cfg-2"}}),
        batch("bat-other-type", config={"job": {"type": "extract_v2", "configuration_id": "cfg-1"}}),
        batch("bat-no-config", config=None),
    ]

    assert s.adoptable(INTENT, REQUEST, listed, AT) == []
    later, first = batch("bat-later", minutes=2), batch("bat-first", minutes=1, status="COMPLETED")
    assert s.adoptable(INTENT, REQUEST, [*listed, later, first], AT) == [first, later]


@pytest.mark.parametrize(
    ("made", "adopted"),
    [
        ({"minutes": -0.9}, True),
        ({"minutes": -1.1}, False),  # older than the newest batch seen
        ({"minutes": 119}, True),
        ({"minutes": 121}, False),  # long after the POST
        ({"created_at": None}, True),
        ({"created_at": datetime(1, 1, 1)}, True),  # no usable date, so its id alone decides
        ({"created_at": datetime.max.replace(tzinfo=UTC)}, True),
    ],
)
def test_only_what_can_have_come_of_the_post_is_adopted(made, adopted):
    assert bool(s.adoptable(INTENT, REQUEST, [batch(**made)], AT)) is adopted


@pytest.mark.parametrize(
    ("found", "cleared", "joined"),
    [
        ([], False, None),
        ([batch("a", minutes=1)], False, "a"),
        ([batch("a", minutes=1)], True, "a"),
        ([batch("a", minutes=-4)], False, "a"),  # two clocks
        ([batch("a", minutes=-6)], False, None),
        ([batch("a", minutes=1), batch("b", minutes=2)], False, "b"),
        ([batch("a", minutes=1, status="COMPLETED")], False, "a"),
        ([batch("a", minutes=1, status="COMPLETED")], True, None),
        ([batch("a", minutes=1, status="FAILED")], False, None),
        ([batch("a", minutes=1, status="CANCELLED")], False, None),
        ([batch("a", minutes=1, source_directory_id="dir-2")], False, None),
    ],
)
def test_without_a_record_a_retry_rejoins_what_this_run_has_made(found, cleared, joined):
    made = s.rejoinable(REQUEST, found, since=AT, now=AT + 600)
    joinable = [one.id for one in made if s.goes_on(one, cleared=cleared)]

    assert joinable[:1] == ([joined] if joined else [])


@pytest.mark.parametrize("length", [5, 200])
@pytest.mark.parametrize("seconds", [0.0, 0.001, 60.0])
def test_a_record_stays_small_and_right_however_busy_the_directory_is(length, seconds):
    known = [batch(f"{n:0{length}}", minutes=n * seconds / 60 - 1000 * seconds / 60) for n in range(1000)]
    record = s.new_intent(REQUEST, known, TASK, AT)

    assert len(json.dumps(record.to_json())) < 60_000
    assert s.adoptable(record, REQUEST, known, AT) == []
    ours = batch("ours", minutes=0.1)
    assert s.adoptable(record, REQUEST, [*known, ours], AT) == [ours]


def test_a_date_that_cannot_be_true_does_not_hide_the_next_batch():
    known = [
        batch("odd", created_at=datetime(9999, 12, 31, tzinfo=UTC)),
        batch("odder", created_at=datetime(1, 1, 1)),
    ]
    record = s.new_intent(REQUEST, known, TASK, AT)

    assert [one.id for one in s.adoptable(record, REQUEST, [*known, batch("ours")], AT)] == ["ours"]


def test_the_fingerprint_tells_requests_apart_by_all_that_changes_what_is_paid_for():
    changes = (
        "source_directory_id",
        "configuration_id",
        "job_type",
        "connection_id",
        "project_id",
        "organization_id",
    )

    assert len({replace(REQUEST, **{name: "x"}).fingerprint for name in changes} | {REQUEST.fingerprint}) == 7


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "no earlier submission is recorded"),
        (INTENT, "an earlier try may have submitted a batch and never learnt its id"),
        (replace(INTENT, unknown=0), "nothing that was sent before made a batch"),
        (SUBMITTED, "an earlier try submitted it"),
        (
            replace(SUBMITTED, fingerprint="f"),
            "the recorded submission (batch bat-1) was for other arguments",
        ),
        (
            replace(INTENT, fingerprint="f"),
            "the recorded submission (an unconfirmed one) was for other arguments",
        ),
    ],
)
def test_the_log_says_what_the_record_decided(record, reason):
    assert s.decide_by_record(record, REQUEST).reason == reason


@pytest.mark.parametrize(
    ("status", "max_tries", "seconds", "reason"),
    [
        (None, 2, 299.9, "submitted a moment ago, not readable yet"),
        (None, 2, 300.0, "the recorded batch bat-1 no longer exists"),
        ("RUNNING", 5, 0.0, "it still runs ('RUNNING')"),
        ("S" * 40, 2, 0.0, f"it still runs ({'S' * 30!r})"),
        ("FAILED", 2, 0.0, "the recorded batch bat-1 ended as FAILED"),
        ("COMPLETED", 5, 0.0, "the task was cleared after batch bat-1 completed"),
        ("COMPLETED", 2, 0.0, "an earlier try submitted it and it completed"),
    ],
)
def test_the_log_says_what_the_status_decided(status, max_tries, seconds, reason):
    decision = s.decide_by_status(SUBMITTED, status, max_tries=max_tries, now=AT + seconds)

    assert decision.reason == reason
    assert decision.batch_id == ("" if decision.action is Action.SUBMIT else "bat-1")


def test_a_project_that_is_written_in_another_way_makes_a_batch_no_other_one():
    assert replace(REQUEST, project_id="3F2504E0-4F89").matches(batch(project_id="prj-3f2504e04f89"))


PRESET = "cfg-PARSE_AGENTIC"


def runs(configuration_id: str) -> dict[str, dict[str, str]]:
    return {"job": {"type": "parse_v2", "configuration_id": configuration_id}}


@pytest.mark.parametrize(
    ("asked", "told", "is_unclear"),
    [
        (PRESET, {"config": runs("cfg-resolved")}, True),
        (PRESET, {"config": runs("cfg-PARSE_OTHER")}, False),
        ("cfg-1", {"source_directory_id": None}, True),
        ("cfg-1", {"config": None}, True),
        ("cfg-1", {"config": runs("cfg-2")}, False),
        ("cfg-1", {"source_directory_id": "dir-2"}, False),
    ],
)
def test_what_does_not_say_surely_what_it_runs_may_be_the_requests(asked, told, is_unclear):
    request = replace(REQUEST, configuration_id=asked)
    row = batch(**told)
    assert not request.matches(row)
    assert request.may_be(row) is is_unclear


@pytest.mark.parametrize(
    ("told", "answers"),
    [
        ({}, True),
        ({"source_directory_id": None, "config": None, "created_at": None}, True),
        ({"minutes": -1}, True),
        ({"minutes": -600}, True),  # the worker's clock may be ahead
        ({"batch_id": "bat-old"}, False),
        ({"source_directory_id": "dir-2"}, False),
        ({"config": {"job": {"type": "extract_v2", "configuration_id": "cfg-1"}}}, False),
        ({"config": {"job": {"type": "parse_v2", "configuration_id": "cfg-2"}}}, False),
    ],
)
def test_a_post_is_answered_with_a_batch_that_does_not_contradict_its_request(told, answers):
    assert s.answers(batch(**told), REQUEST, INTENT) is answers


def test_a_preset_may_come_back_under_another_id():
    of_preset = replace(REQUEST, configuration_id="cfg-PARSE_AGENTIC")
    told: dict[str, Any] = {"config": {"job": {"type": "parse_v2", "configuration_id": "cfg-2"}}}
    assert s.answers(batch(**told), of_preset, INTENT)
    told = {"config": {"job": {"type": "extract_v2", "configuration_id": "cfg-2"}}}
    assert not s.answers(batch(**told), of_preset, INTENT)


EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created_at", "seconds"),
    [
        (None, None),
        (NOW, AT),
        (NOW.replace(tzinfo=None), AT),
        (EARLIEST, EARLIEST.timestamp()),
        (EARLIEST - timedelta(seconds=1), None),
        (NOW + timedelta(days=1), AT + 86400),
        (NOW + timedelta(days=1, seconds=1), None),
        (datetime(1, 1, 1), None),
    ],
)
def test_a_date_that_cannot_be_true_is_none(created_at, seconds):
    assert s.created(batch(created_at=created_at), AT) == seconds


def test_an_intent_remembers_what_is_as_new_as_the_newest_batch():
    known = [
        batch("a", minutes=-10),
        batch("b", minutes=-9.9),
        batch("c", minutes=-10.2),
        batch("d", created_at=None),
    ]

    assert s.new_intent(REQUEST, known, TASK, AT) == Record(
        REQUEST.fingerprint, "nonce", 1, 2, posted_at=AT, floor=AT - 604, seen=("d", "b", "a")
    )


def test_an_intent_remembers_what_is_exactly_as_old_as_its_floor():
    known = [batch("newest"), batch("at-floor", created_at=NOW - timedelta(seconds=10))]
    record = s.new_intent(REQUEST, known, TASK, AT)

    assert (record.floor, record.seen) == (AT - 10, ("newest", "at-floor"))
    assert s.adoptable(record, REQUEST, known, AT) == []


@pytest.mark.parametrize("known", [[], [batch("old", minutes=-61)]])
def test_an_intent_goes_back_an_hour_at_most(known):
    assert s.new_intent(REQUEST, known, TASK, AT).floor == AT - 3600


def test_an_intent_remembers_what_its_task_knows_from_before_and_stays_small():
    known = [batch("new"), batch("old", minutes=-60)]

    assert s.new_intent(REQUEST, known, TASK, AT, had=("gone", "new")).seen == ("new", "gone")
    many = [f"{number:0200}" for number in range(1000)]
    record = s.new_intent(REQUEST, [batch(one) for one in many], TASK, AT, had=(*many, "a" * 200))
    assert "a" * 200 in record.seen
    assert len(json.dumps(record.to_json())) < 60_000


@pytest.mark.parametrize(("newest", "remembered"), [(200, 10), (201, 9)])
def test_of_what_its_task_had_an_intent_remembers_the_last_two_thousand_characters(newest, remembered):
    had = (*(f"{number:0200}" for number in range(15)), "n" * newest)

    assert s.new_intent(REQUEST, [], TASK, AT, had=had).seen == had[-remembered:]


def test_an_intent_that_cannot_remember_all_begins_after_what_it_forgets():
    known = [batch(f"{number:0200}", minutes=-number / 1000) for number in range(151)]

    record = s.new_intent(REQUEST, known, TASK, AT)
    assert record.seen == tuple(one.id for one in known[:150])
    assert record.floor == AT - 9 + 1e-6
    exact = s.new_intent(REQUEST, known[:150], TASK, AT)
    assert (exact.seen, exact.floor) == (record.seen, AT - 10)
    undated = [batch(f"{number:0200}", created_at=None) for number in range(151)]
    record = s.new_intent(REQUEST, undated, TASK, AT)
    assert (len(record.seen), record.floor) == (150, AT - 3600)


@pytest.mark.parametrize(
    ("seconds", "adopted"), [(-60, True), (-60.001, False), (7200, True), (7200.001, False)]
)
def test_what_is_adopted_was_made_between_the_floor_and_two_hours_after_the_post(seconds, adopted):
    found = s.adoptable(INTENT, REQUEST, [batch(minutes=seconds / 60)], AT + 9000)

    assert bool(found) is adopted


def test_what_is_adopted_is_the_earliest_and_once():
    dated, undated = batch("b", minutes=1), batch("a", created_at=None)

    assert s.adoptable(INTENT, REQUEST, [undated, dated, batch("bat-old"), dated], AT + 90) == [
        dated,
        undated,
    ]
    assert s.adoptable(INTENT, REQUEST, [undated, dated], AT + 30) == [undated, dated]


@pytest.mark.parametrize(("seconds", "taken"), [(-300, True), (-300.1, False)])
def test_what_a_run_has_made_is_at_most_five_minutes_older_than_it(seconds, taken):
    assert bool(s.rejoinable(REQUEST, [batch(minutes=seconds / 60)], since=AT, now=AT)) is taken


def test_what_a_run_has_made_comes_the_newest_first_and_has_a_date():
    listed = [batch("a"), batch("c", minutes=2), batch("b", minutes=1), batch("d", created_at=None)]

    made = s.rejoinable(REQUEST, listed, since=AT, now=AT)
    assert [one.id for one in made] == ["c", "b", "a"]
    together = s.rejoinable(REQUEST, [batch("a"), batch("b")], since=AT, now=AT)
    assert [one.id for one in together] == ["a", "b"]
