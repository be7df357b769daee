"""What a try does about an intent that another one has left."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_llamabatch.batches.submission import (
    Action,
    Submission,
    SubmissionUndecidedError,
    TaskFacts,
)
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import Page
from tests.support.submit_play import (
    ASK,
    AT,
    CAREFULLY,
    INTENT,
    LOST,
    REQUEST,
    RETRY,
    VERSION_1,
    asked,
    batch,
    played,
    stand_still,
)


def test_a_retry_puts_its_name_on_an_intent_and_looks_for_its_batch():
    made = batch(at=AT - 5)
    play, result = played(task=RETRY, stored=INTENT.to_json(), lists=[[made]], gets=[made])

    assert play.steps == ["load", "save", *asked(0), "load", "save", "GET bat-1"]
    taken = replace(INTENT, nonce="me", try_number=2)
    assert play.saved == [
        taken.to_json(),
        replace(taken, nonce="other", batch_id="bat-1", unknown=0).to_json(),
    ]
    assert result == Submission("bat-1", made, result.decision, Action.REJOIN)


@pytest.mark.parametrize(("status", "action"), [("RUNNING", Action.REJOIN), ("COMPLETED", Action.RETURN)])
@pytest.mark.parametrize("max_tries", [2, 5])
def test_a_batch_that_nobody_has_had_yet_is_taken_cleared_or_not(status, action, max_tries):
    task = TaskFacts(3, max_tries, "me", keeps_record=True)
    play, result = played(
        task=task, stored=INTENT.to_json(), lists=[[batch(status=status)]], gets=[batch(status=status)]
    )

    assert (result.decision.action, result.recorded) == (action, action)
    assert [(saved["max_tries"], saved["try_number"]) for saved in play.saved] == [(max_tries, 3)] * 2


def test_a_new_intent_in_the_place_of_an_older_one_is_this_tries_own():
    task = TaskFacts(3, 5, "me", keeps_record=True)
    old = {
        "version": 1,
        "fingerprint": "0" * 64,
        "seen": [],
        "max_tries": 2,
        "intended_at": AT,
        "batch_id": "",
    }
    play, result = played(task=task, stored=old, posts=[batch()])

    assert result.batch_id == "bat-1"
    told = [(saved["fingerprint"], saved["try_number"], saved["max_tries"]) for saved in play.saved]
    assert told == [("", 3, 5), *[(REQUEST.fingerprint, 3, 5)] * 2]


def test_a_found_batch_that_failed_is_followed_by_a_new_one():
    failed = batch(status="FAILED")
    play, result = played(
        task=RETRY, stored=INTENT.to_json(), lists=[[failed]], gets=[failed, failed], posts=[batch("bat-2")]
    )

    looking = ["load", "save", *asked(0), "load", "save"]
    assert play.steps == [*looking, "GET bat-1", "list", "load", "load", "GET bat-1", "list", *CAREFULLY]
    assert (result.decision.action, result.recorded, result.batch_id) == (
        Action.SUBMIT,
        Action.SUBMIT,
        "bat-2",
    )


@pytest.mark.parametrize(
    ("age", "under_way"),
    [(10.0, 80.0), (0.0, 90.0), (-30.0, 90.0), (89.0, 1.0), (90.0, 0.0), (5000.0, 0.0)],
)
def test_the_last_lists_come_when_the_post_of_another_process_must_be_over(age, under_way):
    intent = replace(INTENT, posted_at=AT - age)
    play, result = played(task=RETRY, stored=intent.to_json(), posts=[batch("bat-2")])

    looking = asked(*ASK[:-1], under_way, ASK[-1])
    assert play.steps == ["load", "save", *looking, *CAREFULLY]
    assert result.batch_id == "bat-2"
    assert [saved["unknown"] for saved in play.saved] == [1, 2, 1]
    assert play.saved[1] == {
        **replace(intent, nonce="me", try_number=2, unknown=2).to_json(),
        "posted_at": AT + sum(ASK) + under_way,
    }


def test_a_list_that_fails_in_between_is_read_again():
    down = e.UnavailableError("503", status_code=503, from_api=True)
    play, result = played(
        task=RETRY, stored=INTENT.to_json(), lists=[down] * 7 + [[]], posts=[batch("bat-2")]
    )

    assert play.steps == ["load", "save", *asked(*ASK[:-1], 80, ASK[-1]), *CAREFULLY]
    assert result.batch_id == "bat-2"


@pytest.mark.parametrize("lists", [[[]] * 7 + [LOST, []], [[]] * 8 + [LOST]])
def test_without_two_good_lists_at_the_end_nothing_is_submitted(lists):
    play, error = played(task=RETRY, stored=INTENT.to_json(), lists=lists)

    assert play.steps == ["load", "save", *asked(*ASK[:-1], 80, ASK[-1])]
    assert error is LOST


def test_a_refused_list_ends_the_try():
    refused = e.PermissionDeniedError("403", status_code=403, from_api=True)
    play, error = played(task=RETRY, stored=INTENT.to_json(), lists=[refused])

    assert (play.steps, error) == (["load", "save", *asked(0)], refused)


def test_a_list_is_read_to_its_end():
    made = batch(at=AT - 5)
    play, result = played(
        task=RETRY,
        stored=INTENT.to_json(),
        lists=[Page(items=[batch("old")], next_page_token="t2"), Page(items=[made])],
        gets=[made],
    )

    assert (result.batch, play.steps[2:5]) == (made, ["sleep 0", "list", "list"])
    first, second, _ = (one.call for one in play.sent)
    assert second.query == (*first.query, ("page_token", "t2"))
    since = datetime.fromisoformat(dict(first.query)["created_at_on_or_after"]).timestamp()
    assert since == INTENT.floor - 1


def test_a_list_without_an_end_is_no_answer():
    pages: list[Any] = [Page(items=[], next_page_token=f"t{number}") for number in range(101)]
    play, error = played(lists=pages)

    assert play.steps == ["load", *["list"] * 100]
    assert isinstance(error, e.InvalidResponseError)
    assert str(error) == "GET /api/v2/batches did not end within 100 pages"
    assert played(lists=[*pages[:99], []], posts=[batch()])[1].batch_id == "bat-1"


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_of_several_batches_one_that_failed_is_not_taken_while_another_one_goes_on(status):
    failed, runs = batch("bat-1", at=AT - 9, status=status), batch("bat-2", at=AT - 5)
    _, result = played(
        task=RETRY, stored=INTENT.to_json(), lists=[[failed, runs], [failed, runs]], gets=[runs]
    )

    assert (result.decision.action, result.batch_id) == (Action.REJOIN, "bat-2")


@pytest.mark.parametrize(("seconds", "pages_read"), [(60.0, 3), (59.0, 4), (1000.0, 1)])
def test_a_list_that_is_slow_to_read_is_given_up_after_three_minutes_and_nothing_is_sent(seconds, pages_read):
    pages: list[Any] = [Page(items=[], next_page_token=f"t{number}") for number in range(10)]
    play, error = played(lists=pages, before={step: stand_still(seconds) for step in range(2, 12)})

    assert play.steps == ["load", *["list"] * pages_read]
    assert isinstance(error, SubmissionUndecidedError)
    assert "was not read to its end within 180 s" in str(error)


def test_a_list_that_ends_late_is_read():
    lists = [Page(items=[], next_page_token="t2"), [], []]
    _, result = played(posts=[batch()], lists=lists, before={3: stand_still(1000.0)})

    assert result.batch_id == "bat-1"


UNCLEAR = [{"source_directory_id": None}, {"config": None}]


@pytest.mark.parametrize("told", UNCLEAR)
def test_nothing_is_paid_while_a_batch_does_not_say_whether_it_is_the_intents(told):
    made = batch(at=AT - 5, **told)
    play, error = played(task=RETRY, stored=INTENT.to_json(), lists=[[made]] * 20)

    assert isinstance(error, (e.InvalidResponseError, SubmissionUndecidedError))
    assert "bat-1 is listed without saying surely what it runs" in str(error)
    assert "POST" not in "".join(play.steps)


@pytest.mark.parametrize("told", UNCLEAR)
def test_without_a_record_nothing_is_paid_while_a_batch_of_the_run_does_not_say_what_it_runs(told):
    task = TaskFacts(2, 2, "me", keeps_record=False, run_started=AT - 50)
    play, error = played(task=task, lists=[[batch(**told)]] * 20)

    assert isinstance(error, SubmissionUndecidedError)
    assert "bat-1 is listed without saying surely what it runs" in str(error)
    assert "POST" not in "".join(play.steps)


def test_without_a_record_one_that_completed_before_a_clear_is_none_to_be_unsure_about():
    task = TaskFacts(2, 2, "me", keeps_record=False, run_started=AT - 50, cleared=True)
    made = batch(status="COMPLETED", config=None)
    _, result = played(task=task, lists=[[made]] * 20, posts=[batch("bat-2")])

    assert result.batch_id == "bat-2"


@pytest.mark.parametrize("told", UNCLEAR)
def test_a_recorded_batch_that_is_read_without_what_it_runs_is_rejoined_by_an_old_record_too(told):
    old = {**INTENT.submitted("bat-1", unknown=0, max_tries=2).to_json(), "fingerprint": ""}
    play, result = played(task=RETRY, stored=old, gets=[batch(**told)])

    assert (result.batch_id, result.decision.action) == ("bat-1", Action.REJOIN)
    assert "POST" not in "".join(play.steps)


def test_a_record_of_the_first_version_is_read_and_taken_over():
    play, result = played(task=RETRY, stored=VERSION_1, lists=[[batch()]], gets=[batch()])

    assert (result.batch_id, result.decision.action) == ("bat-1", Action.REJOIN)
    assert play.saved[-1]["version"] > 1
