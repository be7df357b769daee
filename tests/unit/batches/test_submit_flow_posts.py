"""What a try does after a POST that was not answered with a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_llamabatch.batches.submission import (
    Action,
    Submission,
)
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import KnownBatch, Page
from tests.support.submit_play import (
    ASK,
    AT,
    CAREFULLY,
    CREATE,
    INTENT,
    LOST,
    NOT_SENT,
    RETRY,
    SUBMITTED,
    SUBMITTING,
    Play,
    asked,
    batch,
    fail,
    played,
    stand_still,
    store,
)


def test_a_batch_whose_answer_was_lost_is_looked_for_and_adopted(caplog):
    made = batch(at=AT + 1)
    play, result = played(posts=[LOST], lists=[[], [], [batch("older", at=AT - 7200), made]])

    assert play.steps == ["load", "list", *SUBMITTING[:4], "load", *asked(0, 1), "load", "save"]
    assert result == Submission("bat-1", made, result.decision)
    assert (result.decision.action, result.decision.batch_id, result.decision.reason) == (
        Action.ADOPT,
        "bat-1",
        "the response to its POST was lost",
    )
    assert (play.saved[-1]["batch_id"], play.saved[-1]["unknown"], play.saved[-1]["seen"]) == ("bat-1", 0, [])
    assert "More than one batch" not in caplog.text


def test_what_was_lost_is_looked_for_for_a_minute_and_sent_again_twice():
    play, error = played(posts=[LOST, LOST, LOST])

    looking = ["load", *asked(*ASK)]
    assert play.steps == [
        "load",
        "list",
        *SUBMITTING[:4],
        *looking,
        *CAREFULLY[:5],
        *looking,
        *CAREFULLY[:5],
        *looking,
    ]
    assert error is LOST
    assert [saved["unknown"] for saved in play.saved] == [1, 2, 3]
    assert {saved["floor"] for saved in play.saved} == {AT - 3600}


def test_a_later_post_that_is_answered_leaves_the_earlier_ones_in_mind(caplog):
    play, result = played(
        posts=[LOST, batch("bat-2", at=AT + 70)], lists=[[]] * 9 + [[batch(), batch("bat-2")]]
    )

    looking = ["load", *asked(*ASK)]
    assert play.steps == ["load", "list", *SUBMITTING[:4], *looking, *CAREFULLY]
    assert result.batch_id == "bat-2"
    assert result.decision.reason == (
        "of 1 POST(s) without a usable response no batch has come to light within 60 s"
    )
    assert (play.saved[-1]["batch_id"], play.saved[-1]["unknown"]) == ("bat-2", 1)
    assert "More than one batch may be of this submission, so paid for twice: bat-2, bat-1" in caplog.messages


@pytest.mark.parametrize(
    "strange",
    [
        {"source_directory_id": "dir-2"},
        {"config": {"job": {"type": "extract_v2", "configuration_id": "cfg-1"}}},
    ],
)
def test_a_post_that_is_answered_with_a_batch_of_others_counts_as_lost(strange):
    made = batch(at=AT + 1)
    play, result = played(posts=[batch("bat-9", **strange)], lists=[[], [made]])

    assert (result.decision.action, result.batch_id) == (Action.ADOPT, "bat-1")
    assert play.saved[-1]["batch_id"] == "bat-1"


def test_a_row_that_cannot_be_read_and_was_there_before_keeps_nobody_from_submitting(caplog):
    odd = batch("odd", source_directory_id=None, config=None, created_at=None, status="")
    play, result = played(posts=[batch()], lists=[[odd]])

    assert (result.batch_id, play.saved[0]["seen"]) == ("bat-1", ["odd"])
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_row_that_cannot_be_read_and_is_new_may_be_what_a_lost_post_made():
    odd = batch("odd", source_directory_id=None, config=None, created_at=None, status="")
    play, error = played(posts=[LOST], lists=[[], [odd]])

    assert "Batch odd is listed without saying surely what it runs" in str(error)
    assert play.saved[-1]["unknown"] == 1
    _, result = played(posts=[LOST], lists=[[], [odd, batch(at=AT + 1)]])
    assert (result.decision.action, result.batch_id) == (Action.ADOPT, "bat-1")


def test_the_time_of_a_lost_post_counts_from_when_it_was_given_up():
    play = Play(posts=[LOST, batch("bat-2")], lists=[[]] * 9 + [[]])
    play.before = {6: stand_still(60.0)}
    late = batch(at=AT + 60 + 7200)
    play.lists = [[], [late]]

    assert play.run().batch_id == "bat-1"
    play = Play(
        posts=[LOST, batch("bat-2")], lists=[[], [batch(at=AT + 7260.1)]], before={6: stand_still(60.0)}
    )
    assert play.run().batch_id == "bat-2"


def test_a_batch_that_is_adopted_after_two_lost_posts_leaves_one_in_mind():
    made = batch(at=AT + 1)
    play, result = played(posts=[LOST, LOST], lists=[[]] * 9 + [[made]])

    assert result.decision.action is Action.ADOPT
    assert (play.saved[-1]["unknown"], play.saved[-1]["batch_id"]) == (1, "bat-1")


@pytest.mark.parametrize("trouble", [NOT_SENT, e.RateLimitedError("429", status_code=429, from_api=True)])
def test_a_post_that_surely_made_nothing_is_sent_again_after_growing_pauses(trouble):
    play, result = played(posts=[trouble, trouble, batch()])

    again = ["load", *CAREFULLY[:5]]
    assert play.steps == [
        "load", "list", *SUBMITTING[:4], "sleep 0.75", *again, "sleep 1.5", *again, *CAREFULLY[5:]
    ]  # fmt: skip
    assert result.decision.reason == "nothing that was sent before made a batch"
    assert [saved["unknown"] for saved in play.saved] == [1, 1, 1, 0]


def test_a_post_that_never_arrives_is_given_up_after_six():
    play, error = played(posts=[NOT_SENT] * 6)

    assert [step for step in play.steps if step.startswith("sleep") and step != "sleep 5"] == [
        f"sleep {seconds:g}" for seconds in (0.75, 1.5, 3, 6, 12)
    ]
    assert play.steps[-3:] == ["POST", "load", "save"]
    assert error is NOT_SENT
    assert play.saved[-1]["unknown"] == 0


def test_the_server_says_how_long_to_pause_but_not_beyond_two_minutes_in_all():
    busy = e.RateLimitedError("429", status_code=429, from_api=True, retry_after=50.0)
    play, error = played(posts=[busy] * 3)

    assert [step for step in play.steps if step == "sleep 50"] == ["sleep 50"] * 2
    assert play.steps[-3:] == ["POST", "load", "save"]
    assert error is busy
    exact = e.RateLimitedError("429", status_code=429, from_api=True, retry_after=60.0)
    assert played(posts=[exact] * 2)[1] is exact


def test_what_was_refused_is_taken_back_and_not_sent_again():
    refused = e.RefusedError("422", status_code=422, from_api=True)
    play, error = played(posts=[refused])

    assert play.steps == ["load", "list", *SUBMITTING[:4], "load", "save"]
    assert error is refused
    assert [saved["unknown"] for saved in play.saved] == [1, 0]


def test_what_was_refused_leaves_the_record_of_another_try_alone():
    refused = e.RefusedError("422", status_code=422, from_api=True)
    play, error = played(posts=[refused], before={7: store(INTENT)})

    assert (error, len(play.saved)) == (refused, 1)


def test_the_id_of_a_batch_that_was_there_before_is_no_answer(caplog):
    _, result = played(
        posts=[batch("old")], lists=[[batch("old", at=AT - 1)], [batch("old", at=AT - 1), batch()]]
    )

    assert result.batch_id == "bat-1"
    assert (
        "It is not known whether the batch was made, so the directory is listed for it: POST /api/v2/batches was "
        "answered without the id of a new batch" in caplog.messages
    )


def test_the_id_of_a_recorded_batch_of_other_arguments_is_no_answer():
    other = replace(SUBMITTED, fingerprint="f" * 64)
    _, result = played(
        task=RETRY, stored=other.to_json(), posts=[batch("bat-1")], lists=[[], [batch("bat-2", at=AT + 1)]]
    )

    assert result.batch_id == "bat-2"


def test_a_batch_whose_id_could_not_be_recorded_is_named_with_those_beside_it(caplog):
    both = [batch("bat-1", at=AT + 1), batch("bat-2", at=AT + 1)]
    whole, _ = played(posts=[both[0]], lists=[[], both])
    last_save = len(whole.steps) - whole.steps[::-1].index("save")

    play, error = played(
        posts=[both[0]], lists=[[], both], before={last_save: fail(ConnectionError("no store"))}
    )

    assert isinstance(error, ConnectionError)
    assert play.steps == [*whole.steps[: last_save - 1], "list"]
    assert "It is not known whether batch bat-1 is recorded: ConnectionError" in caplog.messages
    assert "More than one batch may be of this submission, so paid for twice: bat-1, bat-2" in caplog.messages


def test_a_batch_that_is_not_listed_yet_counts_among_those_its_directory_shows(caplog):
    beside = [batch("bat-2", at=AT + 1)]
    whole, _ = played(posts=[batch()], lists=[[], beside])
    assert "More than one batch may be of this submission, so paid for twice: bat-1, bat-2" in caplog.messages
    last_save = len(whole.steps) - whole.steps[::-1].index("save")

    caplog.clear()
    played(posts=[batch()], lists=[[], beside], before={last_save: fail(ConnectionError("no store"))})
    assert "More than one batch may be of this submission, so paid for twice: bat-1, bat-2" in caplog.messages


def test_all_pages_of_a_directory_count():
    first = Page(items=[batch(at=AT + 1)], next_page_token="2")
    _, result = played(posts=[LOST], lists=[[], first, []])

    assert result.batch_id == "bat-1"


def test_what_a_try_goes_by_is_asked_for_again_after_trouble():
    play, _ = played(task=RETRY, stored=SUBMITTED.to_json(), gets=[batch()])
    assert [step.once for step in play.sent] == [False]

    play, _ = played(posts=[LOST], lists=[[], [batch()]])
    assert [step.once for step in play.sent] == [False, True, False]


def test_lists_of_the_directory_are_read_as_far_as_they_tell_batches_apart():
    play, _ = played(posts=[batch()])

    lists = [step.call for step in play.sent if step.call is not CREATE]
    assert {call.response for call in lists} == {Page[KnownBatch]}
