"""When waits are looked for on a list of everything, after lists of what has ended have not shown them."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.llamacloud.errors import RefusedError
from airflow_provider_llamabatch.polling.schedule import TOGETHER
from airflow_provider_llamabatch.polling.sweep import Kind
from tests.support.schedule_histories import ends, history, some, waiting
from tests.support.simulated_service import Run, Service

BEGAN = 0.01
FIRST_TICK = BEGAN + TOGETHER


def test_what_has_just_begun_is_looked_for_among_all_after_ten_ticks_and_before_twenty_have_passed():
    run = waiting(1000, Service())
    run.until(FIRST_TICK + 20 * 5.0 - 1.0)

    told = [requests for ticks, requests in history(run) for _ in range(ticks)]
    assert told[:11] == ["3 ended"] * 10 + ["3 ended, 6 recheck"]
    assert all(
        entry.recheck_at > 10 * 5.0 + 20 * 5.0
        for entries in run.schedule.entries.values()
        for entry in entries
    )


@pytest.mark.parametrize("count", [450, 1200, 3600])
def test_each_wait_is_looked_for_among_all_once_in_twenty_ticks_a_page_at_a_time(count):
    run = waiting(count, Service())
    run.until(FIRST_TICK + 40 * 5.0 - 1.0)

    told = history(run)
    rechecks = sum(
        ticks * int(part.split()[0])
        for ticks, requests in told
        for part in requests.split(", ")
        if part.endswith("recheck")
    )
    pages = count / 90  # that many waits, and their neighbours, are on one page
    assert pages <= rechecks <= 2.2 * pages


def test_a_recheck_that_shows_mostly_batches_of_others_is_given_up_and_a_quarter_asked_for_by_get():
    service = Service()
    for number in range(3000):
        service.add(f"other-{number}", number * 0.00002, 1e9)
    run = Run(service)
    for number in range(60):
        service.add(f"bat-{number}", number * 0.001, 1e9)
        run.wait(f"bat-{number}", begins=BEGAN, created_at=number * 0.001)
    run.until(FIRST_TICK + 45 * 5.0)

    # the list has thirty pages, of which a recheck reads eight at most
    assert history(run) == [
        (1, "30 all, 2 get"),
        (20, "3 ended"),
        (1, "3 ended, 12 get, 8 recheck"),
        (19, "3 ended"),
        (1, "3 ended, 9 get, 5 recheck"),
        (4, "3 ended"),
    ]


def test_no_recheck_is_made_while_more_waits_end_than_go_on():
    run = waiting(1000, Service())
    ends(run, some(600), 57.0)  # found on the thirteenth tick, when a page's worth would be due
    run.until(75.0)

    assert history(run) == [
        (10, "3 ended"),
        (1, "3 ended, 6 recheck"),
        (1, "3 ended"),
        (1, "8 ended"),
        (1, "3 ended, 1 recheck"),
        (1, "3 ended"),
    ]


class IgnoresRanges(Service):
    """Honours the range of creation times only on lists of a status."""

    def _page(self, query, now):
        if "status" not in query:
            query = {name: value for name, value in query.items() if not name.startswith("created_at")}
        return super()._page(query, now)


def test_a_recheck_that_shows_that_ranges_are_ignored_begins_anew_at_once():
    service = IgnoresRanges()
    service.add("younger", 40.0, 1e9)
    run = waiting(450, service)
    run.until(FIRST_TICK + 11 * 5.0 - 1.0)

    # its first page shows what is younger than all that is waited for; the whole list has five
    assert history(run) == [(10, "3 ended"), (1, "3 ended, 6 recheck")]


def test_a_recheck_that_learns_of_the_service_begins_anew_at_once():
    def refuse(ask, now):
        is_recheck = ask.sweep is not None and ask.sweep.kind is Kind.RECHECK
        return RefusedError("400", status_code=400) if is_recheck and ask.walk.page_size else None

    run = waiting(450, Service(fails=refuse))
    run.until(FIRST_TICK + 11 * 5.0 - 1.0)

    # a page of a hundred is refused, ten of twenty show the two hundred that are due
    assert history(run) == [(10, "3 ended"), (1, "3 ended, 11 recheck")]


def test_what_falls_due_while_a_list_is_read_is_not_forgotten_when_that_begins_anew():
    def refuse(ask, now):
        return RefusedError("400", status_code=400) if ask.walk and ask.walk.page_size else None

    run = waiting(40, Service(fails=refuse, seconds=lambda ask: 1.0))
    run.service.add("meanwhile", 0.0, 1.0)
    run.wait("meanwhile", begins=BEGAN, first_poll=FIRST_TICK + 0.5, interval=0.25, created_at=0.0)
    run.until(FIRST_TICK + 10.0)

    assert "meanwhile" in run.found
