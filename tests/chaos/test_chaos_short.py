"""The chaos harness in small: every part of it, with few runs, judged by counts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import polling
from airflow_provider_llamabatch.polling import lanes, schedule
from airflow_provider_llamabatch.polling.backoff import Backoff
from tests.chaos.cloud import Cloud
from tests.chaos.killed_triggerers import BLOWS, strike_triggerers
from tests.chaos.killed_workers import kill_workers
from tests.chaos.lost_answers import lose_answers
from tests.chaos.real_airflow import real_airflow
from tests.chaos.rows import Row, Run, row_of, table
from tests.chaos.troubled_waits import WAYS, Pace, wait_in_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.troubled_waits import Way
    from tests.support.airflow_processes import RealAirflow

SHORT = Pace(
    waits=10, poll_interval=0.1, trouble=0.3, missing=0.3, outage=1.0, burst=0.3, stall=0.5, patience=60.0
)
BOUNDARIES = (
    "in the middle of the POST",
    "after the POST, before the answer",
    "after the server committed",
    "after the id is recorded",
    "after XCom",
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def airflow(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    with real_airflow(tmp_path_factory.mktemp("airflow"), cloud) as airflow:
        yield airflow


def dirty(rows: list[Row]) -> str:
    """Return the rows in which something is wrong, or nothing, as a readable text."""
    wrong = [row for row in rows if not row.is_clean]
    return table(wrong) if wrong else ""


def test_a_row_tells_lost_batches_from_duplicated_ones():
    runs = [
        Run("a", "a1"),
        Run("b", "b1"),
        Run("c", None),
        Run("d", "elsewhere"),
        Run("e", "e1"),
        Run("e", "e1"),
    ]
    made = {"a": ["a1"], "b": ["b1", "b2"], "d": ["d1"], "e": ["e1", "e2"]}
    row = row_of("any", "anybody", 3, runs, made)
    assert (row.runs, row.wanted, row.made, row.lost, row.duplicated, row.is_clean) == (6, 6, 6, 3, 1, False)


def test_lost_answers_cost_no_batch_and_the_official_client_some():
    rows = list(lose_answers(60))
    assert dirty([row for row in rows if not row.for_comparison]) == ""
    compared = [row for row in rows if row.for_comparison]
    assert [row.made > row.wanted for row in compared] == [True, True, True, False]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_waits_in_trouble_end_right(way: Way, monkeypatch: pytest.MonkeyPatch):
    for module in (polling, lanes):
        monkeypatch.setattr(module, "BACKOFF", Backoff(0.02, 0.2))
    monkeypatch.setattr(polling, "CONFIRM_AFTER", 0.1)
    monkeypatch.setattr(polling, "ROTATION_GRACE", 0.5)
    monkeypatch.setattr(schedule, "TOGETHER", 0.02)
    monkeypatch.setattr(defaults, "MIN_POLL_INTERVAL", 0.02)
    assert dirty(await wait_in_trouble(way, SHORT)) == ""


@pytest.mark.system
@pytest.mark.timeout(400)
def test_a_killed_worker_leaves_one_batch_that_the_next_try_returns(airflow: RealAirflow, cloud: Cloud):
    rows = kill_workers(airflow, cloud, kills=1, boundaries=BOUNDARIES)
    assert dirty(rows) == ""


@pytest.mark.system
@pytest.mark.timeout(300)
def test_waits_outlive_their_triggerer(airflow: RealAirflow, cloud: Cloud):
    [blow] = [blow for blow in BLOWS if not blow.has_standby]
    assert dirty(strike_triggerers(airflow, cloud, waits=2, blows=[blow])) == ""
