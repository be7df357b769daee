"""What a restarted triggerer asks for: it holds many waits at once and knows of none of them when it was created."""

from __future__ import annotations

import random

import pytest

from airflow_provider_llamabatch.polling.sweep import Kind, Sweep
from tests.support.simulated_service import Run, Service


def restarted(waits: int, *, strangers: int = 0, ends_at: float, until: float) -> Run:
    dice = random.Random(3)
    run = Run(Service())
    for number in range(waits):
        run.service.add(f"bat-{number}", number * 1e-4 - 1000.0, ends_at + 20.0 * dice.random())
        run.wait(f"bat-{number}", begins=0.01, created_at=None)
    for number in range(strangers):
        run.service.add(f"foreign-{number}", dice.uniform(-900.0, 0.0), 1e9)
    run.until(until)
    return run


def rechecks(run: Run) -> list[Sweep]:
    """Return for each page that was asked for to recheck waits, for which sweep it was."""
    return [ask.sweep for _, ask in run.asked if ask.sweep is not None and ask.sweep.kind is Kind.RECHECK]


def test_one_reading_of_a_list_tells_when_each_was_created():
    run = restarted(1000, strangers=3000, ends_at=200.0, until=15.0)

    assert len({id(sweep) for sweep in rechecks(run)}) == 1
    assert len(rechecks(run)) <= 45
    assert run.gets == 0
    assert {entry.created_at is None for (entry,) in run.schedule.entries.values()} == {False}


@pytest.mark.parametrize(
    ("waits", "strangers", "most"),
    [(1000, 0, 90), (1000, 3000, 150), pytest.param(10_000, 0, 450, marks=pytest.mark.long)],
)
def test_what_the_waits_of_a_restarted_triggerer_ask_of_the_service(waits, strangers, most):
    run = restarted(waits, strangers=strangers, ends_at=20.0, until=60.0)

    assert len(run.found) == waits
    assert len(run.asked) <= most
