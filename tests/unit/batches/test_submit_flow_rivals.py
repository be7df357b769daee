"""What a try does where another one of the same task is alive, or it stood still itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_llamabatch.batches.submission import (
    Action,
    SubmissionUndecidedError,
)
from airflow_provider_llamabatch.llamacloud import errors as e
from tests.support.submit_play import (
    ASK,
    AT,
    CAREFULLY,
    INTENT,
    LOST,
    OVERTAKEN,
    RETRY,
    SUBMITTED,
    SUBMITTING,
    TASK,
    Play,
    asked,
    batch,
    played,
    stand_still,
    store,
)


def test_an_intent_of_a_later_try_is_left_to_it():
    later = replace(INTENT, try_number=3)
    play, error = played(task=RETRY, stored=later.to_json())

    assert (play.steps, str(error)) == (["load"], OVERTAKEN)
    assert isinstance(error, SubmissionUndecidedError)


@pytest.mark.parametrize("left", [SUBMITTED, INTENT, replace(INTENT, unknown=0)])
def test_fresh_goes_by_no_record_that_was_there_before_the_try_whatever_its_number(left):
    before = replace(left, try_number=9, posted_at=AT - 1)
    play, result = played(task=replace(RETRY, fresh=True), stored=before.to_json(), posts=[batch("bat-2")])

    assert play.steps == ["load", "list", *CAREFULLY]
    assert result.batch_id == play.saved[-1]["batch_id"] == "bat-2"
    assert play.saved[-1]["try_number"] == 2


@pytest.mark.parametrize(
    ("step", "posted_at"),
    [(1, AT), (1, AT + 30), (3, AT - 1), (3, AT + 30), (5, AT + 30)],
    ids=["as it began", "before it read", "before it wrote", "just so, by another clock", "after it wrote"],
)
def test_a_fresh_try_that_stood_still_submits_nothing_where_a_later_one_has_written_since_it_began(
    step, posted_at
):
    later = replace(SUBMITTED, nonce="later", try_number=2, posted_at=posted_at)

    def wake_up(play: Play) -> None:
        play.now += 60
        play.stored = later.to_json()

    play, error = played(task=replace(TASK, fresh=True), before={step: wake_up})

    assert isinstance(error, SubmissionUndecidedError)
    assert (str(error), play.stored) == (OVERTAKEN, later.to_json())
    assert "POST" not in play.steps


@pytest.mark.parametrize(
    ("began", "posts"), [(AT - 100, []), (AT - 50, [batch("bat-2")]), (None, [batch("bat-2")])]
)
def test_a_fresh_try_began_when_its_task_did_however_long_it_took_to_come_to_its_submission(began, posts):
    later = replace(SUBMITTED, nonce="later", try_number=2, posted_at=AT - 60)
    play, result = played(task=replace(TASK, fresh=True), stored=later.to_json(), began=began, posts=posts)

    assert play.posts == []
    assert str(result) == OVERTAKEN if not posts else result.batch_id == "bat-2"


def test_a_try_submits_nothing_where_a_later_one_resolved_its_intent():
    later = replace(INTENT, try_number=3, unknown=0)
    play, error = played(task=RETRY, stored=later.to_json())

    assert (play.steps, str(error)) == (["load"], OVERTAKEN)


def test_a_record_that_changes_before_the_intent_is_written_is_decided_by_anew():
    play, result = played(posts=[], gets=[batch()], before={3: store(replace(SUBMITTED, try_number=1))})

    assert play.steps == ["load", "list", "load", "load", "GET bat-1"]
    assert result.decision.action is Action.REJOIN


def test_an_intent_that_another_one_overwrites_is_not_acted_on():
    play, result = played(gets=[batch()], before={5: store(SUBMITTED)})

    assert play.steps == ["load", "list", "load", "save", "load", "load", "GET bat-1"]
    assert result.batch_id == "bat-1"


def test_a_record_that_changes_again_and_again_ends_the_try_without_a_post():
    play = Play(task=RETRY)
    play.before = {step: store(replace(INTENT, nonce=f"n{step}", unknown=0)) for step in range(1, 1000)}

    with pytest.raises(SubmissionUndecidedError) as raised:
        play.run()
    assert str(raised.value) == (
        "The record of this submission changed again and again or could not be written, so no batch was submitted for "
        "fear of a second one; a later try may go on."
    )
    assert play.steps == ["load", "list", "load"] * 12
    assert play.saved == []


@pytest.mark.parametrize(
    ("step", "seconds", "posts"),
    [(4, 5.0, True), (4, 5.1, False), (5, 30.0, True), (5, 30.1, False), (3, 5.1, False), (2, 31.0, True)],
)
def test_an_intent_that_took_long_is_not_acted_on(step, seconds, posts):
    play, _ = played(posts=[batch()], before={step: stand_still(seconds)})

    assert ("POST" in play.steps[:7]) is posts


def test_a_process_that_stood_still_doubts_its_intent_and_leaves_what_it_finds_to_others():
    play, error = played(lists=[[], [batch(at=AT + 1)]], before={5: stand_still(31.0)})

    assert play.steps == ["load", "list", *SUBMITTING[:3], "save", "load", *asked(0)]
    assert str(error) == OVERTAKEN
    assert play.saved[1] == {**play.saved[0], "posted_at": AT + 31}


def test_a_process_that_stood_still_and_finds_nothing_submits_in_the_end():
    play, result = played(posts=[batch("bat-2", at=AT + 200)], before={5: stand_still(31.0)})

    looked = asked(*ASK[:-1], 90, ASK[-1])
    assert play.steps == ["load", "list", *SUBMITTING[:3], "save", "load", *looked, *CAREFULLY]
    assert result.batch_id == "bat-2"


def test_a_batch_that_is_found_after_standing_still_is_its_own_where_it_has_sent_a_post():
    _, result = played(posts=[LOST], lists=[[]] * 10 + [[batch(at=AT + 1)]], before={5: stand_still(31.0)})

    assert result.decision.action is Action.ADOPT
    assert result.batch_id == "bat-1"


@pytest.mark.parametrize(("seconds", "again"), [(5.0, False), (5.1, True)])
def test_taking_over_an_intent_that_took_long_is_decided_anew(seconds, again):
    made = batch(at=AT - 5)
    play, result = played(
        task=RETRY, stored=INTENT.to_json(), lists=[[made]], gets=[made], before={2: stand_still(seconds)}
    )

    if not again:
        assert play.steps == ["load", "save", *asked(0), "load", "save", "GET bat-1"]
        assert result.batch_id == "bat-1"
    else:
        assert play.steps == ["load", "save", "save", "load", *asked(0)]
        assert play.saved[1] == {**play.saved[0], "posted_at": AT + seconds}
        assert str(result) == OVERTAKEN


def test_a_try_that_stood_still_as_it_took_over_waits_for_the_end_of_the_earlier_ones_post():
    play, error = played(
        task=RETRY,
        stored=INTENT.to_json(),
        lists=[*[[]] * 8, [batch(at=AT + 49)]],
        before={2: stand_still(20.0)},
    )

    assert play.steps == ["load", "save", "save", "load", *asked(*ASK[:-1], 90, ASK[-1])]
    assert str(error) == OVERTAKEN


def test_an_id_that_a_later_try_has_recorded_is_returned_by_the_earlier_one_too():
    later = replace(SUBMITTED, nonce="later", try_number=2)
    play, result = played(posts=[batch()], before={7: store(later)})

    assert (result.batch_id, len(play.saved)) == ("bat-1", 1)


def test_another_id_of_a_later_try_ends_the_earlier_one(caplog):
    later = replace(SUBMITTED, nonce="later", try_number=2, batch_id="bat-2")
    play, error = played(posts=[batch()], before={7: store(later)})

    assert (str(error), len(play.saved)) == (OVERTAKEN, 1)
    assert "Batch bat-1 was made by a try that has been taken over by a later one" in caplog.messages
    assert not any("is recorded and kept" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("meanwhile", "fresh", "kept"),
    [
        (SUBMITTED, False, "bat-1"),
        (SUBMITTED, True, "bat-2"),
        (replace(SUBMITTED, nonce="me"), False, "bat-2"),
        (replace(SUBMITTED, fingerprint="f" * 64), False, "bat-2"),
        (INTENT, False, "bat-2"),
    ],
)
def test_of_two_tries_at_once_the_batch_that_was_recorded_first_is_kept(meanwhile, fresh, kept, caplog):
    play, result = played(
        task=replace(TASK, fresh=fresh), posts=[batch("bat-2")], before={7: store(meanwhile)}
    )

    assert result.batch_id == kept
    assert result.batch == (batch("bat-2") if kept == "bat-2" else None)
    assert len(play.saved) == (2 if kept == "bat-2" else 1)
    warning = (
        "Two tries of this task were alive at once: batch bat-1 is recorded and kept, batch bat-2 may have been paid "
        "for as well"
    )
    assert (warning in caplog.messages) is (kept == "bat-1")


def test_an_unreadable_record_does_not_keep_the_id_from_being_recorded(caplog):
    def spoil(play: Play) -> None:
        play.stored = "not readable"

    play, result = played(posts=[batch()], before={7: spoil})

    assert (result.batch_id, play.saved[-1]["batch_id"]) == ("bat-1", "bat-1")
    assert "The record was overwritten with something unreadable while this try submitted" in caplog.messages


def test_a_batch_that_is_found_while_another_try_recorded_another_one_is_not_returned():
    play, result = played(
        task=RETRY,
        stored=INTENT.to_json(),
        lists=[[batch(at=AT - 5)]],
        gets=[batch("bat-2")],
        before={5: store(replace(SUBMITTED, batch_id="bat-2", nonce="third"))},
    )

    assert play.steps == ["load", "save", *asked(0), "load", "load", "GET bat-2"]
    assert result.batch_id == "bat-2"


def test_what_other_posts_may_have_made_is_looked_for_beside_the_recorded_batch(caplog):
    doubtful = replace(SUBMITTED, unknown=1)
    play, result = played(
        task=RETRY, stored=doubtful.to_json(), gets=[batch()], lists=[[batch("bat-2"), batch()]]
    )

    assert play.steps == ["load", "GET bat-1", "list"]
    assert result.batch_id == "bat-1"
    assert "More than one batch may be of this submission, so paid for twice: bat-1, bat-2" in caplog.messages


def test_no_trouble_in_looking_for_others_counts(caplog):
    doubtful = replace(SUBMITTED, unknown=1).to_json()
    gateways = e.NotFoundError("an ingress", status_code=404)
    for trouble in (LOST, gateways):
        play, result = played(task=RETRY, stored=doubtful, gets=[batch()], lists=[trouble])

        assert (play.steps, result.batch_id) == (["load", "GET bat-1", "list"], "bat-1")
    assert "It could not be told whether a second batch was made: read timed out" in caplog.messages


def test_a_lost_post_is_told_of_where_the_batch_of_a_later_try_cannot_be_read(caplog):
    theirs = replace(SUBMITTED, batch_id="bat-2", try_number=2, nonce="third")
    refused = e.RefusedError("no", status_code=400, from_api=True)
    _, error = played(posts=[LOST], lists=[[]], gets=[refused], before={7: store(theirs)})

    assert error is refused
    assert (
        "It could not be told whether a batch was made by this try's POST: read timed out" in caplog.messages
    )


def test_a_lost_post_is_told_of_where_a_later_try_has_submitted_meanwhile(caplog):
    theirs = replace(SUBMITTED, batch_id="bat-2", try_number=2, nonce="third")
    play, result = played(
        posts=[LOST], lists=[[]], gets=[batch("bat-2", status="COMPLETED")], before={7: store(theirs)}
    )

    assert play.steps[:8] == ["load", "list", "load", "save", "load", "POST", "load", "GET bat-2"]
    assert result.batch_id == "bat-2"
    assert (
        "It could not be told whether a second batch was made by this try's POST: read timed out"
        in caplog.messages
    )


def test_ten_batches_are_named_at_most(caplog):
    listed = [batch(f"x{number}", at=AT + number) for number in range(12)]
    played(task=RETRY, stored=INTENT.to_json(), lists=[listed])

    named = ", ".join(f"x{number}" for number in range(9))
    assert f"More than one batch may be of this submission, so paid for twice: {named}" in caplog.messages


AFTER_THE_POST = 7  # the step: load, list, load, save, load, POST, load


@pytest.mark.parametrize(
    ("theirs", "merged"),
    [
        ({}, {"floor": AT - 3600, "seen": [], "posted_at": AT, "unknown": 1}),
        ({"unknown": 0}, {"floor": AT - 3600, "seen": [], "posted_at": AT, "unknown": 1}),
        (
            {"unknown": 2, "floor": AT - 5000, "posted_at": AT + 5},
            {"floor": AT - 5000, "seen": ["old"], "posted_at": AT + 5, "unknown": 2},
        ),
    ],
)
def test_what_two_tries_may_have_made_is_looked_for_together(theirs, merged):
    other = replace(INTENT, **theirs)
    play, result = played(
        posts=[LOST], lists=[[], [batch()]], gets=[batch()], before={AFTER_THE_POST: store(other)}
    )

    looked = ["GET bat-1"] if merged["unknown"] == 1 else ["GET bat-1", "list"]
    assert play.steps[AFTER_THE_POST - 1 :] == ["load", "save", *asked(0), "load", "save", *looked]
    assert result.batch_id == "bat-1"
    assert play.saved[1] == {**other.to_json(), **merged, "nonce": "me", "try_number": 1}


def test_what_three_tries_may_have_made_is_looked_for_together():
    second = replace(INTENT, unknown=2, floor=AT - 5000)
    third = replace(INTENT, nonce="third")
    play, result = played(
        posts=[LOST],
        lists=[[]] * 10 + [[batch()]],
        gets=[batch()],
        before={AFTER_THE_POST: store(second), AFTER_THE_POST + 20: store(third)},
    )

    looked_twice = ["load", "save", *asked(*ASK[:-1], 90, 5), "load", "load", "save", *asked(0)]
    assert play.steps[AFTER_THE_POST - 1 :] == [*looked_twice, "load", "save", "GET bat-1", "list"]
    assert result.batch_id == "bat-1"
    assert play.saved[2] == play.saved[1]


def test_an_intent_of_its_own_that_the_store_shows_late_is_gone_by_without_being_written_again():
    def forget(play: Play) -> None:
        play.stored = None

    def remember(play: Play) -> None:
        play.stored = play.saved[0]

    play, result = played(lists=[[], [batch()]], gets=[batch()], before={5: forget, 6: remember})

    assert play.steps == [
        "load",
        "list",
        "load",
        "save",
        "load",
        "load",
        *asked(0),
        "load",
        "save",
        "GET bat-1",
    ]
    assert result.decision.action is Action.REJOIN


def test_the_id_that_another_try_has_recorded_counts_more_than_an_own_lost_post():
    play, result = played(posts=[LOST], gets=[batch()], before={AFTER_THE_POST: store(SUBMITTED)})

    assert play.steps[AFTER_THE_POST - 1 :] == ["load", "GET bat-1"]
    assert result.decision.action is Action.REJOIN


def test_an_own_lost_post_counts_where_the_store_has_lost_its_record():
    def lose(play: Play) -> None:
        play.stored = None

    play, result = played(posts=[LOST], lists=[[], [batch()]], before={AFTER_THE_POST: lose})

    assert play.steps[AFTER_THE_POST - 1 :] == ["load", *asked(0), "load", "save"]
    assert result.decision.action is Action.ADOPT


@pytest.mark.parametrize(
    ("later", "rounds"),
    [({"a": datetime(2026, 1, 1, tzinfo=UTC), "b": 2}, 1), ({"b": 2, "a": 1}, 1), ({"a": 1, "b": 3}, 2)],
)
def test_a_value_that_nobody_can_read_has_changed_where_it_says_something_else(later, rounds):
    stored = (
        {"a": datetime(2026, 1, 1, tzinfo=UTC), "b": 2} if "datetime" in repr(later) else {"a": 1, "b": 2}
    )

    def write(play: Play) -> None:
        play.stored = later

    play, result = played(task=replace(TASK, fresh=True), stored=stored, posts=[batch()], before={3: write})

    assert result.batch_id == "bat-1"
    assert play.steps.count("list") == rounds + 1
