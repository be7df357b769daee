"""One batch per task instance, in a simulated world where everything can go wrong at every step."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import flow, submission, submit_flow, submit_lookups, submit_record
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from tests.support.arbitrary import bounded
from tests.support.submission_world import (
    PAYS_ONCE,
    RETURNS_ITS_OWN,
    BrokenError,
    History,
    Try,
    World,
    world_of,
)

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.record import Record

seeds = st.integers(0, 2**32)


def play(seed: int, *, freezes: bool) -> History:
    chance = random.Random(seed)
    world = world_of(chance, hiccups=not freezes)
    for _ in range(chance.choice((0, 1, 3))):  # the same work of other tasks, over before this one begins
        world.make(None)
        world.now += chance.choice((1, 100))
    world.now += 70
    history = History(world, freezes=freezes)
    history.play(chance.randint(1, 5))
    return history


@bounded(150)
@given(seeds)
def test_kills_lost_responses_bad_lists_and_clears_never_pay_twice(seed):
    assert not play(seed, freezes=False).excused


@bounded(150)
@given(seeds)
def test_tries_that_stand_still_and_go_on_beside_their_successors_pay_twice_in_a_gap_only(seed):
    play(seed, freezes=True)


@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
@pytest.mark.parametrize("hours", [1, 100])
def test_a_try_that_stood_still_before_any_step_but_the_post_submits_nothing_after_its_successor(
    status, hours
):
    for steps in range(30):
        world = World(random.Random(1), trouble=0.0, status=status)
        history = History(world)
        frozen = history.begin()
        for _ in range(steps):
            if not frozen.ended and not frozen.posting:
                frozen.act()
        world.now += hours * 3600
        if frozen.posting:
            return
        finish(history.begin())
        frozen_result = finish(frozen)
        assert len(world.paid(0)) == 1, steps
        assert frozen_result in (None, *world.paid(0))
    raise AssertionError("the POST was never reached")


@pytest.mark.parametrize("cleared", [False, True])
def test_a_response_that_arrives_after_a_later_try_took_over_is_not_recorded(cleared):
    world = World(random.Random(1), trouble=0.0, status="COMPLETED")
    history = History(world)
    earlier = history.begin()
    while not earlier.posting:
        earlier.act()
    earlier.act()  # the POST; it stands still before it records the id
    history.clear += cleared
    assert finish(history.begin()) == "bat-0"  # the later try finds it
    history.clear += 1
    assert finish(history.begin()) == "bat-1"
    before = world.stored

    assert finish(earlier) is None
    assert isinstance(earlier.error, submission.SubmissionUndecidedError)
    assert world.stored == before


def test_a_strangers_batch_beside_the_own_one_is_named_in_a_warning(caplog):
    world = World(random.Random(1), trouble=0.0, strangers=True)
    killed = History(world).begin()
    while not killed.posting:
        killed.act()
    world.make(None)
    killed.act()
    killed.kill()
    retried = Try(world, 2, 0)

    with caplog.at_level(logging.WARNING):
        assert finish(retried) == "bat-0"  # the earliest since the intent
    assert "bat-0, bat-1" in caplog.text


def test_a_batch_that_was_made_later_than_a_minute_after_its_post_is_named_in_a_warning(caplog):
    world = World(random.Random(1), trouble=0.0)
    killed = History(world).begin()
    while not killed.posting:
        killed.act()
    killed.kill()
    retried = Try(world, 2, 0)
    while not retried.posting:
        retried.act()
    world.make(0)  # what the first one sent

    with caplog.at_level(logging.WARNING):
        assert finish(retried) == "bat-1"
    assert "paid for twice: bat-1, bat-0" in caplog.text


def test_a_batch_that_only_the_last_of_the_lists_shows_is_adopted():
    world = World(random.Random(1), trouble=0.0)
    killed = History(world).begin()
    while not killed.posting:
        killed.act()
    killed.act()
    killed.kill()
    retried = Try(world, 2, 0)
    longest = defaults.MAX_INTENT_AGE + defaults.REQUEST_TIMEOUT + defaults.MAX_LIST_LAG
    world.made[0].visible = world.now + longest + defaults.CONFIRM_SECONDS / 2

    assert finish(retried) == "bat-0"
    assert world.paid(0) == ["bat-0"]


def finish(one: Try) -> str | None:
    while not one.ended:
        one.act()
    return one.result.batch_id if one.result else None


def without_reading_again(self: Any, base: Record, *, may_have_rivals: bool) -> Any:
    task = self.task
    intent = replace(
        base,
        nonce=task.nonce,
        try_number=task.try_number,
        max_tries=task.max_tries,
        posted_at=self.clock(),
        unknown=base.unknown + 1,
    )
    yield flow.SaveRecord(intent.to_json())
    self.own = intent
    return intent


def gone_at_first_sight(self: Any, record: Record) -> Any:
    try:
        return (yield flow.Send(calls.get_batch(record.batch_id)))
    except e.NotFoundError:
        return None


def all_that_matches(record: Record, request: Any, listed: Any, now: float) -> Any:
    return [batch for batch in listed if request.matches(batch)]


# What to break, and the invariant that then no longer holds, with tries that stand still or without.
DEFECTS: dict[str, tuple[object, str, Any, str, bool]] = {
    "the record is not read again before the POST": (
        submit_record.RecordKeeper,
        "save_intent",
        without_reading_again,
        PAYS_ONCE,
        True,
    ),
    "any 404 says that a batch is gone": (
        submit_lookups.Lookups,
        "read",
        gone_at_first_sight,
        PAYS_ONCE,
        False,
    ),
    "the list is read once": (submission, "ADOPTION_PAUSES", (0.0,), PAYS_ONCE, False),
    "what was there before is adopted": (submission, "adoptable", all_that_matches, RETURNS_ITS_OWN, False),
    "an unknown outcome means that nothing was made": (
        submit_flow,
        "outcome_unknown",
        lambda error: False,
        PAYS_ONCE,
        False,
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_search_finds_what_it_is_for_and_nothing_without_it(defect, monkeypatch):
    target, name, broken, invariant, freezes = DEFECTS[defect]
    found = None
    with monkeypatch.context() as patch:
        patch.setattr(target, name, broken)
        for seed in range(1000):
            try:
                play(seed, freezes=freezes)
            except BrokenError as error:
                if error.invariant == invariant:
                    found = seed
                    break
    assert found is not None

    for seed in range(found + 1):
        play(seed, freezes=freezes)


@bounded(100)
@given(seeds)
def test_without_a_record_one_try_after_the_other_makes_one_batch(seed):
    chance = random.Random(seed)
    world = World(
        chance, trouble=0.15, lag=chance.choice((0.0, 30.0)), status=chance.choice(("RUNNING", "COMPLETED"))
    )
    history = History(world, keeps_record=False, freezes=False, clears=False)
    history.play(chance.randint(1, 5))
