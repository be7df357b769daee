"""What becomes of requests whose waits leave, and of lists that are begun anew."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.schedule import TOGETHER
from airflow_provider_llamabatch.polling.sweep import Kind
from tests.support.schedule_histories import history, some, waiting
from tests.support.simulated_service import Run, Service

BEGAN = 0.01
FIRST_TICK = BEGAN + TOGETHER
OUTAGE = e.UnavailableError("503", status_code=503)


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


@pytest.mark.long
def test_comings_and_goings_leave_nothing_behind():
    run = Run(Service())
    for number in range(3000):
        run.service.add(f"bat-{number}", number * 0.1, number * 0.1 + 20)
        run.wait(f"bat-{number}", begins=number * 0.1, created_at=number * 0.1, deadline=1e8)
    run.until(400.0)

    assert len(run.found) == 3000
    assert not run.schedule.entries
    assert len(run.schedule._agenda._deadlines) < 600
