"""What becomes of requests whose waits leave, and of lists that are begun anew."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.schedule import TOGETHER
from airflow_provider_llamabatch.polling.sweep import Kind
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


@pytest.mark.parametrize("error", [None, OUTAGE, e.NotFoundError("404", status_code=404, from_api=True)])
@pytest.mark.parametrize("hidden", [frozenset(), some(12)], ids=["list", "get"])
def test_what_is_asked_for_while_its_wait_leaves_disturbs_nobody(hidden, error):
    run = waiting(12, Service(hidden=hidden, fails=lambda ask, now: error, seconds=lambda ask: 0.5))
    leave = 1.0 if hidden else 0.4
    run.until(leave)
    for of_key in [*run.schedule.entries.values()][:11]:
        run.schedule.remove(of_key[0])
    asked = len(run.asked)
    run.until(60.0)

    assert list(run.schedule.entries) == ["bat-11"]
    assert {ask.key for at, ask in run.asked[asked:] if at > 6.0} <= {"bat-11"}
    assert len(run.asked) > asked


def test_a_wait_can_leave_twice():
    run = waiting(2, Service())
    run.until(1.0)
    (entry,) = run.schedule.entries["bat-0"]
    for _ in range(2):
        run.schedule.remove(entry)

    assert list(run.schedule.entries) == ["bat-1"]
    run.until(60.0)
    assert history(run)[1:] == [(11, "1 get")]


def test_pages_of_a_list_that_was_begun_anew_change_nothing():
    refused = e.RefusedError("422", status_code=422, from_api=True)
    slow = {"COMPLETED": 0.05, "FAILED": 0.5, "CANCELLED": 0.9}

    def is_large(ask):
        return dict(ask.call.query).get("page_size") == "1000"

    run = waiting(
        1000,
        Service(
            fails=lambda ask, now: refused if is_large(ask) else None,
            seconds=lambda ask: slow[dict(ask.call.query)["status"]] if is_large(ask) else 0.6,
        ),
    )
    run.until(3.0)
    lists = [ask for _, ask in run.asked if ask.sweep is not None and ask.sweep.kind is Kind.ENDED]

    assert [is_large(ask) for ask in lists] == [True] * 3 + [False] * 3
    assert run.gets == 0
