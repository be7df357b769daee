"""The order in which a submission happens: histories of single tries that go well."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_llamabatch.batches.record import Record, RecordUnreadableError
from airflow_provider_llamabatch.batches.submission import (
    Action,
    Submission,
    SubmissionUndecidedError,
    TaskFacts,
)
from airflow_provider_llamabatch.llamacloud import errors as e
from tests.support.submit_play import (
    ASK,
    AT,
    CAREFULLY,
    CREATE,
    GONE,
    INTENT,
    LOST,
    REQUEST,
    RETRY,
    SUBMITTED,
    SUBMITTING,
    Play,
    asked,
    batch,
    played,
    stand_still,
    store,
)


def test_a_first_try_records_its_intent_sends_one_post_and_records_the_id(caplog):
    old = batch("old", at=AT - 100)
    with caplog.at_level(logging.INFO):
        play, result = played(posts=[batch()], lists=[[old]], host="api.example.com")

    assert play.steps == ["load", "list", *SUBMITTING]
    assert result == Submission("bat-1", batch(), result.decision)
    assert (result.decision.action, result.decision.batch_id) == (Action.SUBMIT, "")
    intent = Record(REQUEST.fingerprint, "me", 1, 2, posted_at=AT, floor=AT - 110, seen=("old",), unknown=1)
    assert play.saved == [intent.to_json(), replace(intent, unknown=0, batch_id="bat-1").to_json()]
    assert caplog.messages == [
        "Decided to submit a new batch over directory dir-1 with configuration cfg-1 at api.example.com: no earlier "
        "submission is recorded",
        "Submitted batch bat-1 over directory dir-1 with configuration cfg-1 at api.example.com: no earlier submission "
        "is recorded",
    ]


def test_the_post_is_sent_once_within_a_minute_and_the_list_goes_back_an_hour():
    play, _ = played(posts=[batch()])
    listing, post, check = play.sent

    assert (post.call, post.once, post.within) == (CREATE, True, 60.0)
    assert (listing.once, listing.within) == (False, None)
    assert (check.once, check.within) == (True, None)
    assert dict(listing.call.query) == {
        "source_directory_id": "dir-1",
        "created_at_on_or_after": datetime.fromtimestamp(AT - 3600, UTC).isoformat(),
        "page_size": "100",
    }


def test_all_reads_are_made_in_the_project_of_the_request():
    request = replace(REQUEST, project_id="prj-1", organization_id="org-1")
    record = replace(SUBMITTED, fingerprint=request.fingerprint, posted_at=AT - 301)
    play, _ = played(
        request=request, task=RETRY, stored=record.to_json(), gets=[GONE, GONE], posts=[batch("b")]
    )

    reads = [one.call for one in play.sent if one.call is not CREATE]
    assert len(reads) == 5
    for call in reads:
        query = dict(call.query)
        assert (query["project_id"], query["organization_id"]) == ("prj-1", "org-1")


def test_a_retry_waits_between_its_intent_and_its_post():
    play, result = played(task=RETRY, posts=[batch()])

    assert play.steps == ["load", "list", *CAREFULLY]
    assert result.batch_id == "bat-1"


@pytest.mark.parametrize(("seconds", "steps"), [(5.0, SUBMITTING), (5.1, CAREFULLY)])
def test_a_first_try_that_took_long_so_far_waits_as_well(seconds, steps):
    play, _ = played(posts=[batch()], before={2: stand_still(seconds)})

    assert play.steps == ["load", "list", *steps]


@pytest.mark.parametrize(
    ("status", "max_tries", "action"),
    [("RUNNING", 2, Action.REJOIN), ("COMPLETED", 2, Action.RETURN)],
)
def test_a_recorded_batch_is_read_and_returned(status, max_tries, action, caplog):
    found = batch(status=status)
    with caplog.at_level(logging.INFO):
        play, result = played(task=RETRY, stored=SUBMITTED.to_json(), gets=[found])

    assert play.steps == ["load", "GET bat-1"]
    assert result == Submission("bat-1", found, result.decision, action)
    assert (result.decision.action, result.decision.batch_id) == (action, "bat-1")
    assert caplog.messages == [
        f"Decided to {action.value} batch bat-1 over directory dir-1 with configuration cfg-1: "
        f"{result.decision.reason}"
    ]


def test_a_cleared_task_that_rejoins_its_batch_owns_it_from_then_on():
    cleared = TaskFacts(3, 5, "me", keeps_record=True)
    play, result = played(task=cleared, stored=SUBMITTED.to_json(), gets=[batch()])

    assert play.steps == ["load", "GET bat-1", "load", "save"]
    assert play.saved == [replace(SUBMITTED, try_number=3, max_tries=5).to_json()]
    assert result.decision.action is Action.REJOIN


@pytest.mark.parametrize(
    "meanwhile", [replace(SUBMITTED, batch_id="bat-2"), replace(SUBMITTED, max_tries=5, nonce="third")]
)
def test_a_cleared_task_leaves_a_record_that_has_changed_meanwhile(meanwhile):
    cleared = TaskFacts(3, 5, "me", keeps_record=True)
    play, result = played(
        task=cleared, stored=SUBMITTED.to_json(), gets=[batch()], before={3: store(meanwhile)}
    )

    assert (play.saved, result.batch_id) == ([], "bat-1")


def test_a_try_that_a_later_one_has_taken_over_does_not_own_its_batch_again():
    later = replace(SUBMITTED, try_number=9, max_tries=5)
    play, result = played(stored=later.to_json(), gets=[batch()])

    assert (play.steps, result.batch_id) == (["load", "GET bat-1"], "bat-1")


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_recorded_batch_that_failed_is_followed_by_a_new_one(status):
    play, result = played(
        task=RETRY, stored=SUBMITTED.to_json(), gets=[batch(status=status)], posts=[batch("bat-2")]
    )

    assert play.steps == ["load", "GET bat-1", "list", *CAREFULLY]
    assert (result.batch_id, result.recorded, result.decision.action) == (
        "bat-2",
        Action.SUBMIT,
        Action.SUBMIT,
    )
    assert play.saved[0]["unknown"] == 1


def test_a_batch_that_the_task_has_had_is_never_the_one_of_a_new_post():
    old = batch(at=AT - 30, status="COMPLETED")  # the list before the POST hides it
    cleared = replace(RETRY, max_tries=5)
    play, result = played(
        task=cleared,
        stored=replace(SUBMITTED, posted_at=AT - 900).to_json(),
        gets=[old],
        posts=[LOST],
        lists=[[], [old], [old, batch("bat-2", at=AT + 70)]],
    )

    assert play.saved[0]["seen"] == ["bat-1", "old"]
    assert result.batch_id == "bat-2"


def test_what_was_there_before_an_intent_of_which_nothing_came_is_never_the_one_of_a_new_post():
    resolved = replace(INTENT, unknown=0, seen=("bat-0", "bat-9"))
    play, _ = played(task=RETRY, stored=resolved.to_json(), posts=[batch()])

    assert play.saved[0]["seen"] == ["bat-0", "bat-9"]


def test_what_is_older_than_the_recorded_batch_is_never_the_one_of_a_new_post():
    recorded = batch("bat-2", at=AT - 30, status="COMPLETED")  # the list before the POST hides both
    stored = replace(SUBMITTED, batch_id="bat-2", posted_at=AT - 900)
    play, result = played(
        task=replace(RETRY, max_tries=5),
        stored=stored.to_json(),
        gets=[recorded],
        posts=[LOST],
        lists=[[], [batch("bat-1", at=AT - 60), batch("bat-3", at=AT + 70)]],
    )

    assert (play.saved[0]["floor"], play.saved[0]["seen"]) == (AT - 40, ["bat-2", "old"])
    assert result.batch_id == "bat-3"


def test_a_batch_is_gone_when_the_api_says_so_twice_and_the_list_does_not_show_it():
    old = replace(SUBMITTED, posted_at=AT - 300)
    play, result = played(task=RETRY, stored=old.to_json(), gets=[GONE, GONE], posts=[batch("bat-2")])

    assert play.steps == ["load", "GET bat-1", "sleep 5", "GET bat-1", "list", "list", *CAREFULLY]
    assert result.batch_id == "bat-2"


LISTED = ["load", "GET bat-1", "sleep 5", "GET bat-1", "list"]


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_a_list_alone_does_not_say_that_a_batch_has_ended(status):
    old, listed = replace(SUBMITTED, posted_at=AT - 301), batch(at=AT - 300, status=status)
    gets = [GONE, GONE, GONE, batch()]
    play, result = played(task=RETRY, stored=old.to_json(), gets=gets, lists=[[listed]])

    assert play.steps == [*LISTED, "sleep 5", "GET bat-1", "sleep 10", "GET bat-1"]
    assert result.decision.action == Action.REJOIN


def test_a_batch_that_a_list_shows_as_ended_and_a_get_does_not_know_leaves_it_undecided():
    old, listed = replace(SUBMITTED, posted_at=AT - 301), batch(at=AT - 300, status="CANCELLED")
    play = Play(RETRY, stored=old.to_json(), gets=[GONE] * 6, lists=[[listed]])

    with pytest.raises(SubmissionUndecidedError) as undecided:
        play.run()
    assert str(undecided.value) == (
        "Batch bat-1 is listed as CANCELLED, and a GET says that there is no such batch, so it is unknown how it "
        "stands. A later try may tell; fresh=True submits a new batch regardless."
    )
    pauses = [step for seconds in (5, 10, 15, 30) for step in (f"sleep {seconds}", "GET bat-1")]
    assert play.steps == [*LISTED, *pauses]


@pytest.mark.parametrize(
    ("floor", "since"), [(AT - 10_000, AT - 10_001), (AT - 100, AT - 301 - 3600), (-5.0, 0.0)]
)
def test_a_batch_that_seems_gone_is_looked_for_from_before_its_post_on(floor, since):
    old = replace(SUBMITTED, posted_at=AT - 301, floor=floor)
    shown = batch(at=AT - 300)
    play, result = played(
        task=RETRY, stored=old.to_json(), gets=[GONE, GONE], lists=[[batch("bat-0"), shown]]
    )

    assert play.steps == ["load", "GET bat-1", "sleep 5", "GET bat-1", "list"]
    assert result.batch == shown
    query = dict(play.sent[-1].call.query)
    assert query["created_at_on_or_after"] == datetime.fromtimestamp(since, UTC).isoformat()


def test_a_batch_that_one_404_hides_is_read_again():
    old = replace(SUBMITTED, posted_at=AT - 301)
    play, result = played(task=RETRY, stored=old.to_json(), gets=[GONE, batch()])

    assert play.steps == ["load", "GET bat-1", "sleep 5", "GET bat-1"]
    assert result.batch == batch()


@pytest.mark.parametrize("age", [0.0, 299.0])
def test_a_batch_that_was_just_submitted_may_not_be_readable_yet(age):
    young = replace(SUBMITTED, posted_at=AT - age)
    play, result = played(task=RETRY, stored=young.to_json(), gets=[GONE, GONE])

    assert play.steps == ["load", "GET bat-1", "sleep 5", "GET bat-1", "list"]
    assert result == Submission("bat-1", None, result.decision, Action.REJOIN)


def test_an_answer_about_another_batch_is_no_answer():
    _, error = played(task=RETRY, stored=SUBMITTED.to_json(), gets=[batch("bat-2")])

    assert isinstance(error, e.InvalidResponseError)
    assert str(error) == "GET of batch bat-1 was answered with another batch"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_a_gateway_says_of_keys_and_ids_decides_nothing(status):
    gateways = e.StatusError("an ingress", status_code=status)
    for values in ({"gets": [gateways], "stored": SUBMITTED.to_json()}, {"lists": [gateways]}):
        _, error = played(task=RETRY, **values)

        assert isinstance(error, SubmissionUndecidedError)
        assert error.__cause__ is gateways
        assert str(error) == (
            "Something before the API answered, so it is unknown what the API would say: an ingress"
        )


@pytest.mark.parametrize(
    "trouble",
    [
        e.PermissionDeniedError("403", status_code=403, from_api=True),
        e.StatusError("another", status_code=400),
        e.UnavailableError("503", status_code=503),
    ],
)
def test_what_else_a_read_ends_with_ends_the_try(trouble):
    assert played(task=RETRY, stored=SUBMITTED.to_json(), gets=[trouble])[1] is trouble
    assert played(lists=[trouble])[1] is trouble


def test_a_record_of_other_arguments_is_overwritten():
    other = replace(SUBMITTED, fingerprint="f" * 64)
    play, result = played(task=RETRY, stored=other.to_json(), posts=[batch("bat-2")])

    assert play.steps == ["load", "list", *CAREFULLY]
    assert play.saved[0]["seen"] == ["old", "bat-1"]
    assert result.recorded is None


@pytest.mark.parametrize(("directory", "submits"), [("dir-1", False), ("dir-2", True)])
def test_a_record_without_a_fingerprint_counts_for_the_same_work_alone(directory, submits):
    old = {
        "version": 1,
        "fingerprint": "0" * 64,
        "seen": [],
        "max_tries": 2,
        "intended_at": AT,
        "batch_id": "bat-1",
    }
    found = batch(source_directory_id=directory)
    play, result = played(task=RETRY, stored=old, gets=[found], posts=[batch("bat-2")])

    assert result.batch_id == ("bat-2" if submits else "bat-1")
    if submits:
        assert result.decision.reason == "the recorded submission (batch bat-1) was for other arguments"
        assert result.recorded is None
        assert play.steps == ["load", "GET bat-1", "list", *CAREFULLY]


def test_fresh_asks_for_a_new_batch_whatever_is_recorded():
    for stored in (None, SUBMITTED.to_json(), "not readable"):
        play, result = played(task=replace(RETRY, fresh=True), stored=stored, posts=[batch("bat-2")])

        assert play.steps == ["load", "list", *CAREFULLY]
        assert result.batch_id == "bat-2"
        assert result.decision.reason == "fresh=True asks for a new batch"


def test_a_record_that_cannot_be_read_ends_the_try():
    play, error = played(task=replace(RETRY, record_key="of_its_own"), stored="not readable")

    assert isinstance(error, RecordUnreadableError)
    assert "(key 'of_its_own')" in str(error)
    assert play.steps == ["load"]


def without_record(**values: Any) -> TaskFacts:
    return TaskFacts(**{"try_number": 2, "max_tries": 2, "nonce": "me", "keeps_record": False, **values})


def test_without_a_record_the_first_try_submits():
    play, result = played(task=without_record(try_number=1), posts=[batch()])

    assert play.steps[:2] == ["load", "list"]
    assert result.decision.reason == "this is the first try"


@pytest.mark.parametrize(
    ("status", "cleared", "action"),
    [("RUNNING", True, Action.REJOIN), ("COMPLETED", False, Action.RETURN), ("COMPLETED", True, None)],
)
def test_without_a_record_a_retry_takes_up_what_its_run_has_made(status, cleared, action):
    made = batch(status=status)
    task = without_record(run_started=AT - 50, cleared=cleared)
    play, result = played(task=task, lists=[[], [made]], posts=[batch("bat-2")])

    assert play.steps[:5] == ["load", *asked(0, 1)]
    if action is None:
        assert play.steps[5] == "list"
        assert result.decision.reason == "no batch of an earlier try of this run goes on"
    else:
        assert result == Submission("bat-1", made, result.decision)
        assert (result.decision.action, result.decision.batch_id) == (action, "bat-1")
        assert result.decision.reason == f"an earlier try of this run made it ({status})"


def test_without_a_record_a_batch_that_is_over_does_not_end_the_look_for_that_of_another_try():
    failed, late = batch(status="FAILED"), batch("bat-2", at=AT + 9)
    task = without_record(try_number=3, run_started=AT - 50)
    _, result = played(task=task, lists=[[failed]] * 4 + [[late, failed]])

    assert (result.decision.action, result.batch_id) == (Action.REJOIN, "bat-2")


@pytest.mark.parametrize(("started", "since"), [(AT - 50, AT - 350), (None, AT - 3900)])
def test_without_a_record_the_list_goes_back_to_the_beginning_of_the_run(started, since):
    task = without_record(run_started=started)
    play, _ = played(task=task, posts=[batch()])

    assert play.steps[: 1 + 2 * len(ASK)] == ["load", *asked(*ASK)]
    query = dict(play.sent[0].call.query)
    assert query["created_at_on_or_after"] == datetime.fromtimestamp(since, UTC).isoformat()


def test_a_status_that_nobody_knows_is_shown_in_short():
    made = batch(status="S" * 60)
    _, result = played(task=without_record(run_started=AT), lists=[[made]])

    assert result.decision.reason == f"an earlier try of this run made it ({'S' * 30})"
