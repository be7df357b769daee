"""Histories of a poll schedule: waits to begin, ends to come, and what was asked for when."""

from __future__ import annotations

from collections import Counter

from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.schedule import TOGETHER
from tests.support.simulated_service import Run, Service

BEGAN = 0.01
FIRST_TICK = BEGAN + TOGETHER
OUTAGE = e.UnavailableError("503", status_code=503)


def waiting(count: int, service: Service, **arguments) -> Run:
    """Have waits begin together for batches that run on."""
    run = Run(service)
    for number in range(count):
        service.add(f"bat-{number}", number * 0.001, 1e9)
        run.wait(f"bat-{number}", begins=BEGAN, created_at=number * 0.001, **arguments)
    return run


def some(count: int, first: int = 0) -> frozenset[str]:
    return frozenset(f"bat-{number}" for number in range(first, first + count))


def ends(run: Run, keys: frozenset[str], at: float) -> None:
    for key in keys:
        run.service.batches[key].ends_at = at


def history(run: Run) -> list[tuple[int, str]]:
    ticks: dict[int, Counter[str]] = {}
    for at, ask in run.asked:
        tick = int((at - FIRST_TICK + 1e-6) // 5.0)
        ticks.setdefault(tick, Counter())["get" if ask.sweep is None else ask.sweep.kind.value] += 1
    told: list[tuple[int, str]] = []
    for tick in range(max(ticks) + 1):
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(ticks.get(tick, Counter()).items()))
        if told and told[-1][1] == requests:
            told[-1] = (told[-1][0] + 1, requests)
        else:
            told.append((1, requests))
    return told


def times(run: Run, *, lists: bool) -> list[float]:
    return [round(at, 2) for at, ask in run.asked if (ask.walk is not None) is lists]
