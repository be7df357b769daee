"""One batch per task instance, in a simulated world where everything can go wrong at every step."""

from __future__ import annotations

import itertools

import pytest
from arbitrary import bounded
from hypothesis import given
from hypothesis import strategies as st
from submission_world import LONGEST_LAG, Task, Trouble, World

STEPS = 12  # more than a submission takes
WORST = (Trouble.KILLED_BEFORE, Trouble.KILLED_AFTER, Trouble.FAILED, Trouble.ANSWER_LOST)

kinds_of_trouble = st.sampled_from(list(Trouble))
lonely = kinds_of_trouble.filter(lambda trouble: trouble is not Trouble.STRANGER)
apart = st.lists(st.floats(0, 2 * 86400), min_size=1, max_size=6)  # seconds between the tries


def mostly(troubles: st.SearchStrategy[Trouble]) -> st.SearchStrategy[list[Trouble]]:
    return st.lists(st.just(Trouble.NONE) | troubles, max_size=30)


@bounded(800)
@given(
    mostly(lonely),
    apart,
    st.floats(0, LONGEST_LAG),
    st.floats(-3500, 3500),
    st.sampled_from(["RUNNING", "COMPLETED"]),
)
def test_a_task_instance_makes_one_batch_whatever_dies_in_between(troubles, pauses, lag, skew, status):
    world = World(iter(troubles), lag, skew, status)
    world.make()  # one that was there before
    world.now += LONGEST_LAG
    task = Task(world)
    for seconds in pauses:
        found = task.run()
        assert len(world.ours) <= 1
        assert found is None or world.ours == [found]
        world.now += seconds
    world.troubles = iter(())

    assert [task.run()] == world.ours


@bounded(400)
@given(mostly(kinds_of_trouble), apart, st.lists(st.booleans(), min_size=6, max_size=6))
def test_neither_strangers_nor_a_clear_make_it_two_while_the_batch_runs(troubles, pauses, cleared):
    world = World(iter(troubles))
    task = Task(world)
    for seconds, clear in zip(pauses, cleared, strict=False):
        task.clears += clear
        task.run()
        assert len(world.ours) <= 1
        world.now += seconds


@bounded(400)
@given(mostly(lonely), apart, st.sampled_from(["RUNNING", "COMPLETED"]))
def test_without_a_record_it_is_one_batch_as_long_as_the_list_is_up_to_date(troubles, pauses, status):
    world = World(iter(troubles), status=status)
    task = Task(world, keeps_record=False)
    for seconds in pauses:
        found = task.run()
        assert len(world.ours) <= 1
        assert found is None or world.ours == [found]
        world.now += seconds
    world.troubles = iter(())

    assert [task.run()] == world.ours


@pytest.mark.parametrize("lag", [0.0, LONGEST_LAG])
@pytest.mark.parametrize("one", WORST, ids=lambda trouble: trouble.name)
@pytest.mark.parametrize("other", WORST, ids=lambda trouble: trouble.name)
def test_no_two_troubles_make_it_two_batches(one, other, lag):
    for first, second in itertools.combinations(range(STEPS), 2):
        troubles = [Trouble.NONE] * STEPS
        troubles[first], troubles[second] = one, other
        world = World(iter(troubles), lag)
        task = Task(world)

        for _ in range(4):
            task.run()
        world.troubles = iter(())

        assert [task.run()] == world.ours, (first, second)
