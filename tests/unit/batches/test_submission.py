from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_llamabatch.batches import submission as s
from airflow_provider_llamabatch.batches.submission import Action, Decision, Record, Request
from airflow_provider_llamabatch.llamacloud.models import Batch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
REQUEST = Request("dir-1", "cfg-1", "parse_v2", "f" * 64)
INTENT = Record(REQUEST.fingerprint, ("bat-old",), max_tries=2, intended_at=NOW.timestamp())
SUBMITTED = INTENT.submitted("bat-1")


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
    ("record", "fresh", "action"),
    [
        (None, False, Action.SUBMIT),
        (INTENT, False, Action.ADOPT),
        (SUBMITTED, False, Action.LOOK_UP),
        (SUBMITTED, True, Action.SUBMIT),
        (INTENT, True, Action.SUBMIT),
    ],
)
def test_what_an_earlier_try_recorded_decides_first(record, fresh, action):
    decision = s.decide_by_record(record, REQUEST, fresh=fresh)

    assert decision.action is action
    assert decision.batch_id == ("bat-1" if action is Action.LOOK_UP else "")


@pytest.mark.parametrize("record", [INTENT, SUBMITTED])
def test_a_record_of_other_arguments_does_not_count(record):
    other = Request("dir-2", "cfg-1", "parse_v2", "0" * 64)

    assert s.decide_by_record(record, other, fresh=False).action is Action.SUBMIT


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

    assert s.adoptable(INTENT, REQUEST, listed) is None
    later, first = batch("bat-later", minutes=2), batch("bat-first", minutes=1, status="COMPLETED")
    assert s.adoptable(INTENT, REQUEST, [*listed, later, first]) == first


@pytest.mark.parametrize(
    ("found", "cleared", "joined"),
    [
        ([], False, None),
        ([batch("a", minutes=1)], False, "a"),
        ([batch("a", minutes=1)], True, "a"),
        ([batch("a", minutes=-1)], False, None),
        ([batch("a", minutes=1), batch("b", minutes=2)], False, "b"),
        ([batch("a", minutes=1, status="COMPLETED")], False, "a"),
        ([batch("a", minutes=1, status="COMPLETED")], True, None),
        ([batch("a", minutes=1, status="FAILED")], False, None),
        ([batch("a", minutes=1, status="CANCELLED")], False, None),
        ([batch("a", minutes=1, source_directory_id="dir-2")], False, None),
    ],
)
def test_without_a_record_a_retry_rejoins_what_this_run_has_made(found, cleared, joined):
    rejoined = s.rejoinable(REQUEST, found, since=NOW, cleared=cleared)

    assert (rejoined.id if rejoined else None) == joined


def test_a_record_survives_the_store():
    for record in (INTENT, SUBMITTED):
        assert s.read_record(record.to_json()) == record
    assert s.read_record(None) is None


@pytest.mark.parametrize(
    "value",
    [
        "text",
        [],
        {},
        7,
        {"version": 1},
        {**INTENT.to_json(), "max_tries": "many"},
        {**INTENT.to_json(), "batch_id": 1},
    ],
)
def test_a_record_that_cannot_be_read_is_an_error_never_no_record(value):
    with pytest.raises(s.RecordUnreadableError, match="fresh=True"):
        s.read_record(value)


def test_a_record_stays_small_however_busy_the_directory_is():
    known = [batch(f"bat-{n:036}", minutes=n) for n in range(3000)]

    record = s.intent(REQUEST, known, max_tries=0, now=NOW.timestamp())

    assert len(record.seen) == s.MOST_SEEN
    assert record.seen[0] == known[-1].id
    assert len(str(record.to_json())) < 60_000


def test_the_fingerprint_tells_requests_apart_and_shows_no_secret():
    base = {"connection_id": "c", "source_directory_id": "d", "webhook_configurations": None}
    secret = {**base, "webhook_configurations": [{"webhook_signing_secret": "hush"}]}

    assert s.fingerprint(**base) == s.fingerprint(**dict(reversed(base.items())))
    assert len({s.fingerprint(**one) for one in (base, secret, {**base, "connection_id": "x"})}) == 3
    assert "hush" not in s.fingerprint(**secret)
