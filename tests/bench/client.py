"""One run of one subject in a process of its own: N waits in one loop, as the triggerer runs them.

Called by the benchmark as ``python -m tests.bench.client JSON``; says when it is ready, starts on a line of input and
prints what it measured as one line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

try:
    import greenback
except ImportError:  # Airflow 2
    greenback = None  # type: ignore[assignment]

from tests.bench.metrics import LoopLag, forget_peak, peak_mb, percentile, resident_mb
from tests.bench.scenarios import Wait
from tests.bench.server import ask
from tests.bench.subjects import SUBJECTS, MakeWaiter, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable


READY = "ready"
TRIGGERER = "airflow.jobs.triggerer_job_runner"  # what every triggerer holds before its first trigger


@dataclass
class Endings:
    """How the waits ended: how late after their batch, and which of them badly."""

    delays: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def settle(wait: Waiter, ends: float, succeeded: Callable[[Any], bool], endings: Endings) -> None:
    """Consume one trigger the way the triggerer does and note how it ended."""
    await open_portal()
    events = []
    try:
        events = [(time.time(), event.payload) async for event in wait.run()]
    except Exception as error:
        endings.failures.append(f"{type(error).__name__}: {error}")
        return
    finally:
        await wait.cleanup()
    if len(events) == 1 and succeeded(events[0][1]) and events[0][0] >= ends:
        endings.delays.append(events[0][0] - ends)
    else:
        endings.failures.append(f"events {events} for a batch that ends at {ends}")


async def open_portal() -> None:
    """Give the task the portal the triggerer gives it, where that library is part of Airflow."""
    if greenback is not None:
        await greenback.ensure_portal()


async def turn_once() -> None:
    """Do what the triggerer's own loop does each second (``TriggerRunner.arun``), before it has any trigger."""
    stopped = anyio.Event()
    with anyio.move_on_after(0.01):
        await stopped.wait()


async def wait_for_all(
    waits: list[Wait], make: MakeWaiter, poll: float, succeeded: Callable[[Any], bool], lag: LoopLag
) -> Endings:
    """Run every wait to its end from when it begins, while ``lag`` is measured."""
    endings = Endings()
    beating = asyncio.create_task(lag.beat())
    async with asyncio.TaskGroup() as tasks:
        for wait in sorted(waits, key=lambda wait: wait.begins):
            if (seconds := wait.begins - time.time()) > 0:
                await asyncio.sleep(seconds)
            tasks.create_task(settle(make(wait, poll), wait.ends, succeeded, endings))
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    return endings


def measure(subject_name: str, url: str, control: str, key: str, poll: float) -> dict[str, Any]:
    """Run one subject in the world ``key`` and return its figures."""
    subject = SUBJECTS[subject_name]
    os.environ.update(subject.environment(url))
    importlib.import_module(TRIGGERER)
    make = subject.load()
    write_logs_to_a_file()
    asyncio.run(turn_once())
    gc.collect()
    lag = LoopLag()
    wait_for_go()
    waits = [Wait(*fields) for fields in ask(control, do="start", key=key)["waits"]]
    held_before = resident_mb()
    forget_peak()
    cpu_before, clock_before = time.process_time(), time.monotonic()
    endings = asyncio.run(wait_for_all(waits, make, poll, subject.succeeded, lag))
    return {
        "subject": subject_name,
        "waits": len(waits),
        "cpu": time.process_time() - cpu_before,
        "seconds": time.monotonic() - clock_before,
        "memory": peak_mb() - held_before,
        **lag.summary(),
        "delay_p50": percentile(endings.delays, 0.5),
        "delay_p99": percentile(endings.delays, 0.99),
        "delay_max": max(endings.delays, default=0.0),
        "failures": len(endings.failures),
        "first_failure": endings.failures[0] if endings.failures else None,
    }


def wait_for_go() -> None:
    """Tell the benchmark that everything is imported, and wait until the runs beside this one are as far."""
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def write_logs_to_a_file() -> None:
    """Let Airflow log at INFO into a file, as a triggerer does."""
    from airflow.sdk.log import configure_logging

    log_file = Path(os.environ["AIRFLOW_HOME"], f"{os.getpid()}.log").open("wb")  # noqa: SIM115  # open to the end
    configure_logging(json_output=True, output=log_file)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(**json.loads(sys.argv[1]))) + "\n")
