"""The model of a deployment, against its own rules and against simulated triggerers."""

from __future__ import annotations

import pytest

from tests.scale import model
from tests.scale.model import Deployment, requests_per_minute
from tests.scale.simulation import play


@pytest.mark.parametrize(
    ("plan", "ended", "ending", "expected"),
    [
        (Deployment(1, 1, 60.0), 0, 0, 1.0),  # a GET
        (Deployment(50, 1, 60.0), 0, 0, 1.0),  # one page of everything
        (Deployment(1000, 1, 60.0), 0, 0, 3.5),  # a list per terminal status, and a share looked for
        (Deployment(1000, 1, 30.0), 0, 0, 7.0),
        (Deployment(1000, 1, 60.0), 900, 0, 3.0),  # what still runs is on fewer pages than what has ended
    ],
)
def test_a_minute_of_requests(plan, ended, ending, expected):
    assert requests_per_minute(plan, ended=ended, ending=ending) == pytest.approx(expected, abs=0.01)


def test_triggerers_of_one_connection_read_what_the_others_wait_for_as_well():
    one = requests_per_minute(Deployment(10_000, 1, 60.0), ended=5_000, ending=500)
    ten = requests_per_minute(Deployment(10_000, 10, 60.0), ended=5_000, ending=500)

    assert 8 * one < ten < 12 * one


def test_one_triggerer_more_than_the_waits_need():
    assert [model.triggerers_for(waits) for waits in (1, 1000, 1001, 100_000)] == [2, 2, 3, 101]
    assert model.triggerers_for(100_000, capacity=10_000) == 11


@pytest.mark.parametrize(
    ("files_per_run", "measured"),  # by `make scale`: rows of XCom, task instances and submissions, in bytes
    [([3] * 4, 31_300), ([1000] * 2 + [3] * 2, 189_700), ([1000] * 5 + [3] * 495, 4_343_000)],
)
def test_rows_take_about_the_bytes_that_were_measured(files_per_run, measured):
    counted = sum(model.database_bytes(1, files) for files in files_per_run)
    assert 0.9 * measured < counted < 1.1 * measured
    assert model.database_bytes(0, 0, waiting=500) == pytest.approx(226_000, rel=0.1)


def test_processes_share_the_limit():
    assert model.requests_per_minute_of_process(20, slots=3, triggerers=2) == 4.0


@pytest.mark.long
@pytest.mark.parametrize(
    "plan", [Deployment(1000, 1, 60.0), Deployment(1000, 2, 30.0), Deployment(2000, 4, 60.0)]
)
def test_simulated_triggerers_ask_about_as_often_as_the_model_says(plan):
    played = play(plan, minutes=24, ends_over=12, say=lambda text: None)
    later = [minute for minute in played.minutes if minute.number >= 6]  # polls of young waits are closer

    assert played.found == played.waits
    assert played.delays[int(0.99 * len(played.delays))] < 1.2 * plan.poll_interval
    asked, expected = sum(minute.requests for minute in later), sum(minute.expected for minute in later)
    assert 0.7 * asked < expected < 1.3 * asked
