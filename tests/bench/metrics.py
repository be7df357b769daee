"""What is measured inside a client process: loop lag, memory, CPU, detection latency."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

BEAT_SECONDS = 0.01
LONG_GAP_SECONDS = 0.2
SAMPLE_SECONDS = 0.025
STALL_SECONDS = 0.3


def percentile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of ``values`` lie; 0.0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_mb() -> float:
    """Return the memory this process holds now, in MB."""
    return _status_mb("VmRSS")


def peak_mb() -> float:
    """Return the most memory this process has held since `forget_peak`, in MB."""
    return _status_mb("VmHWM")


def forget_peak() -> None:
    """Begin a new peak at what is held now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status_mb(name: str) -> float:
    """Return a figure of the kernel's about this process, which gives it in units of 1,024 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6


@dataclass
class LoopLag:
    """A coroutine that sleeps 10 ms and notes how late it wakes."""

    lags: list[float] = field(default_factory=list)

    async def beat(self) -> None:
        """Run until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            self.lags.append(time.perf_counter() - before - BEAT_SECONDS)

    def summary(self) -> dict[str, float]:
        """Return the lag in ms and the seconds spent in long gaps."""
        return {
            "lag_p50": 1e3 * percentile(self.lags, 0.5),
            "lag_p99": 1e3 * percentile(self.lags, 0.99),
            "lag_max": 1e3 * max(self.lags, default=0.0),
            "gap_seconds": sum(lag for lag in self.lags if lag > LONG_GAP_SECONDS),
        }


@contextmanager
def stalls_inside(watched: Path, lag: LoopLag) -> Iterator[list[str]]:
    """Collect where this thread's event loop stood still for 300 ms inside the files under ``watched``.

    A second thread looks where the loop is. What the loop's thread spent waiting for a processor does not count,
    nor does a late loop that stands in other files: a busy machine is not our doing. ``lag`` must beat in the
    loop.
    """
    found: list[str] = []
    loop_thread, native_thread = threading.get_ident(), threading.get_native_id()
    done = threading.Event()

    def watch() -> None:
        seen_beats, stood, reported = -1, 0.0, False
        clock, waited = time.monotonic(), processor_wait(native_thread)
        while not done.wait(SAMPLE_SECONDS):
            place = _place_inside(sys._current_frames().get(loop_thread), watched)
            now, waited_now = time.monotonic(), processor_wait(native_thread)
            if place is None or len(lag.lags) != seen_beats:
                stood, reported = 0.0, False
            else:
                stood += (now - clock) - (waited_now - waited)
            if place and stood >= STALL_SECONDS and not reported:
                found.append(place)
                reported = True
            clock, waited, seen_beats = now, waited_now, len(lag.lags)

    watcher = threading.Thread(target=watch, name="stall-watch")
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def processor_wait(native_thread: int) -> float:
    """Return the seconds a thread of this process was ready to run and did not; 0.0 where that is not told."""
    account = Path(f"/proc/self/task/{native_thread}/schedstat")
    return int(account.read_text().split()[1]) / 1e9 if account.exists() else 0.0


def _place_inside(frame: FrameType | None, watched: Path) -> str | None:
    """Return the innermost line under ``watched`` that the stack stands in, or None."""
    while frame is not None:
        if Path(frame.f_code.co_filename).is_relative_to(watched):
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return None
