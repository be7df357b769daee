from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.events import EventNotUnderstoodError, WaitEvent, read_event
from airflow_provider_llamabatch.batches.waiting import Ended, Reason
from airflow_provider_llamabatch.triggers.batch import BatchTrigger


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_survives_the_way_from_trigger_to_task(reason):
    event = read_event(WaitEvent("bat-1", reason.value, "text").to_payload())

    assert event.ended == Ended(reason, "text")


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


def test_a_trigger_takes_what_it_gave_and_ignores_what_a_newer_release_adds():
    trigger = BatchTrigger("bat-1", deadline=10.0)
    _, arguments = trigger.serialize()

    assert BatchTrigger(**arguments, from_the_future=1).serialize() == trigger.serialize()
