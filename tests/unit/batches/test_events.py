from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.events import EventNotUnderstoodError, WaitEvent, read_event
from airflow_provider_llamabatch.batches.polling import PollResult, Reason
from airflow_provider_llamabatch.triggers.batch import BatchTrigger


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_survives_the_way_from_trigger_to_task(reason):
    event = read_event(WaitEvent("bat-1", reason.value, "text").to_payload())

    assert event.result == PollResult(reason, "text")


def test_an_event_holds_nothing_that_a_database_refuses():
    payload = WaitEvent("bat-1", "refused", "no\u0000pe \x1b[31m" + "x" * 5000).to_payload()

    assert "\u0000" not in payload["message"]
    assert "\x1b" not in payload["message"]
    assert len(payload["message"]) < 1100
    assert len(read_event({**payload, "message": "x" * 5000}).message) < 1100


@pytest.mark.parametrize("deadline", [1_800_000_000, 12.5, 0])
def test_a_deadline_survives_the_way_from_trigger_to_task(deadline):
    event = read_event(WaitEvent("bat-1", "timed_out", deadline=deadline).to_payload())

    assert event.deadline == float(deadline)
    assert isinstance(event.deadline, float)


@pytest.mark.parametrize("deadline", [None, "soon", float("nan"), float("inf"), True, [1], 10**400, 1e300])
def test_a_deadline_that_is_no_time_is_none(deadline):
    event = read_event({"batch_id": "bat-1", "reason": "completed", "deadline": deadline})

    assert event.deadline is None


@pytest.mark.parametrize(
    "payload",
    [
        {"batch_id": "bat-1", "reason": "completed"},
        {"batch_id": "bat-1", "reason": "completed", "message": None},
        {"batch_id": "bat-1", "reason": "completed", "message": "", "new_field": [1]},
    ],
)
def test_an_event_of_a_neighbouring_release_is_understood(payload):
    assert read_event(payload) == WaitEvent("bat-1", "completed")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "success",
        [],
        {},
        {"batch_id": "bat-1"},
        {"reason": "completed"},
        {"batch_id": "", "reason": "completed"},
        {"batch_id": 7, "reason": "completed"},
        {"batch_id": "bat-1", "reason": "timeout"},
        {"batch_id": "bat-1", "reason": None},
        {"batch_id": "bat-1", "reason": ["completed"]},
    ],
)
def test_anything_else_is_a_failure_never_a_success(payload):
    with pytest.raises(EventNotUnderstoodError):
        read_event(payload)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("success", "'success', which is not an event"),
        ({"reason": "completed"}, r"without a batch_id: {'reason': 'completed'}"),
        (
            {"batch_id": "bat-1", "reason": "paused"},
            "reason 'paused' for batch bat-1, which this version does not know; is the triggerer newer",
        ),
    ],
)
def test_what_was_not_understood_is_named(payload, said):
    with pytest.raises(EventNotUnderstoodError, match=said):
        read_event(payload)


def test_a_trigger_takes_what_it_gave_and_ignores_what_a_newer_release_adds():
    trigger = BatchTrigger("bat-1", deadline=10.0)
    _, arguments = trigger.serialize()

    assert BatchTrigger(**arguments, from_the_future=1).serialize() == trigger.serialize()
