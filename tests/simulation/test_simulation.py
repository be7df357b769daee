"""Two thousand random histories, the same ones each time, and that the simulator itself is deterministic."""

from __future__ import annotations

import pytest

from tests.simulation.choices import Choices
from tests.simulation.history import play
from tests.simulation.playing import collected_rarely

HISTORIES = 2000
PARTS = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_random_histories_keep_every_promise(part):
    each = HISTORIES // PARTS
    with collected_rarely():
        for seed in range(part * each, (part + 1) * each):
            result = play(seed)
            assert not result.violation, f"python -m tests.simulation --replay {seed}: {result.violation}"


def test_a_seed_always_gives_the_same_history():
    first, second = play(7, tracing=True), play(7, tracing=True)
    assert first.trace == second.trace
    assert first.record == second.record


def test_a_recorded_history_is_the_one_that_was_played():
    played = play(11, tracing=True)
    assert play(11, played.record, tracing=True).trace == played.trace


def test_zeros_are_benign():
    result = play(3, [])
    assert not result.violation
    assert set(result.counts) == {"requests", "batches", "services without trouble"}
    assert result.counts["batches"] == 1


def test_choices_play_what_was_recorded_and_zeros_after_its_end():
    choices = Choices(0, [1, 5, 500])
    assert choices.chance(0.5)
    assert choices.pick("abc") == "c"
    assert choices.between(0.0, 10.0) == 5.0
    assert not choices.chance(0.5)
    assert choices.pick("abc") == "a"
