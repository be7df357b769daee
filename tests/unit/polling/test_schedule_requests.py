"""
Which requests a schedule makes, tick by tick: whole histories against a simulated service.

A history is a list of ``(ticks, requests)``: in that many ticks of five seconds in a row, these requests each.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.schedule import TOGETHER
from airflow_provider_llamabatch.polling.sources import Jobs
from airflow_provider_llamabatch.polling.sweep import Kind
from tests.support.schedule_histories import ends, history, some, times, waiting
from tests.support.simulated_service import Run, Service

BEGAN = 0.01
FIRST_TICK = BEGAN + TOGETHER
OUTAGE = e.UnavailableError("503", status_code=503)


def test_few_waits_are_looked_for_on_one_page_a_tick():
    run = waiting(40, Service())
    ends(run, some(40), 42.0)
    run.until(60.0)

    assert history(run) == [(10, "1 all")]
    assert {round(at, 2) for at, _ in run.found.values()} == {45.26}


def test_many_waits_are_looked_for_among_what_has_ended():
    run = waiting(450, Service())
    ends(run, some(450), 17.0)
    run.until(60.0)

    assert history(run) == [(4, "3 ended"), (1, "7 ended")]


def test_lists_that_show_nothing_of_ours_are_left_out_twice_as_long_each_time():
    run = waiting(40, Service(hidden=some(40)))
    run.until(700.0)

    breaks = (2, 4, 8, 16, 32)  # ticks
    told = [entry for ticks in breaks for entry in ((1, "1 all, 40 get"), (ticks, "40 get"))]
    assert history(run) == [*told, (1, "1 all, 40 get"), (64, "40 get"), (1, "1 all, 40 get"), (7, "40 get")]


def test_a_break_from_lists_lasts_half_an_hour_at_most():
    run = waiting(8, Service(hidden=some(8)), interval=600.0)
    run.until(20_000.0)
    asked = times(run, lists=True)

    assert 1800.0 <= max(later - earlier for earlier, later in pairwise(asked)) <= 2400.0


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (1, [(12, "1 all, 1 get")]),
        (20, [(12, "1 all, 20 get")]),
        (
            21,
            [
                (1, "1 all, 21 get"),
                (2, "40 get"),
                (1, "1 all, 21 get"),
                (4, "40 get"),
                (1, "1 all, 21 get"),
                (3, "40 get"),
            ],
        ),
    ],
)
def test_lists_are_left_out_where_they_show_less_than_half(missing, told):
    run = waiting(40, Service(hidden=some(missing)))
    run.until(59.0)

    assert history(run) == told


def test_what_a_list_does_not_show_is_expected_there_ever_more_rarely():
    run = waiting(40, Service(hidden=some(1)))
    run.until(1000.0)
    behind_a_list = [round((at - 0.26) / 5) for at in times(run, lists=False) if at % 5 > 0.24]

    assert behind_a_list == [
        0,
        3,
        8,
        17,
        34,
        67,
        132,
        197,
    ]  # the list first, then its GET; else the GET alone


def test_what_a_list_shows_again_is_expected_there_from_then_on():
    run = waiting(40, Service(hidden=some(1)))
    run.until(12.0)
    run.service.hidden = frozenset()
    run.until(59.0)

    assert history(run) == [(3, "1 all, 1 get"), (9, "1 all")]


def test_a_list_that_lags_is_used_again_once_it_shows_the_waits():
    run = waiting(40, Service(lag=20.0))
    run.until(100.0)

    assert history(run) == [
        (1, "1 all, 40 get"),
        (2, "40 get"),
        (1, "1 all, 40 get"),
        (4, "40 get"),
        (12, "1 all"),
    ]


def test_a_list_that_fails_is_tried_ever_more_rarely_and_its_waits_are_asked_for_by_get():
    run = waiting(12, Service(fails=lambda ask, now: OUTAGE if ask.walk and now > 4.0 else None))
    run.until(300.0)

    asked = times(run, lists=True)
    assert asked == [0.21, 5.21, 10.21, 15.21, 20.21, 30.21, 45.21, 70.21, 120.21, 175.21, 210.21, 245.21]
    assert history(run)[1] == (4, "1 all, 12 get")
    assert run.gets == 59 * 12


def test_a_get_that_fails_is_sent_ever_more_rarely():
    run = waiting(1, Service(fails=lambda ask, now: OUTAGE if now > 4.0 else None))
    run.until(120.0)

    assert times(run, lists=False) == [0.21, 5.21, 6.5, 8.0, 11.0, 18.5, 27.0, 50.0, 80.5]


def test_an_outage_leaves_a_request_of_each_wait_now_and_then():
    run = waiting(12, Service(fails=lambda ask, now: OUTAGE if now > 4.0 else None))
    run.until(300.0)

    assert times(run, lists=False)[:9] == [5.26] * 4 + [6.0] + [6.23] * 4
    assert run.gets <= 12 * 10


def test_a_list_that_hangs_is_left_after_two_seconds_and_tried_ever_more_rarely():
    run = waiting(20, Service(seconds=lambda ask: 1000.0 if ask.walk else 0.05))
    run.until(200.0)

    assert times(run, lists=True) == [0.21, 5.21, 10.21, 20.21, 30.21, 45.21, 75.21, 130.21, 190.21]
    assert times(run, lists=False)[:5] == [2.21] * 4 + [2.26]


def test_a_process_that_stood_still_reads_on_what_it_had_asked_for():
    run = waiting(50, Service(seconds=lambda ask: 1.0))
    run.until(0.5)
    assert (run.lists > 0, run.gets) == (True, 0)

    run.now = 30.0
    run.schedule.plan(run.now)  # the timer comes before what the socket has
    run.until(33.0)
    assert run.gets == 0


def test_a_list_that_waits_for_its_first_turn_does_not_stand_still():
    run = waiting(50, Service(seconds=lambda ask: 0.5))
    run.schedule.pace.next_at = float("inf")
    run.at(2.2, lambda: setattr(run.schedule.pace, "next_at", 2.2))  # the connection could be read
    run.until(6.0)

    assert run.asked[0][0] == 2.2
    assert (run.lists > 0, run.gets) == (True, 0)


def test_six_list_pages_are_under_way_at_once_and_no_more():
    run = Run(Service(seconds=lambda ask: 1.5), Jobs("parse_v2"))
    for number in range(1000):
        run.wait(f"pjb-{number}", begins=BEGAN)
    run.at(0.5, lambda: None)  # it is planned once more
    run.until(1.0)

    assert (run.lists, run.gets) == (6, 0)


def test_gets_that_hang_give_their_places_to_others_sixteen_times():
    run = waiting(40, Service(hidden=some(40), seconds=lambda ask: 0.05 if ask.walk else 1000.0))
    run.until(60.0)

    assert times(run, lists=False) == [0.26] * 4 + [2.26] * 4 + [4.26] * 4 + [6.26] * 4


def running_is_cheapest(run: Run, ended_pages: float) -> None:
    run.schedule.costs.pages.update({Kind.ENDED: ended_pages, Kind.ALL: 500.0})


def test_what_is_missing_among_what_runs_is_asked_for_by_get_where_it_is_little():
    run = waiting(40, Service())
    running_is_cheapest(run, 500.0)
    ends(run, some(5), 12.0)
    run.until(59.0)

    assert history(run) == [(3, "3 running"), (1, "5 get, 3 running"), (8, "3 running")]
    assert set(run.found) == some(5)


def test_what_is_missing_among_what_runs_is_looked_for_among_what_has_ended_where_it_is_much():
    run = waiting(40, Service())
    running_is_cheapest(run, 5.0)
    ends(run, some(25), 12.0)
    run.until(59.0)

    assert history(run) == [(3, "3 running"), (1, "3 ended, 3 running"), (8, "3 ended")]
    assert set(run.found) == some(25)


def test_a_429_of_a_list_pauses_gets_as_well_and_that_of_a_get_lists():
    limited = e.RateLimitedError("429", status_code=429, retry_after=40.0, from_api=True)
    for lists in (True, False):
        hits = [lists]

        def fails(ask, now, hits=hits, lists=lists):
            if now > 4.0 and hits and (ask.walk is not None) is lists:
                hits.clear()
                return limited
            return None

        run = waiting(12, Service(fails=fails, hidden=some(2)))
        run.until(80.0)
        asked = sorted({round(at, 2) for at, _ in run.asked if at > 5.3})

        assert asked[0] >= 45.2
        assert run.schedule.failures == 0


def test_batches_that_are_never_answered_for_slow_no_other():
    bad = some(20)

    def fails(ask, now):
        return OUTAGE if ask.walk is not None or ask.key in bad else None

    run = waiting(24, Service(fails=fails))
    for key in set(run.service.batches) - bad:
        run.service.add(key, run.service.batches[key].created_at, 300.0)
    run.until(305.6)

    assert set(run.found) == set(run.service.batches) - bad
    assert len([ask for at, ask in run.asked if ask.key in bad]) <= 12 * 20


def test_a_batch_that_is_not_there_slows_no_other():
    run = waiting(3, Service(hidden=some(3)))
    del run.service.batches["bat-0"]
    run.until(59.0)

    assert run.schedule.failures == 0
    assert run.gets >= 35


@pytest.mark.parametrize(("known", "alone"), [(True, "1 all"), (False, "1 all")])
def test_the_age_of_a_wait_is_learnt_from_the_first_row_that_shows_it(known, alone):
    run = Run(Service())
    for number in range(10):
        run.service.add(f"bat-{number}", number * 1.5, 1e9)
        run.wait(f"bat-{number}", begins=20.0, created_at=number * 1.5 if known else None)
    run.until(59.0)
    last = dict(run.asked[-1][1].call.query)
    first = dict(run.asked[0][1].call.query)

    assert ("created_at_on_or_before" in first) is known
    assert last["created_at_on_or_after"] < last["created_at_on_or_before"]
    assert [requests for _, requests in history(run) if requests] == [alone]


def test_two_waits_for_one_batch_are_one_get_also_while_one_of_them_is_under_way():
    run = Run(Service(seconds=lambda ask: 9.0))
    run.service.add("bat-0", 0.0, 1e9)
    run.wait("bat-0", begins=0.01, created_at=0.0)
    run.wait("bat-0", begins=2.01, created_at=0.0)
    run.until(9.0)

    assert len(run.asked) == 1


@pytest.mark.parametrize(
    ("count", "sizes"), [(40, {"100"}), (999, {"100"}), (1000, {"1000"}), (1500, {"1000"})]
)
def test_large_pages_are_asked_for_where_as_many_wait(count, sizes):
    run = waiting(count, Service())
    run.until(1.0)
    asked = {
        dict(ask.call.query)["page_size"]
        for _, ask in run.asked
        if ask.sweep and ask.sweep.kind is not Kind.RECHECK
    }

    assert asked == sizes


def test_a_refused_page_size_is_not_asked_for_again_and_a_refused_list_is_left():
    refused = e.RefusedError("422", status_code=422, from_api=True)
    run = waiting(1000, Service(fails=lambda ask, now: refused if ask.walk else None))
    run.until(12.0)
    sizes = [dict(ask.call.query).get("page_size") for _, ask in run.asked if ask.walk]

    assert sizes[:4] == ["1000"] * 3 + ["100"]
    assert sizes[-1] is None
    assert run.schedule.page_sizes == ()
    assert run.gets > 0


def test_waits_of_a_refused_key_end_together_and_are_told_why():
    refused = e.AuthenticationError("401", status_code=401, from_api=True)
    run = waiting(12, Service(fails=lambda ask, now: refused))
    run.until(120.0)

    assert {reason for _, reason in run.found.values()} == {Reason.NOT_AUTHENTICATED}
    assert len({at for at, _ in run.found.values()}) == 1
    assert not run.schedule.entries


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        e.UnavailableError("503", status_code=503, retry_after=40.0),
        e.AuthenticationError("401", status_code=401, retry_after=40.0),
        e.RateLimitedError("429", status_code=429, retry_after=40.0),
    ],
    ids=str,
)
def test_requests_of_a_kind_pause_for_as_long_as_the_service_asks(lists, error):
    hits: list[float] = []

    def fails(ask, now):
        if now > 4.0 and not hits and (ask.walk is not None) is lists:
            hits.append(now)
            return error
        return None

    run = waiting(12, Service(fails=fails, hidden=some(1)))
    run.until(80.0)
    later = [at for at in times(run, lists=lists) if at > hits[0]]

    assert later[0] - hits[0] == pytest.approx(40.0, abs=5.0)
