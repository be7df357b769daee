"""Many waits in one event loop, as in a triggerer, while the service misbehaves."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from airflow_provider_llamabatch.triggers.batch import BatchTrigger
from tests.chaos.cloud import Cloud
from tests.chaos.rows import Row, Run, row_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_llamabatch.llamacloud.models import Batch

LIST = "^/api/v2/batches$"
ONE = "^/api/v2/batches/[^/]+$"
NEW_KEY = "llx-chaos-rotated-77c1"
HIDDEN, LONG = 60.0, 3600.0  # seconds of the service's clock, which moves only when told to


@dataclass(frozen=True)
class Pace:
    """How many waits, and how long things take, in seconds. Pauses of the watcher itself are not here."""

    waits: int = 50
    poll_interval: float = 2.0
    trouble: float = 10.0  # at least so long, and until it has struck
    missing: float = 4.0  # a new batch is neither listed nor readable
    outage: float = 30.0
    burst: float = 2.0  # of 429, and the calm after it
    stall: float = 15.0
    patience: float = 180.0  # the harness's own, for all waits of a row


@dataclass(frozen=True)
class Way:
    """How the watcher gets to look: ``path`` says which requests the trouble is about, ``every`` which of them."""

    name: str
    path: str
    every: int  # one in so many requests fails
    every_stalled: int
    list_refused: bool = False


# A list page stands for all waits at once, so it has to fail more often to fail at all.
WAYS = (
    Way("BatchTrigger, lists", LIST, every=2, every_stalled=3),
    Way("BatchTrigger, one by one", ONE, every=10, every_stalled=50, list_refused=True),
)


@dataclass
class Stage:
    """What one row plays on."""

    cloud: Cloud
    conn_id: str
    way: Way
    pace: Pace
    outages: int = 0
    batches: list[Batch] = field(default_factory=list)

    def connect(self) -> None:
        """Make the Airflow connection, or change it."""
        os.environ[f"AIRFLOW_CONN_{self.conn_id.upper()}"] = self.cloud.connection()

    def fault(self, **fault: Any) -> str:
        """Have the looks at batches fail."""
        return self.cloud.control.add_fault(method="GET", path=self.way.path, **fault)

    @property
    def struck(self) -> int:
        """Count the looks in trouble, and outages; lists that are refused on purpose do not count."""
        looks = [look for look in self.cloud.control.requests() if look.method == "GET"]
        meant = [look for look in looks if not (self.way.list_refused and re.search(LIST, look.path))]
        return self.outages + sum(look.fault is not None or (look.status or 0) >= 400 for look in meant)


async def errors(stage: Stage) -> None:
    """Some looks fail with 500."""
    stage.fault(kind="status", status=500, every=stage.way.every)


async def bursts(stage: Stage, **headers: str) -> None:
    """Every look is refused with 429 for a while, again and again."""
    for _ in range(2):
        before = stage.struck
        fault = stage.fault(kind="status", status=429, headers=headers)
        await _until_struck(stage, stage.pace.burst, more_than=before)
        stage.cloud.control.remove_fault(fault)
        await asyncio.sleep(stage.pace.burst)


async def bursts_with_retry_after(stage: Stage) -> None:
    """The refusals say how long to wait."""
    await bursts(stage, **{"Retry-After": "1"})


async def drops(stage: Stage) -> None:
    """Some connections are closed without an answer."""
    stage.fault(kind="drop_after", every=stage.way.every)


async def outage(stage: Stage) -> None:
    """Nobody listens for a while, in which the batches end."""
    await asyncio.to_thread(stage.cloud.emulator.__exit__, None, None, None)
    stage.outages += 1
    stage.cloud.control.advance(2 * LONG)
    await asyncio.sleep(stage.pace.outage)
    await asyncio.to_thread(stage.cloud.emulator.__enter__)


async def pages_of_a_gateway(stage: Stage) -> None:
    """Some answers are HTML: errors, and one that claims to be fine."""
    stage.fault(kind="html", status=502, every=stage.way.every)
    stage.fault(kind="html", status=200, every=stage.way.every + 1)


async def stalls(stage: Stage) -> None:
    """Some answers stop after their head."""
    stage.fault(kind="stall", seconds=stage.pace.stall, every=stage.way.every_stalled)


async def rotation(stage: Stage) -> None:
    """The key changes, in Airflow and in the service."""
    stage.cloud.control.set_api_key(NEW_KEY)
    await _until_struck(stage, 0.0)
    stage.connect()


async def appearance(stage: Stage) -> None:
    """The new batches, unknown so far, can be read and are listed."""
    await _until_struck(stage, stage.pace.missing)
    stage.cloud.control.advance(HIDDEN)


@dataclass(frozen=True)
class Trouble:
    """What happens to the looks: ``begin`` is called once all waits have begun."""

    name: str
    begin: Callable[[Stage], Awaitable[None]]
    late: bool = False  # begins when the first looks are over
    hidden: float = 0.0  # seconds of the service's clock in which new batches are missing


TROUBLES = (
    Trouble("500, one look in {every}", errors),
    Trouble("bursts of 429", bursts),
    Trouble("bursts of 429 with Retry-After", bursts_with_retry_after),
    Trouble("connection dropped, one look in {every}", drops),
    Trouble("nobody listens for {outage:.0f} s", outage, late=True),
    Trouble("HTML instead of JSON, 502 and 200", pages_of_a_gateway),
    Trouble("404 just after creation, not listed either", appearance, hidden=HIDDEN),
    Trouble("key rotated", rotation, late=True),
    Trouble("one answer in {every_stalled} stalls {stall:.0f} s", stalls),
)


async def wait_in_trouble(way: Way, pace: Pace, troubles: Sequence[Trouble] = TROUBLES) -> list[Row]:
    """Run all troubles at the same time, each with a service and a connection of its own."""
    numbered = enumerate(troubles)
    with patch.dict(os.environ):
        return await asyncio.gather(
            *(_row(trouble, way, pace, f"chaos_waits_{number}") for number, trouble in numbered)
        )


async def _row(trouble: Trouble, way: Way, pace: Pace, conn_id: str) -> Row:
    hidden = {"new_batch_is_404_seconds": trouble.hidden, "list_hides_new_batches_seconds": trouble.hidden}
    cloud = Cloud(batch_running_seconds=LONG, **hidden)
    await asyncio.to_thread(cloud.__enter__)
    try:
        stage = Stage(cloud, conn_id, way, pace)
        cloud.control.freeze()
        stage.connect()
        if way.list_refused:
            cloud.control.add_fault(kind="status", status=403, method="GET", path=LIST)
        await asyncio.to_thread(_make_batches, stage)
        runs = await _wait_for_all(stage, trouble)
        name = trouble.name.format(**vars(way), **vars(pace))
        return row_of(
            name, way.name, stage.struck, runs, cloud.batches(), cloud.control.counters()["cancels"]
        )
    finally:
        await asyncio.to_thread(cloud.__exit__)


def _make_batches(stage: Stage) -> None:
    directories = stage.cloud.make_directories(stage.pace.waits)
    stage.batches = [stage.cloud.make_batch(directory_id) for directory_id in directories]


async def _wait_for_all(stage: Stage, trouble: Trouble) -> list[Run]:
    waits = [asyncio.create_task(_reason(stage, batch)) for batch in stage.batches]
    await asyncio.sleep(1.5 * stage.pace.poll_interval if trouble.late else 0)
    await trouble.begin(stage)
    await _until_struck(stage, stage.pace.trouble)
    stage.cloud.control.advance(2 * LONG)  # now all batches are COMPLETED
    ended, _ = await asyncio.wait(waits, timeout=stage.pace.patience)
    runs = [
        Run(str(batch.source_directory_id), batch.id if wait in ended and _is_right(wait) else None)
        for batch, wait in zip(stage.batches, waits, strict=True)
    ]
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return runs


async def _until_struck(stage: Stage, at_least: float, *, more_than: int = 0) -> None:
    await asyncio.sleep(at_least)
    give_up = time.monotonic() + stage.pace.patience
    while stage.struck <= more_than and time.monotonic() < give_up:
        await asyncio.sleep(stage.pace.poll_interval)


def _is_right(wait: asyncio.Task[str]) -> bool:
    return wait.exception() is None and wait.result() == "completed"


async def _reason(stage: Stage, batch: Batch) -> str:
    """Wait for a batch as the triggerer does, and return the reason of the one event."""
    now = time.time()
    trigger = BatchTrigger(
        batch.id,
        stage.conn_id,
        poll_interval=stage.pace.poll_interval,
        deadline=now + 2 * stage.pace.patience,
        first_look_at=now,
        since=now,
        created_at=batch.created_at.timestamp() if batch.created_at else None,
    )
    [reason] = [str(event.payload["reason"]) async for event in trigger.run()]
    return reason
