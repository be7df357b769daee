"""Single steps of a schedule at the very bounds of its rules: moments, numbers of waits, shares."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.polling.entries import Entry, Phase
from airflow_provider_llamabatch.polling.schedule import FROZEN, Schedule
from airflow_provider_llamabatch.polling.sources import Jobs
from airflow_provider_llamabatch.polling.sweep import Kind, Sweep
from tests.support.schedule_steps import DOWN, FIRST, a_schedule, an_entry, page, row, swept

if TYPE_CHECKING:
    from airflow_provider_llamabatch.polling.plan import Ask


def kinds(asks: list[Ask]) -> set[str]:
    return {ask.sweep.kind.value if ask.sweep else "get" for ask in asks}


@pytest.mark.parametrize("first_poll", [3.0, 10.0, 12.3])
@pytest.mark.parametrize("interval", [5.0, 30.0])
def test_the_first_poll_of_the_first_wait_comes_when_it_may(first_poll, interval):
    schedule = a_schedule()

    assert schedule.add(an_entry(first_poll=first_poll, poll_interval=interval), 0.0) == first_poll
    assert schedule.plan(first_poll - 0.001).asks == []
    assert len(schedule.plan(first_poll).asks) == 1


@pytest.mark.parametrize(("too_early", "asked"), [(0.0, {"all"}), (0.001, {"get"})])
@pytest.mark.parametrize("what", ["no_list_before", "relist_at", "paused_until"])
def test_lists_are_read_again_from_the_very_moment_that_their_break_ends(what, too_early, asked):
    schedule, entries = a_schedule(), [an_entry(f"bat-{number}") for number in range(4)]
    for entry in entries:
        schedule.add(entry, 0.0)
    moment = FIRST + too_early
    if what == "no_list_before":
        schedule.no_list_before = moment
    elif what == "paused_until":
        schedule.lanes.lists.health.paused_until = moment
    else:
        for entry in entries:
            entry.relist_at = moment

    assert kinds(schedule.plan(FIRST).asks) == asked


@pytest.mark.parametrize(
    ("status", "seconds", "phase"),
    [
        ("FAILED", 3.0, Phase.SCHEDULED),
        ("FAILED", 4.0, Phase.QUEUED),  # a GET has to agree
        ("COMPLETED", 3.0, Phase.SCHEDULED),
        ("COMPLETED", 4.0, Phase.OVER),
    ],
)
def test_a_page_that_comes_at_the_moment_of_a_first_poll_counts_for_it(status, seconds, phase):
    schedule, _, (ask,) = swept(6)
    late = an_entry("late", first_poll=4.0)
    schedule.add(late, FIRST)
    schedule.on_page(ask, page(row("late", status)), seconds)

    assert late.phase is phase


@pytest.mark.parametrize(("unseen", "asked"), [(3, {"get"}), (4, {"ended"})])
def test_what_no_longer_runs_is_asked_for_by_get_as_long_as_lists_take_no_fewer_requests(unseen, asked):
    schedule, asks = running_is_read(unseen)
    answer(schedule, asks, shown=301 - unseen)

    assert kinds(schedule.plan(FIRST + 2.0).asks) == asked


def test_lists_that_follow_others_may_have_to_wait_for_their_turn():
    schedule, asks = running_is_read(300)
    answer(schedule, asks, shown=1)
    schedule.pace.next_at = FIRST + 3.0
    plan = schedule.plan(FIRST + 2.0)

    assert (plan.asks, plan.wake_at) == ([], FIRST + 3.0)
    assert schedule.sweep is not None
    assert kinds(schedule.plan(FIRST + 3.0).asks) == {"ended"}


def running_is_read(unseen: int) -> tuple[Schedule, list[Ask]]:
    """Return a schedule that reads lists of what runs, and what it asks; those of what has ended have 3 pages."""
    schedule = a_schedule()
    schedule.costs.pages[Kind.ENDED] = 90.0
    for number in range(301):
        schedule.add(an_entry(f"bat-{number}"), 0.0)
    asks = schedule.plan(FIRST).asks
    assert kinds(asks) == {"running"}
    schedule.costs.pages[Kind.ENDED] = 3.0
    return schedule, asks


def answer(schedule: Schedule, asks: list[Ask], *, shown: int) -> None:
    """Answer lists of what runs with so many of the waits."""
    for ask in asks:
        is_running = ask.walk is not None and ask.walk.query.status == "RUNNING"
        rows = [row(f"bat-{number}") for number in range(shown)] if is_running else []
        schedule.on_page(ask, page(*rows), FIRST + 1.0)


def test_gets_count_as_failing_while_one_that_failed_was_not_answered_for_since():
    schedule, entries, (ask,) = swept(6)
    schedule.on_error(ask, DOWN, FIRST)
    for get in schedule.plan(FIRST).asks:
        schedule.on_error(get, DOWN, FIRST)
    for later in range(10, 60, 10):
        for page_ask in schedule.plan(FIRST + later).asks:
            if page_ask.sweep is not None:
                rows = [row(entry.state.key) for entry in entries[1:]]
                schedule.on_page(page_ask, page(*rows), FIRST + later)
        schedule.plan(FIRST + later)

    assert [bool(entry.state.failures) for entry in entries] == [True, *[False] * 5]
    assert schedule.failures == schedule.lanes.gets.health.failures == 1


@pytest.mark.parametrize(
    ("known", "shown", "learnt"),
    [(None, None, None), (None, 0.0, 0.0), (-9.0, None, -9.0), (-9.0, 0.0, -9.0)],
)
def test_a_time_of_creation_is_taken_from_the_first_that_knows_it(known, shown, learnt):
    schedule = a_schedule()
    entry = Entry(an_entry().state, created_at=known, listed_from=-3600.0 if known is None else known)
    schedule.add(entry, 0.0)
    (ask,) = schedule.plan(FIRST).asks
    one = row("bat-1")
    if shown is None:
        one.created_at = None
    schedule.on_item(ask, one, FIRST)

    assert (entry.created_at, entry.listed_from) == (learnt, -3600.0 if learnt is None else learnt)


def test_a_wait_that_failed_is_told_what_the_service_says_of_it():
    schedule = Schedule(Jobs("parse_v2"), origin=0.0, random=lambda: 0.5)
    schedule.add(an_entry("pjb-1"), 0.0)
    (ask,) = schedule.plan(FIRST).asks
    job = SimpleNamespace(id="pjb-1", status="FAILED", error_message="PDF_IS_BROKEN")
    [update] = schedule.on_item(ask, job, FIRST)

    assert update.result is not None
    assert (update.result.reason, update.result.message) == (Reason.FAILED, "PDF_IS_BROKEN")


def rechecked(schedule: Schedule, asks: list[Ask]) -> list[Entry]:
    """Return what is looked for on a list of everything once lists of what has ended have shown nothing."""
    for ask in asks:
        schedule.on_page(ask, page(), FIRST)
    schedule.plan(FIRST)
    if schedule.sweep is None:
        return []
    assert schedule.sweep.kind is Kind.RECHECK
    return schedule.sweep.entries


@pytest.mark.parametrize(("undated", "looked_for"), [(90, 0), (91, 91)])
def test_waits_of_unknown_age_are_looked_for_at_once_where_they_are_more_than_a_share(undated, looked_for):
    schedule, entries, asks = swept(301)
    for entry in entries[:undated]:
        entry.created_at, entry.recheck_at = None, 0.0

    assert rechecked(schedule, asks) == entries[:looked_for]
    assert schedule.recheck_share == (0.0 if looked_for else pytest.approx(301 / 20))


def test_of_the_waits_that_are_looked_for_the_oldest_come_first():
    schedule = a_schedule()
    entries = [an_entry(f"bat-{number}", created_at=-float(number)) for number in range(301)]
    for entry in entries:
        schedule.add(entry, 0.0)
        entry.recheck_at = FIRST
    asks = schedule.plan(FIRST).asks
    schedule.recheck_share = 90.0

    assert rechecked(schedule, asks) == entries[:-91:-1]


def others(count: int) -> list[Any]:
    """Return rows of batches of others that have completed, the newest first."""
    return [row(f"other-{number}", "COMPLETED", created_at=2999.0 - number) for number in range(count)]


@pytest.mark.parametrize(
    ("first_page", "second_page", "honoured", "lists"),
    [
        (100, 0, True, 9),
        (100, 0, False, 3),  # nothing is read in ranges where the service does not heed them
        (10, 100, True, 3),
        (10, 100, False, 3),
    ],
)
def test_a_list_is_read_on_in_ranges_after_its_first_page_alone(first_page, second_page, honoured, lists):
    schedule = a_schedule()
    for number in range(3000):
        schedule.add(an_entry(f"bat-{number}", created_at=float(number)), 0.0)
    ask = next(ask for ask in schedule.plan(FIRST).asks if ask.walk and ask.walk.query.status == "COMPLETED")
    sweep, counted = ask.sweep, []
    assert isinstance(sweep, Sweep)
    schedule.costs.range_is_honoured = honoured
    for number, rows in enumerate((first_page, second_page)):
        schedule.on_page(ask, page(*others(rows), token=f"page-{number}"), FIRST)
        counted.append(len(sweep.walks))
        [ask, *_] = schedule.plan(FIRST).asks

    assert counted == [lists, lists]


def test_a_list_that_stands_still_is_given_up_when_the_schedule_wanted_to_be_planned_for_it():
    schedule, entries, _ = swept(6)
    plan = schedule.plan(FIRST + 1.0)
    assert (plan.asks, plan.wake_at) == ([], FIRST + 2.0)
    schedule.plan(plan.wake_at)

    assert schedule.sweep is None
    assert {entry.phase for entry in entries} == {Phase.ASKED, Phase.QUEUED}


def test_lists_of_what_has_ended_that_have_too_many_pages_leave_their_waits_to_gets():
    schedule, entries, asks = swept(301)
    assert schedule.sweep is not None
    schedule.sweep.max_pages = 3
    for ask in asks:
        schedule.on_page(ask, page(token="2"), FIRST)
    schedule.plan(FIRST)

    assert schedule.sweep is None
    assert {entry.phase for entry in entries} == {Phase.ASKED, Phase.QUEUED}


@pytest.mark.parametrize(("seconds", "goes_on"), [(FROZEN, False), (FROZEN + 0.001, True)])
def test_a_process_that_is_a_little_late_has_not_stood_still(seconds, goes_on):
    schedule, _, _ = swept(6)
    wake_at = schedule.plan(FIRST + 1.0).wake_at
    schedule.plan(wake_at + seconds)

    assert (schedule.sweep is not None) is goes_on


def test_waits_that_come_and_go_leave_nothing_behind():
    schedule = a_schedule()
    for number in range(300):
        entry = an_entry(f"bat-{number}")
        schedule.add(entry, 0.0)
        schedule.remove(entry)

    assert not schedule.entries
    assert len(schedule._agenda._deadlines) <= 70
