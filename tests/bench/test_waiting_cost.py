"""The guard of what waiting costs: counts on a small run against the fake server, never times.

Two hundred batches are waited for in one loop, a look a second, until the last one has ended.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_llamabatch
from tests.bench.client import Endings, wait_for_all
from tests.bench.gauges import LoopGauge, stalls_inside
from tests.bench.server import ask, running_server
from tests.bench.subjects import SUBJECTS
from tests.bench.world import LARGEST_PAGE, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITS, POLL_SECONDS = 200, 1.0
PACKAGE = Path(airflow_provider_llamabatch.__file__).parent
CLOSING_SECONDS = 2.0  # how long a closed connection may take to be gone


@dataclass(frozen=True)
class Observed:
    """What was counted during and after the run."""

    endings: Endings
    looks: int
    counts: dict[str, Any]
    stalls: list[str]
    tasks_left: set[asyncio.Task[Any]]
    descriptors_left: int


@pytest.fixture(scope="module")
def observed() -> Iterator[Observed]:
    with running_server() as control, pytest.MonkeyPatch.context() as environment:
        # The first look in a process imports what it needs and makes the TLS context: that is paid once.
        asyncio.run(observe(control, environment, Terms(1, first_end=0.0, last_end=0.1)))
        yield asyncio.run(observe(control, environment, Terms(WAITS, first_end=2.0, last_end=6.0)))


async def observe(control: str, environment: pytest.MonkeyPatch, terms: Terms) -> Observed:
    world = ask(control, do="open", terms=asdict(terms))
    for name, value in SUBJECTS["llamabatch"].environment(world["url"]).items():
        environment.setenv(name, value)
    make = SUBJECTS["llamabatch"].load()
    before, tasks = open_descriptors(), asyncio.all_tasks()
    batches = ask(control, do="start", key=world["key"])["batches"]
    waits = [(make(name, ends, POLL_SECONDS), ends) for name, ends in batches]
    began, gauge = time.monotonic(), LoopGauge()
    with stalls_inside(PACKAGE, gauge) as stalls:
        endings = await wait_for_all(waits, SUBJECTS["llamabatch"].succeeded, gauge)
    looks = math.ceil((time.monotonic() - began) / POLL_SECONDS) + 1
    for _ in range(int(CLOSING_SECONDS / 0.05)):
        if asyncio.all_tasks() <= tasks and open_descriptors() <= before:
            break
        await asyncio.sleep(0.05)
    left = open_descriptors() - before
    counts = await asyncio.to_thread(ask, control, do="close", key=world["key"])
    return Observed(endings, looks, counts, stalls, asyncio.all_tasks() - tasks, left)


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # counted, not walked


def test_every_wait_ends_right_and_not_before_its_batch(observed: Observed) -> None:
    assert observed.endings.failures == []
    assert len(observed.endings.delays) == WAITS


def test_a_look_at_all_batches_costs_the_pages_of_the_list(observed: Observed) -> None:
    pages = math.ceil(WAITS / LARGEST_PAGE)
    assert sum(observed.counts["requests"].values()) <= 1.5 * pages * observed.looks


def test_all_looks_share_a_connection_or_two(observed: Observed) -> None:
    assert observed.counts["connections"] <= 2


def test_nothing_is_left_after_the_last_batch(observed: Observed) -> None:
    assert observed.tasks_left == set()
    assert observed.descriptors_left <= 0
    assert observed.counts["open"] == 0


def test_the_loop_never_stands_still_in_our_code(observed: Observed) -> None:
    assert observed.stalls == []


async def test_the_gauge_of_stalls_sees_code_that_blocks_the_loop() -> None:
    gauge = LoopGauge()
    beating = asyncio.create_task(gauge.beat())
    with stalls_inside(Path(__file__), gauge) as stalls:
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # what the code under watch must never do
        await asyncio.sleep(0.05)
    beating.cancel()
    assert len(stalls) == 1
    assert "test_the_gauge_of_stalls" in stalls[0]
