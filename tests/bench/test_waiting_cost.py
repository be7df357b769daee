"""The guard of what waiting costs: counts on small runs against the fake server, never times.

Two hundred batches are waited for in one loop, a poll a second, until the last one has ended: once all go on at the
same time, and then as in life, where each wait begins at its own time.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_llamabatch
from airflow_provider_llamabatch.polling.lanes import MAX_LISTS
from tests.bench.client import Endings, wait_for_all
from tests.bench.metrics import LoopLag, stalls_inside
from tests.bench.scenarios import LARGEST_PAGE, Scenario, Wait
from tests.bench.server import ask, running_server
from tests.bench.subjects import llamabatch_environment, llamabatch_waits, reason_is_completed

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITS, POLL_SECONDS = 200, 1.0
PACKAGE = Path(airflow_provider_llamabatch.__file__).parent
CLOSING_SECONDS = 2.0  # how long a closed connection may take to be gone

RESTART = Scenario(WAITS, first_end=1.5, last_end=4.5)
AS_IN_LIFE = Scenario(WAITS, begins_within=1.5, first_poll_after=(0.5, 1.0), first_end=2.5, last_end=5.0)
SHAPES = {
    "random ends": AS_IN_LIFE,
    "ends in order": replace(AS_IN_LIFE, ordered=True),
    "batches of others": replace(AS_IN_LIFE, foreign=600),
    "filters ignored": replace(AS_IN_LIFE, filters=False, ages_known=False),
    "filters ignored, batches of others": replace(AS_IN_LIFE, filters=False, ages_known=False, foreign=600),
}


@dataclass(frozen=True)
class Counted:
    """How the waits of one scenario ended and what they asked for."""

    endings: Endings
    polls: int
    counts: dict[str, Any]

    @property
    def requests(self) -> int:
        return sum(self.counts["requests"].values())


@dataclass(frozen=True)
class Observed:
    """What was seen of a run that had the event loop to itself."""

    counted: Counted
    stalls: list[str]
    tasks_left: set[asyncio.Task[Any]]
    descriptors_left: int


@pytest.fixture(scope="module")
def control() -> Iterator[str]:
    with running_server() as address:
        # The first poll in a process imports what it needs and makes the TLS context: that is paid once.
        asyncio.run(count(address, Scenario(1, first_end=0.0, last_end=0.1)))
        yield address


@pytest.fixture(scope="module")
def observed(control: str) -> Observed:
    return asyncio.run(observe(control, RESTART))


@pytest.fixture(scope="module")
def counted(control: str) -> dict[str, Counted]:
    return asyncio.run(count_side_by_side(control, SHAPES))


async def count(
    control: str, scenario: Scenario, conn_id: str = "llamabatch_guard", lag: LoopLag | None = None
) -> Counted:
    """Wait for the batches of a scenario on a connection of its own."""
    world = await asyncio.to_thread(ask, control, do="open", scenario=asdict(scenario))
    with pytest.MonkeyPatch.context() as environment:
        for name, value in llamabatch_environment(world["url"], conn_id).items():
            environment.setenv(name, value)
        started = await asyncio.to_thread(ask, control, do="start", key=world["key"])
        waits = [Wait(*fields) for fields in started["waits"]]
        began, lag = time.monotonic(), lag or LoopLag()
        endings = await wait_for_all(waits, llamabatch_waits(conn_id), POLL_SECONDS, reason_is_completed, lag)
    polls = math.ceil((time.monotonic() - began) / POLL_SECONDS) + 1
    return Counted(endings, polls, await asyncio.to_thread(ask, control, do="close", key=world["key"]))


async def observe(control: str, scenario: Scenario) -> Observed:
    """Wait for the batches of a scenario and watch the process meanwhile and afterwards."""
    before, tasks, lag = open_descriptors(), asyncio.all_tasks(), LoopLag()
    with stalls_inside(PACKAGE, lag) as stalls:
        counted = await count(control, scenario, lag=lag)
    for _ in range(int(CLOSING_SECONDS / 0.05)):
        if asyncio.all_tasks() <= tasks and open_descriptors() <= before:
            break
        await asyncio.sleep(0.05)
    return Observed(counted, stalls, asyncio.all_tasks() - tasks, open_descriptors() - before)


async def count_side_by_side(control: str, scenarios: dict[str, Scenario]) -> dict[str, Counted]:
    """Wait for the batches of several scenarios at the same time."""
    running = (
        count(control, scenario, f"llamabatch_guard_{number}")
        for number, scenario in enumerate(scenarios.values())
    )
    return dict(zip(scenarios, await asyncio.gather(*running), strict=True))


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # counted, not walked


def most_requests(counted: Counted, scenario: Scenario) -> float:
    """Return half as much again as reading the whole list at each poll takes, where a GET per wait takes 200."""
    pages = math.ceil((scenario.count + scenario.foreign) / LARGEST_PAGE)
    return 1.5 * (pages + 1) * counted.polls


def test_every_wait_ends_right_and_not_before_its_batch(observed: Observed) -> None:
    assert observed.counted.endings.failures == []
    assert len(observed.counted.endings.delays) == WAITS


def test_a_poll_of_all_batches_costs_the_pages_of_the_list(observed: Observed) -> None:
    assert observed.counted.requests <= most_requests(observed.counted, RESTART)


@pytest.mark.parametrize("shape", SHAPES)
def test_waits_that_begin_at_their_own_times_end_right(shape: str, counted: dict[str, Counted]) -> None:
    assert counted[shape].endings.failures == []
    assert len(counted[shape].endings.delays) == WAITS


@pytest.mark.parametrize("shape", SHAPES)
def test_waits_that_begin_at_their_own_times_share_their_polls(
    shape: str, counted: dict[str, Counted]
) -> None:
    assert counted[shape].requests <= most_requests(counted[shape], SHAPES[shape])


def test_all_polls_share_a_few_connections(observed: Observed) -> None:
    assert observed.counted.counts["connections"] <= MAX_LISTS


def test_nothing_is_left_after_the_last_batch(observed: Observed) -> None:
    assert observed.tasks_left == set()
    assert observed.descriptors_left <= 0


def test_the_loop_never_stands_still_in_our_code(observed: Observed) -> None:
    assert observed.stalls == []


async def test_the_watch_for_stalls_sees_code_that_blocks_the_loop() -> None:
    lag = LoopLag()
    beating = asyncio.create_task(lag.beat())
    with stalls_inside(Path(__file__), lag) as stalls:
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # what the code under watch must never do
        await asyncio.sleep(0.05)
    beating.cancel()
    assert len(stalls) == 1
    assert "test_the_watch_for_stalls" in stalls[0]
