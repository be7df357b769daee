"""One batch per task instance, in a simulated world where everything can go wrong at every step."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from submission_world import History, Try, World, world_of

from airflow_provider_llamabatch.batches import flow, submission, submit_flow, submit_lookups, submit_record
from airflow_provider_llamabatch.llamacloud import errors as e
from tests.support.arbitrary import bounded

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.record import Record

seeds = st.integers(0, 2**32)


def play(seed: int, **options: Any) -> History:
    chance = random.Random(seed)
    world = world_of(chance)
    for _ in range(chance.choice((0, 1, 3))):  # the same work of other tasks, over before this one begins
        world.make(None)
        world.now += chance.choice((1, 100))
    world.now += 70
    history = History(world, **options)
    history.play(chance.randint(1, 5))
    return history


@bounded(400)
@given(seeds)
def test_kills_lost_responses_and_clears_never_pay_twice(seed):
    assert play(seed, freezes=False).gaps == 0


@bounded(400)
@given(seeds)
def test_tries_that_stand_still_and_go_on_beside_their_successors_pay_twice_in_a_gap_only(seed):
    play(seed)


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


def search(histories: int) -> None:
    for seed in range(histories):
        play(seed)


def finish(one: Try) -> str | None:
    while not one.ended:
        one.act()
    return one.result.batch_id if one.result else None


def without_intent_check(self: Any, base: Record, *, may_have_rivals: bool) -> Any:
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


def take_back_all(self: Any, intent: Record, unknown: int) -> Any:
    yield flow.DeleteRecord()


def gone_at_first_sight(self: Any, record: Record) -> Any:
    from airflow_provider_llamabatch.llamacloud import calls

    try:
        return (yield flow.Send(calls.get_batch(record.batch_id)))
    except e.NotFoundError:
        return None


DEFECTS: dict[str, Any] = {
    "the record is not read again before the POST": (
        submit_record.RecordKeeper,
        "save_intent",
        without_intent_check,
    ),
    "a refusal erases earlier POSTs": (submit_record.RecordKeeper, "take_back", take_back_all),
    "any 404 says that a batch is gone": (submit_lookups.Lookups, "read", gone_at_first_sight),
    "the list is looked at once": (submission, "ADOPTION_PAUSES", (0.0,)),
    "what was there before is adopted": (
        submission,
        "adoptable",
        lambda record, request, listed, now: [batch for batch in listed if request.matches(batch)],
    ),
    "a broken response means that nothing was made": (submit_flow, "outcome_unknown", lambda error: False),
    "any id is taken": (submit_flow, "is_id", lambda value: True),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_search_finds_what_it_is_for(defect, monkeypatch):
    monkeypatch.setattr(*DEFECTS[defect])

    with pytest.raises(Exception):  # noqa: B017, PT011  # an assertion, or an error no try may raise
        search(3000)


@bounded(200)
@given(seeds)
def test_without_a_record_one_try_after_the_other_makes_one_batch(seed):
    chance = random.Random(seed)
    world = World(
        chance, trouble=0.15, lag=chance.choice((0.0, 30.0)), status=chance.choice(("RUNNING", "COMPLETED"))
    )
    history = History(world, keeps_record=False, freezes=False, clears=False)
    history.play(chance.randint(1, 5))
