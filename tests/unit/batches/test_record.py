"""What is kept about a submission, and how it is read again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.batches.record import Record, RecordUnreadableError, read_record
from airflow_provider_llamabatch.batches.submission import Action, Request
from tests.support.submit_play import VERSION_1

AT = 1_800_000_000.0
REQUEST = Request("dir-1", "cfg-1", "parse_v2", "llamabatch_default")
INTENT = Record(REQUEST.fingerprint, "nonce", 1, 2, posted_at=AT, floor=AT - 60, seen=("bat-old",), unknown=1)
SUBMITTED = INTENT.submitted("bat-1", unknown=0, max_tries=3)
VALUE = INTENT.to_json()


def read(value: Any) -> Record:
    record = read_record(value, listed_seconds=3600.0)
    assert record is not None
    return record


def test_a_record_is_stored_as_these_values():
    assert {
        "version": 2,
        "fingerprint": REQUEST.fingerprint,
        "nonce": "nonce",
        "try_number": 1,
        "max_tries": 2,
        "posted_at": AT,
        "floor": AT - 60,
        "seen": ["bat-old"],
        "unknown": 1,
        "batch_id": "",
    } == VALUE


def test_a_record_survives_the_store():
    for record in (INTENT, SUBMITTED, replace(INTENT, unknown=3, try_number=0, posted_at=7.0)):
        assert read(json.loads(json.dumps(record.to_json()))) == record
    assert read_record(None, listed_seconds=3600.0) is None


def test_whole_numbers_are_times_too():
    assert repr(read({**VALUE, "posted_at": 7}).posted_at) == "7.0"


def test_a_batch_takes_the_place_of_its_intent_and_keeps_what_is_still_needed():
    assert replace(INTENT, batch_id="bat-1", unknown=0, max_tries=3) == SUBMITTED
    doubtful = INTENT.submitted("bat-1", unknown=1, max_tries=2)
    assert doubtful == replace(INTENT, batch_id="bat-1", unknown=1)


@pytest.mark.parametrize(("newest", "kept"), [(200, 10), (201, 9)])
def test_of_what_was_seen_a_sure_batch_keeps_the_last_two_thousand_characters(newest, kept):
    seen = (*(f"{number:0200}" for number in range(15)), "n" * newest)
    many = replace(INTENT, seen=seen)

    assert many.submitted("bat-1", unknown=0, max_tries=2).known == (*seen[-kept:], "bat-1")
    assert many.submitted("bat-1", unknown=1, max_tries=2).known == (*seen, "bat-1")
    assert many.known == seen


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("text", "it is no object"),
        ([], "it is no object"),
        (7, "it is no object"),
        ({}, "its version is unknown to this version of the provider"),
        ({**VALUE, "version": 3}, "its version is unknown to this version of the provider"),
        ({**VALUE, "version": 0}, "its version is unknown to this version of the provider"),
        ({**VALUE, "version": True}, "its version is unknown to this version of the provider"),
        ({**VALUE, "version": 2.0}, "its version is unknown to this version of the provider"),
        ({"version": 1}, "batch_id is missing"),
        *(
            ({name: held for name, held in VALUE.items() if name != missing}, f"{missing} is missing")
            for missing in VALUE
            if missing != "version"
        ),
        *(
            ({name: held for name, held in VERSION_1.items() if name != missing}, f"{missing} is missing")
            for missing in VERSION_1
            if missing != "version"
        ),
        ({**VALUE, "batch_id": 1}, "batch_id is no id"),
        ({**VALUE, "batch_id": "a/b"}, "batch_id is no id"),
        ({**VALUE, "batch_id": "a" * 201}, "batch_id is no id"),
        *(
            ({**record, "batch_id": wrong}, "batch_id is no id of a batch")
            for record in (VALUE, VERSION_1)
            for wrong in ("dir-5", "pjb-1", "llx-0123456789abcdef", "None")
        ),
        *(
            ({**VALUE, name: count}, f"{name} is no count")
            for name in ("max_tries", "try_number", "unknown")
            for count in ("many", True, -1, 2**31, 1.0)
        ),
        *(
            ({**VALUE, name: time}, f"{name} is no time")
            for name in ("posted_at", "floor")
            for time in (float("nan"), 1e300, 1.1e11, -1.1e11, 10**400, "7", True)
        ),
        ({**VALUE, "seen": "bat-1"}, "seen is no list of ids"),
        ({**VALUE, "seen": [1]}, "seen is no list of ids"),
        ({**VALUE, "seen": ["bat-1", "a/b"]}, "seen is no list of ids"),
        ({**VALUE, "seen": ["a" * 200] * 300 + ["a"]}, "seen is too long"),
        *(
            ({**VALUE, name: text}, f"{name} is no short text")
            for name in ("fingerprint", "nonce")
            for text in ("f" * 201, 7, None)
        ),
        ({**VERSION_1, "intended_at": float("nan")}, "intended_at is no time"),
        ({**VERSION_1, "fingerprint": 7}, "fingerprint is no short text"),
    ],
)
def test_a_record_that_cannot_be_read_is_an_error_never_no_record(value, problem):
    with pytest.raises(RecordUnreadableError) as raised:
        read(value)

    assert str(raised.value) == (
        "The record of an earlier submission in the task state store (key 'llamabatch_submission') cannot be read, so "
        "it is unknown whether a batch was already paid for. Look for it in LlamaCloud, then delete the key, or run "
        f"the task with fresh=True to submit a new batch regardless. What is wrong with it: {problem}."
    )


def test_of_several_records_of_a_task_the_one_that_cannot_be_read_is_named():
    with pytest.raises(
        RecordUnreadableError, match=r"store \(key 'llamabatch_submission_2'\) cannot be read"
    ):
        read_record("nonsense", listed_seconds=3600.0, key="llamabatch_submission_2")


@pytest.mark.parametrize(
    "changed",
    [
        {"seen": ["a" * 200] * 300},
        {"seen": []},
        {"fingerprint": "f" * 200, "nonce": ""},
        {"max_tries": 0, "try_number": 2**31 - 1},
        {"posted_at": 1e11, "floor": -1e11},
        {"batch_id": "a" * 200},
    ],
)
def test_what_is_just_within_its_bounds_is_read(changed):
    assert read({**VALUE, **changed}).to_json() == {**VALUE, **changed}


def test_a_record_of_version_1_is_read_whatever_its_webhooks_were():
    assert read(VERSION_1) == Record(
        "", "", 0, 2, posted_at=AT, floor=AT - 3600, seen=("bat-old",), unknown=1, batch_id=""
    )
    record = read({**VERSION_1, "batch_id": "bat-1"})
    assert (record.batch_id, record.unknown) == ("bat-1", 0)
    assert submission.decide_by_record(record, REQUEST).action is Action.LOOK_UP
