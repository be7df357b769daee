"""What fails by itself, for each wait apart, keeps no other wait from its turn: histories of a schedule."""

from __future__ import annotations

from math import ceil

import pytest

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.llamacloud import errors as e
from tests.support.simulated_service import Run, Service

BROKEN = e.InvalidResponseError("no JSON")
OUTAGE = e.UnavailableError("503", status_code=503)
LONGEST_PAUSE = 60.0  # seconds, of a wait by itself
ROUND = 16.0 + 2.0  # the longest pause of all of them, and as long as a slow request holds a place
AT_ONCE = 4


def run_of(broken: int, *, healthy_last: bool, fails=lambda ask, now: None, seconds=0.05) -> Run:
    """Have waits begin whose GETs never succeed, and one whose GETs do; lists are out of order."""

    def failure(ask, now):
        if ask.walk is not None:
            return OUTAGE
        return BROKEN if ask.key != "healthy" else fails(ask, now)

    run = Run(Service(fails=failure, seconds=lambda ask: 0.05 if ask.key == "healthy" else seconds))
    keys = [f"broken-{number}" for number in range(broken)]
    for key in [*keys, "healthy"] if healthy_last else ["healthy", *keys]:
        run.service.add(key, 0.0, 1.0 if key == "healthy" else 1e9)
        run.wait(key, begins=0.01, created_at=0.0)
    return run


@pytest.mark.parametrize("seconds", [0.05, 1.9, 20.0], ids=["at once", "late", "by their time limit"])
@pytest.mark.parametrize("broken", [1, 3, 12, 18])
def test_a_wait_behind_many_that_never_succeed_has_its_turn_after_some_rounds(broken, seconds):
    run = run_of(broken, healthy_last=True, seconds=seconds)
    run.until(ROUND * ceil((broken + 1) / AT_ONCE))

    assert set(run.found) == {"healthy"}


@pytest.mark.parametrize("broken", [1, 12, 18, 40])
@pytest.mark.parametrize("moment", [1.0, 15.0, 45.0])
def test_a_wait_that_failed_in_an_outage_is_asked_for_before_those_that_never_succeed(broken, moment):
    run = run_of(broken, healthy_last=False, fails=lambda ask, now: OUTAGE if now < moment else None)
    run.until(moment + LONGEST_PAUSE + ROUND * ceil((broken + 1) / AT_ONCE))

    assert run.found["healthy"][1] is Reason.COMPLETED
