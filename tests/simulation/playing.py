"""Plays many histories, in processes side by side."""

from __future__ import annotations

import contextlib
import gc
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 250  # histories played at a time by one process
CHUNK_OF_PLANT = 50
TOLD_EVERY = 10.0  # seconds between two lines of progress
COLLECTED_EVERY = 100  # histories between two passes of the garbage collector


@dataclass
class Tally:
    """What came of histories; ``broken`` is the first seed that broke a promise, ``violation`` which."""

    played: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    broken: int | None = None
    violation: str = ""
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Take in what came of further histories."""
        self.played += other.played
        self.counts += other.counts
        if other.broken is not None and (self.broken is None or other.broken < self.broken):
            self.broken, self.violation = other.broken, other.violation


def play_some(first: int, count: int, plant: str | None) -> Tally:
    """Play histories until one breaks a promise."""
    from tests.simulation.history import play
    from tests.simulation.planting import planted

    tally = Tally()
    with planted(plant) if plant else contextlib.nullcontext(), collected_rarely():
        for seed in range(first, first + count):
            result = play(seed)
            tally.add(Tally(1, result.counts, seed if result.violation else None, result.violation))
            if result.violation:
                break
            if seed % COLLECTED_EVERY == 0:
                gc.collect()
    return tally


@contextlib.contextmanager
def collected_rarely() -> Iterator[None]:
    """Spare the garbage collector its passes over all of Airflow, which are a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def play_all(seed: int, histories: int, jobs: int, plant: str | None = None) -> Tally:
    """Play histories in processes side by side, saying how it goes unless a defect is planted."""
    tally, began, told = Tally(), time.monotonic(), time.monotonic()
    size = CHUNK_OF_PLANT if plant else CHUNK
    end = seed + histories
    with ProcessPoolExecutor(jobs) as pool:
        chunks = [
            pool.submit(play_some, first, min(size, end - first), plant) for first in range(seed, end, size)
        ]
        for chunk in as_completed(chunks):
            tally.add(chunk.result())
            if tally.broken is not None:
                break
            if time.monotonic() - told > TOLD_EVERY and not plant:
                told = time.monotonic()
                rate = tally.played / (told - began)
                left = (histories - tally.played) / rate
                print(
                    f"{tally.played:,} of {histories:,}, {rate:.0f} per second, {left:.0f} s left", flush=True
                )
        pool.shutdown(cancel_futures=True)
        for chunk in chunks:  # those that were under way may have found an earlier one
            if tally.broken is not None and chunk.done() and not chunk.cancelled():
                found = chunk.result()
                tally.add(Tally(0, Counter(), found.broken, found.violation))
    tally.seconds = time.monotonic() - began
    return tally
