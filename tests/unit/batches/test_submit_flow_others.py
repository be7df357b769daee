"""A recorded batch has failed, and another POST of the same submission may have made one that nobody has had yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_llamabatch.batches.submission import Action, SubmissionUndecidedError
from tests.support.submit_play import ASK, GONE, INTENT, LOST, OVERTAKEN, RETRY, Play, asked, batch

DOUBTFUL = INTENT.submitted("bat-1", unknown=1, max_tries=2)
FAILED = batch("bat-1", status="FAILED")
OTHER = batch("bat-2")
LOOKS = (*ASK[:-1], 80, ASK[-1])  # the last ones when its POST, ten seconds ago, must be over


def play(**changed) -> Play:
    return Play(**{"task": RETRY, "stored": DOUBTFUL.to_json(), "gets": [FAILED, OTHER], **changed})


@pytest.mark.parametrize(("status", "action"), [("RUNNING", Action.REJOIN), ("COMPLETED", Action.RETURN)])
@pytest.mark.parametrize("first", ["FAILED", "CANCELLED"])
def test_the_other_one_is_adopted_and_nothing_is_paid(first, status, action):
    other = batch("bat-2", status=status)
    tried = play(gets=[batch("bat-1", status=first), other], lists=[[FAILED, other]])

    submission = tried.run()

    assert (submission.batch_id, submission.decision.action) == ("bat-2", action)
    assert tried.steps == [
        "load",
        "GET bat-1",
        "sleep 0",
        "list",
        "load",
        "save",
        "load",
        "save",
        "GET bat-2",
    ]
    assert tried.stored == replace(DOUBTFUL, try_number=2, batch_id="bat-2", unknown=0).to_json()


def test_it_is_adopted_also_where_the_recorded_one_is_gone():
    long_ago = replace(DOUBTFUL, posted_at=DOUBTFUL.posted_at - 1000)
    tried = play(stored=long_ago.to_json(), gets=[GONE, GONE, OTHER], lists=[[OTHER]])

    assert tried.run().batch_id == "bat-2"


def test_after_a_clear_it_is_adopted_as_well_since_nobody_has_had_it():
    tried = play(task=replace(RETRY, max_tries=5), lists=[[FAILED, OTHER]])

    assert tried.run().batch_id == "bat-2"
    assert tried.stored["max_tries"] == 5


def test_one_that_failed_too_is_not_adopted():
    tried = play(lists=[[FAILED, batch("bat-2", status="FAILED")]], posts=[batch("bat-3")])

    assert tried.run().batch_id == "bat-3"


def test_one_that_lists_show_late_is_waited_for_before_anything_is_paid():
    tried = play(lists=[[FAILED], [FAILED], [FAILED], [FAILED, OTHER]])

    assert tried.run().batch_id == "bat-2"
    assert "POST" not in tried.steps


def test_a_failed_one_that_is_listed_first_does_not_hide_another():
    stored = replace(DOUBTFUL, unknown=2)
    failed, third = batch("bat-2", status="FAILED"), batch("bat-3")
    lists = [[FAILED, failed], [FAILED, failed], [FAILED, failed, third]]
    tried = play(stored=stored.to_json(), gets=[FAILED, third], lists=lists)

    assert tried.run().batch_id == "bat-3"
    assert "POST" not in tried.steps


def test_without_a_trace_of_another_for_as_long_as_one_may_take_a_new_one_is_paid():
    tried = play(lists=[[FAILED]], posts=[batch("bat-3")])

    assert tried.run().batch_id == "bat-3"
    assert tried.steps[: 2 + 2 * len(LOOKS)] == ["load", "GET bat-1", *asked(*LOOKS)]
    assert sum(LOOKS) >= 60.0


def test_when_the_adopted_one_turns_out_to_have_failed_the_next_one_is_adopted():
    third = batch("bat-3")
    stored = replace(DOUBTFUL, unknown=2)
    gets = [FAILED, batch("bat-2", status="FAILED"), third]
    tried = play(stored=stored.to_json(), gets=gets, lists=[[FAILED, OTHER, third], [FAILED, third]])

    assert tried.run().batch_id == "bat-3"
    assert "POST" not in tried.steps


def test_where_a_person_asked_for_a_new_batch_after_one_completed_the_other_is_only_named():
    completed = batch("bat-1", status="COMPLETED")
    cleared = replace(RETRY, max_tries=5)
    tried = play(task=cleared, gets=[completed], lists=[[completed, OTHER]], posts=[batch("bat-3")])

    assert tried.run().batch_id == "bat-3"


def test_nothing_is_paid_while_it_cannot_be_told_whether_there_is_another():
    tried = play(lists=[LOST])

    with pytest.raises(type(LOST)):
        tried.run()
    assert "POST" not in tried.steps


def test_without_a_post_of_unknown_outcome_nothing_is_looked_for():
    sure = replace(DOUBTFUL, unknown=0)
    tried = play(stored=sure.to_json(), gets=[FAILED], lists=[[FAILED, OTHER]], posts=[batch("bat-3")])

    assert tried.run().batch_id == "bat-3"


def test_a_try_that_a_later_one_has_taken_over_adopts_nothing():
    later = replace(DOUBTFUL, try_number=3, nonce="later")
    tried = play(stored=later.to_json(), lists=[[FAILED, OTHER]])

    with pytest.raises(SubmissionUndecidedError, match=OVERTAKEN):
        tried.run()
    assert tried.saved == []


def test_a_try_that_stood_still_may_have_written_over_a_later_one_and_adopts_nothing():
    def freeze(one: Play) -> None:
        one.now += 100.0

    tried = play(gets=[FAILED, FAILED], lists=[[FAILED, OTHER]], before={6: freeze})

    with pytest.raises(SubmissionUndecidedError, match=OVERTAKEN):
        tried.run()
    assert tried.stored["batch_id"] == "bat-1"
    assert "POST" not in tried.steps


def test_slow_reading_is_no_standing_still():
    def pass_time(one: Play) -> None:
        one.now += 100.0

    tried = play(lists=[[FAILED, OTHER]], before={4: pass_time})

    assert tried.run().batch_id == "bat-2"


def test_where_another_try_has_acted_meanwhile_it_is_decided_anew():
    def act(one: Play) -> None:
        one.stored = replace(DOUBTFUL, batch_id="bat-9", unknown=0).to_json()

    tried = play(gets=[FAILED, batch("bat-9")], lists=[[FAILED, OTHER]], before={5: act})

    assert tried.run().batch_id == "bat-9"


def test_after_two_clears_the_first_batch_is_none_of_the_last_post_although_a_list_hid_it_and_no_date_tells():
    first, second = (batch(name, status="COMPLETED", created_at=None) for name in ("bat-1", "bat-2"))
    stored = INTENT.submitted("bat-2", unknown=0, max_tries=2)
    made = batch("bat-3")
    tried = play(
        task=replace(RETRY, max_tries=5),
        stored=replace(stored, seen=("bat-1",)).to_json(),
        gets=[second],
        posts=[LOST],
        lists=[[second], [first, second], [first, second, made]],
    )

    assert tried.run().batch_id == "bat-3"
