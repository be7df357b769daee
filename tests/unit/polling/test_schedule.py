"""When is what asked for: histories of a schedule on a virtual clock against a simulated service."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.sweep import Kind
from tests.support.simulated_service import Run, Service

if TYPE_CHECKING:
    from airflow_provider_llamabatch.polling.plan import Update

OUTAGE = e.UnavailableError("503", status_code=503)


def waits(run: Run, count: int, *, ends_at: float, known: bool = True, **arguments) -> list[str]:
    """Have waits begin at 0 for batches made just then; returns their ids."""
    keys = [f"bat-{number}" for number in range(count)]
    for number, key in enumerate(keys):
        created = number * 0.001
        run.service.add(key, created, ends_at)
        run.wait(key, begins=0.01, created_at=created if known else None, **arguments)
    return keys


def reasons(run: Run) -> set[Reason]:
    return {reason for _, reason in run.found.values()}


def test_one_wait_is_polled_by_get_once_an_interval():
    run = Run(Service())
    waits(run, 1, ends_at=60.0)
    run.until(100.0)

    assert (run.lists, run.gets) == (0, 13)
    assert reasons(run) == {Reason.COMPLETED}
    assert run.found["bat-0"][0] <= 60 + 5.1


def test_nothing_is_polled_before_its_first_poll_is_due():
    run = Run(Service())
    waits(run, 5, ends_at=1.0, first_poll=12.0)
    run.until(30.0)

    assert run.asked[0][0] >= 12.0
    assert reasons(run) == {Reason.COMPLETED}


def test_a_list_read_for_others_resumes_no_task_before_its_first_poll():
    run = Run(Service())
    waits(run, 5, ends_at=1.0)
    run.service.add("late", 0.0, 1.0)
    run.wait("late", begins=0.01, first_poll=20.0, created_at=0.0)
    run.until(19.9)
    assert "late" not in run.found

    run.until(30.0)
    assert run.found["late"][1] is Reason.COMPLETED


def test_waits_that_began_at_any_time_are_asked_for_together():
    run = Run(Service())
    for number in range(50):
        run.service.add(f"bat-{number}", number * 0.3, 1000.0)
        run.wait(f"bat-{number}", begins=number * 0.3, created_at=number * 0.3)
    run.until(115.0)
    settled = [at for at, _ in run.asked if at > 15.0]

    assert len(settled) <= 21  # a page per tick of five seconds
    assert run.gets <= 2


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED"])
@pytest.mark.parametrize("count", [1, 4, 40, 600])
def test_every_end_is_found_within_an_interval(count, end):
    run = Run(Service())
    keys = waits(run, count, ends_at=1e9)
    for key in keys:
        run.service.add(key, run.service.batches[key].created_at, 33.0, end)
    run.until(33.0 + 5.6)

    assert len(run.found) == count
    assert reasons(run) == {Reason[end]}


def life(count: int, over: float, first_end: float, *, strangers: int = 0, **service) -> Run:
    """As in life: each batch is made when its wait begins, and first polled 10 to 13 s later."""
    dice = random.Random(7)
    run = Run(Service(**service))
    for number in range(count):
        begins = over * number / count
        run.service.add(f"bat-{number}", begins, first_end + 20.0 * number / count)
        first_poll = begins + 10.0 + 3.0 * dice.random()
        known = begins if service.get("honours_filters", True) else None
        run.wait(f"bat-{number}", begins=begins, first_poll=first_poll, created_at=known)
    for number in range(strangers):
        run.service.add(f"foreign-{number}", dice.uniform(0.0, over), 1e9)
    run.until(first_end + 40.0)
    assert len(run.found) == count
    assert reasons(run) == {Reason.COMPLETED}
    late = sorted(at - run.service.batches[key].ends_at for key, (at, _) in run.found.items())
    assert late[int(len(late) * 0.99)] <= 5.6
    return run


@pytest.mark.long
@pytest.mark.parametrize(
    ("over", "first_end", "most", "strangers", "service"),
    [
        (1.0, 30.0, 60, 0, {}),
        (15.0, 30.0, 60, 0, {}),
        (60.0, 80.0, 90, 0, {}),
        (15.0, 30.0, 150, 3000, {}),
        (15.0, 30.0, 300, 0, {"honours_filters": False}),
    ],
    ids=["together", "within 15 s", "within 60 s", "among strangers", "filters ignored, ages unknown"],
)
def test_what_a_thousand_waits_ask_of_the_service(over, first_end, most, strangers, service):
    run = life(1000, over, first_end, strangers=strangers, **service)

    assert len(run.asked) <= most


@pytest.mark.long
def test_what_ten_thousand_waits_ask_of_the_service():
    assert len(life(10_000, 1.0, 30.0).asked) <= 250


def test_what_no_list_shows_is_asked_for_by_get_every_interval():
    service = Service(hidden=frozenset({"bat-3"}))
    run = Run(service)
    waits(run, 40, ends_at=60.0)
    run.until(66.0)

    assert len(run.found) == 40
    assert 10 <= run.gets <= 20


def test_lists_that_show_nothing_of_ours_are_left_out():
    run = Run(Service(hidden=frozenset(f"bat-{number}" for number in range(40))))
    waits(run, 40, ends_at=300.0)
    run.until(310.0)

    assert len(run.found) == 40
    assert run.lists <= run.gets / 20


@pytest.mark.parametrize(("lies_about", "gets", "ended"), [(1, 1, 0), (10, 10, 0), (11, 0, 11)])
def test_a_few_failures_on_a_page_are_asked_for_by_get_and_many_are_believed(lies_about, gets, ended):
    run = Run(Service())
    keys = waits(run, 30, ends_at=1e9)
    row_of = run.service._row

    def page(query, now):
        shown = [row_of(batch, now) for batch in run.service.batches.values()]
        for row in shown[: lies_about if now > 8 else 0]:
            row.status = "FAILED"
        return SimpleNamespace(items=shown, next_page_token=None)

    run.service._page = page  # type: ignore[method-assign]
    run.until(14.0)

    assert len(run.found) == ended
    assert [ask.key for _, ask in run.asked if ask.walk is None] == keys[:gets]


def test_absence_from_a_list_of_what_runs_settles_nothing():
    run = Run(Service())
    run.schedule.costs.pages[Kind.ENDED] = 500.0  # so what still runs is asked for
    run.schedule.costs.pages[Kind.ALL] = 500.0
    waits(run, 40, ends_at=1e9)
    run.until(12.0)
    kinds = {ask.sweep.kind for _, ask in run.asked if ask.sweep is not None}
    run.service.hidden = frozenset(run.service.batches)
    run.until(60.0)

    assert kinds == {Kind.RUNNING}
    assert not run.found
    assert run.gets > 40


def test_a_list_that_lags_delays_and_loses_nothing():
    run = Run(Service(lag=20.0))
    waits(run, 40, ends_at=50.0)
    run.until(80.0)

    assert len(run.found) == 40


@pytest.mark.parametrize("trouble", ["lists", "gets", "both"])
@pytest.mark.parametrize("count", [1, 20, 400])
def test_an_outage_is_waited_out_with_less_than_a_request_a_second(count, trouble):
    def fails(ask, now):
        hit = trouble == "both" or (trouble == "lists") == (ask.walk is not None)
        return OUTAGE if hit and 20.0 <= now < 140.0 else None

    run = Run(Service(fails=fails))
    waits(run, count, ends_at=60.0)
    run.until(140.0)
    during = sum(20.0 <= at < 140.0 and bool(fails(ask, at)) for at, ask in run.asked)
    run.until(140.0 + 75.0)

    assert during <= 120
    assert len(run.found) == count
    assert reasons(run) == {Reason.COMPLETED}


def test_what_hangs_slows_itself_alone():
    def seconds(ask):
        return 1000.0 if ask.key in {f"bat-{number}" for number in range(4)} else 0.05

    run = Run(Service(hidden=frozenset(f"bat-{number}" for number in range(20)), seconds=seconds))
    waits(run, 20, ends_at=30.0)
    run.until(30.0 + 12.0)

    assert set(run.found) == {f"bat-{number}" for number in range(4, 20)}


def test_a_list_that_hangs_gives_way_to_gets():
    run = Run(Service(seconds=lambda ask: 1000.0 if ask.walk is not None else 0.05))
    waits(run, 20, ends_at=30.0)
    run.until(30.0 + 10.0)

    assert len(run.found) == 20
    assert run.lists <= 6


def test_a_list_that_hangs_while_gets_fail_for_a_moment_takes_no_place_of_theirs():
    run = Run(
        Service(
            seconds=lambda ask: 1000.0 if ask.walk is not None else 0.05,
            fails=lambda ask, now: OUTAGE if ask.walk is None and now < 20.0 else None,
        )
    )
    waits(run, 20, ends_at=25.0)
    run.until(80.0)

    assert len(run.found) == 20


def test_a_list_without_an_end_is_left_and_its_waits_are_asked_for_by_get():
    class Endless(Service):
        def _page(self, query, now):
            page = super()._page(query, now)
            page.next_page_token = "again"
            return page

    run = Run(Endless())
    waits(run, 600, ends_at=30.0)
    run.until(60.0)

    assert len(run.found) == 600
    assert run.lists < 60


def test_a_refused_page_size_is_asked_for_once():
    def fails(ask, now):
        size = dict(ask.call.query).get("page_size")
        return e.RefusedError("422", status_code=422, from_api=True) if size == "1000" else None

    run = Run(Service(fails=fails))
    waits(run, 1500, ends_at=30.0)
    run.until(50.0)
    refused = sum("1000" in dict(ask.call.query).values() for _, ask in run.asked)

    assert len(run.found) == 1500
    assert 1 <= refused <= 6
    assert run.gets == 0


def test_a_429_on_one_request_slows_all_of_them_for_two_minutes_at_most():
    refused = e.RateLimitedError("429", status_code=429, retry_after=86400.0, from_api=True)
    run = Run(Service(fails=lambda ask, now: refused if 9.0 < now < 12.0 else None))
    waits(run, 40, ends_at=20.0)
    run.until(11.0 + 121.0)
    quiet = [at for at, _ in run.asked if 12.5 < at < 125.0]

    assert quiet == []
    run.until(160.0)
    assert len(run.found) == 40


def test_a_gateways_word_ends_no_wait_and_the_apis_own_only_when_repeated():
    gateway = e.NotFoundError("<html>", status_code=404)
    api = e.NotFoundError("gone", status_code=404, from_api=True)
    run = Run(Service(fails=lambda ask, now: gateway if now < 300.0 else None if now < 400.0 else api))
    waits(run, 3, ends_at=1e9)
    run.until(399.0)
    assert not run.found
    run.until(401.0)
    assert not run.found

    run.until(450.0)
    assert reasons(run) == {Reason.NOT_FOUND}


def test_a_refused_key_is_given_a_minute_and_then_ends_every_wait():
    refused = e.AuthenticationError("401", status_code=401, from_api=True)
    for count in (1, 50):
        run = Run(Service(fails=lambda ask, now: refused if 20.0 < now < 60.0 else None))
        waits(run, count, ends_at=200.0)
        run.until(300.0)
        assert reasons(run) == {Reason.COMPLETED}

        run = Run(Service(fails=lambda ask, now: refused if now > 20.0 else None))
        waits(run, count, ends_at=200.0)
        run.until(79.0)
        assert not run.found
        run.until(200.0)
        assert len(run.found) == count
        assert reasons(run) == {Reason.NOT_AUTHENTICATED}
        assert len(run.asked) < 40


def test_a_key_that_was_accepted_again_meanwhile_is_given_a_minute_anew():
    refused = e.AuthenticationError("401", status_code=401, from_api=True)
    refusals_at = [20.0, 90.0, 160.0]

    def refusals(now):  # one GET at a time: all that is asked for by list meanwhile is answered
        return [refusals_at.pop(0)] if refusals_at and now > refusals_at[0] else []

    run = Run(Service(fails=lambda ask, now: refused if ask.key and refusals(now) else None))
    waits(run, 450, ends_at=200.0)
    run.service.add("bat-alone", 0.0, 200.0)
    run.wait("bat-alone", begins=0.0, interval=7.0, created_at=0.0)
    run.until(300.0)

    assert (refusals_at, reasons(run), len(run.found)) == ([], {Reason.COMPLETED}, 451)


def test_the_deadline_ends_a_wait_whatever_is_under_way():
    run = Run(Service(seconds=lambda ask: 1000.0))
    waits(run, 1, ends_at=1e9, deadline=31.0)
    run.until(31.0)

    assert run.found["bat-0"] == (31.0, Reason.TIMED_OUT)


def test_two_waits_for_one_batch_are_one_request_and_both_end():
    service = Service()
    service.add("bat-0", 0.0, 20.0)
    ends: list[Update] = []
    run = Run(service)
    run._take = lambda updates: ends.extend(u for u in updates if u.result)  # type: ignore[method-assign]
    for _ in range(2):
        run.wait("bat-0", begins=0.01, created_at=0.0)
    run.until(40.0)

    assert len(ends) == 2
    assert run.gets <= 6


def test_a_wait_that_leaves_is_not_asked_for_again():
    run = Run(Service())
    waits(run, 3, ends_at=1e9)
    run.until(20.0)
    for entries in list(run.schedule.entries.values()):
        run.schedule.remove(entries[0])
    asked = len(run.asked)
    run.until(500.0)

    assert len(run.asked) == asked
    assert not run.schedule.entries


def test_a_new_status_is_told_once():
    run = Run(Service())
    waits(run, 1, ends_at=60.0)
    run.until(100.0)

    assert run.statuses == [("bat-0", "RUNNING")]


def test_gaps_grow_with_age_on_one_grid():
    run = Run(Service())
    for number in range(20):
        run.service.add(f"bat-{number}", 0.0, 1e9)
        run.wait(f"bat-{number}", begins=1.0 + number * 4.0, interval=30.0, created_at=0.0)
    run.until(600.0)
    late = sorted({round(at, 1) for at, ask in run.asked if at > 300.0 and ask.walk and ask.walk.pages <= 1})

    assert len(late) <= 11  # every thirty seconds, all of them together


@pytest.mark.parametrize("known", [True, False])
def test_clocks_of_service_and_triggerer_need_not_agree(known):
    run = Run(Service())
    for number in range(40):
        run.service.add(f"bat-{number}", -3000.0 + number, 30.0)  # the service's clock is far behind
        run.wait(f"bat-{number}", begins=0.01, created_at=-3000.0 + number if known else None)
    run.until(36.0)

    assert len(run.found) == 40
