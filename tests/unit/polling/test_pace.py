"""One request after the other, so many a minute: histories of turns, lanes and schedules."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_llamabatch.polling.lanes import Health, Lane
from airflow_provider_llamabatch.polling.pace import Pace
from tests.support.schedule_histories import waiting
from tests.support.simulated_service import Service


def a_lane(pace: Pace) -> Lane:
    return Lane(4, 4, Health(random=lambda: 1.0), pace)


def test_turns_are_a_gap_apart_and_missed_ones_are_not_made_up_for():
    pace = Pace(gap=6.0)

    assert [pace.take(now) for now in (0.0, 1.0, 2.0, 100.0, 100.0)] == [0.0, 6.0, 12.0, 100.0, 106.0]


def test_without_a_gap_it_is_always_somebodys_turn():
    pace = Pace()

    assert [pace.take(now) for now in (0.0, 0.0, 5.0)] == [0.0, 0.0, 5.0]


def test_lanes_that_share_a_pace_take_turns():
    pace = Pace(gap=6.0)
    first, second = a_lane(pace), a_lane(pace)
    assert first.free(0.0) == 1

    first.start("a", 0.0)

    assert (first.free(0.0), second.free(5.9), second.free(6.0)) == (0, 0, 1)
    assert (first.opens_at(0.0), second.opens_at(3.0)) == (2.0, 6.0)


@pytest.mark.parametrize(("waits", "requests_per_minute"), [(1, 5), (30, 5), (300, 5), (1000, 20)])
def test_a_schedule_never_asks_faster_than_its_pace(waits, requests_per_minute):
    run = waiting(waits, Service())
    run.schedule.pace.gap = 60.0 / requests_per_minute
    run.until(600.0)

    times = [at for at, _ in run.asked]
    assert len(times) > 20
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= (
        60.0 / requests_per_minute - 1e-6
    )


def test_at_a_slow_pace_lists_still_answer_for_all_waits():
    run = waiting(300, Service())
    run.schedule.pace.gap = 12.0
    for number in range(300):
        run.service.batches[f"bat-{number}"].ends_at = 100.0 + number
    run.until(1200.0)

    assert len(run.found) == 300
    assert run.gets < 60
