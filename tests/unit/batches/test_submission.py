from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_llamabatch.batches import submission as s
from airflow_provider_llamabatch.batches.record import Record, RecordUnreadableError, read_record
from airflow_provider_llamabatch.batches.submission import Action, Decision, Request, TaskFacts
from airflow_provider_llamabatch.llamacloud.models import Batch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
AT = NOW.timestamp()
REQUEST = Request("dir-1", "cfg-1", "parse_v2", "llamabatch_default")
TASK = TaskFacts(1, 2, "nonce", keeps_record=True)
INTENT = Record(REQUEST.fingerprint, "nonce", 1, 2, posted_at=AT, floor=AT - 60, seen=("bat-old",), unknown=1)
SUBMITTED = INTENT.submitted("bat-1", unknown=0, max_tries=2)
VERSION_1 = {
    "version": 1,
    "fingerprint": "0" * 64,
    "seen": ["bat-old"],
    "max_tries": 2,
    "intended_at": AT,
    "batch_id": "",
}


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


def test_a_record_survives_the_store():
    for record in (INTENT, SUBMITTED):
        assert read(json.loads(json.dumps(record.to_json()))) == record
    assert read(None) is None


@pytest.mark.parametrize(
    "value",
    [
        "text",
        [],
        {},
        7,
        {"version": 1},
        {**INTENT.to_json(), "version": 3},
        {**INTENT.to_json(), "version": True},
        {**INTENT.to_json(), "max_tries": "many"},
        {**INTENT.to_json(), "max_tries": True},
        {**INTENT.to_json(), "max_tries": -1},
        {**INTENT.to_json(), "batch_id": 1},
        {**INTENT.to_json(), "batch_id": "a/b"},
        {**INTENT.to_json(), "posted_at": float("nan")},
        {**INTENT.to_json(), "posted_at": 1e300},
        {**INTENT.to_json(), "floor": 10**400},
        {**INTENT.to_json(), "seen": "bat-1"},
        {**INTENT.to_json(), "seen": [1]},
        {**INTENT.to_json(), "fingerprint": "f" * 10_000},
        {**VERSION_1, "intended_at": float("nan")},
        {**VERSION_1, "intended_at": 1e300},
    ],
)
def test_a_record_that_cannot_be_read_is_an_error_never_no_record(value):
    with pytest.raises(RecordUnreadableError, match="fresh=True"):
        read(value)


def test_a_record_of_version_1_is_read_whatever_its_webhooks_were():
    record = read({**VERSION_1, "batch_id": "bat-1"})

    assert s.decide_by_record(record, REQUEST).action is Action.LOOK_UP
    assert read(VERSION_1).floor == AT - 3600


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
