"""Which lists are read for a set of waits: tables of costs and ranges."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.llamacloud.errors import InvalidResponseError
from airflow_provider_llamabatch.polling.entries import Entry
from airflow_provider_llamabatch.polling.pace import Pace
from airflow_provider_llamabatch.polling.sources import Batches, Jobs, Query, Row
from airflow_provider_llamabatch.polling.sweep import Costs, Kind, Sweep, begin, split

SOURCE = Batches()
T0 = 1_800_000_000.5  # not a whole second


def entries(
    count: int, *, known: bool = True, start: float = T0, step: float = 1.0, prefix: str = "bat"
) -> list[Entry]:
    made = [start + number * step for number in range(count)]
    return [
        Entry(
            PollState(f"{prefix}-{number}", 1e9, 30.0, since=0.0, next_poll=0.0),
            created_at=time if known else None,
            listed_from=time,
        )
        for number, time in enumerate(made)
    ]


def a_sweep(kind: Kind = Kind.ALL, count: int = 600) -> Sweep:
    return begin(kind, entries(count), SOURCE, None, 0.0)


def queries(sweep: Sweep) -> list[Query]:
    return [walk.query for walk in sweep.walks]


ENDED, RUNNING, ALL = Kind.ENDED, Kind.RUNNING, Kind.ALL


@pytest.mark.parametrize(
    ("waits", "shown", "pages", "ended_per_sweep", "chosen"),
    [
        (1, 1, {}, 0.0, Kind.GET),
        (2, 2, {}, 0.0, ALL),
        (100, 100, {}, 0.0, ALL),
        (100, 101, {}, 0.0, ALL),
        (400, 300, {}, 0.0, ALL),
        (400, 301, {}, 0.0, ENDED),  # a fourth page would cost more than three lists of what has ended
        (400, 400, {}, 0.0, ENDED),
        (2, 400, {}, 0.0, Kind.GET),
        (3, 400, {}, 0.0, Kind.GET),  # the same number: without the doubt that a list brings
        (4, 400, {}, 0.0, ENDED),
        # what lists have cost
        (50, 50, {ENDED: 10.0}, 0.0, RUNNING),
        (50, 50, {ENDED: 10.0, RUNNING: 40.0}, 0.0, ALL),
        (50, 50, {ENDED: 10.0, RUNNING: 40.0, ALL: 40.0}, 0.0, ENDED),
        (50, 50, {ENDED: 100.0, RUNNING: 100.0, ALL: 100.0}, 0.0, Kind.GET),
        (50, 50, {ALL: 2.5}, 0.0, ALL),
        (50, 50, {ALL: 4.0}, 0.0, ENDED),
        (50, 50, {ENDED: 1.0, ALL: 2.0}, 0.0, ALL),
        # what is missing on a list of what runs is asked for further, by GET or on the lists of what has ended
        (50, 50, {ENDED: 10.0, ALL: 9.0}, 4.0, RUNNING),
        (50, 50, {ENDED: 10.0, ALL: 9.0}, 7.0, ALL),
        (500, 500, {ENDED: 20.0, ALL: 40.0}, 11.0, RUNNING),
        (500, 500, {ENDED: 20.0, ALL: 40.0}, 13.0, ENDED),
        (500, 500, {ENDED: 9.0, ALL: 40.0}, 3.0, ENDED),
        # a list of what runs has no parts of a page, and a second page from 101 on
        (50, 50, {ENDED: 5.5}, 0.0, RUNNING),
        (101, 101, {ENDED: 4.75}, 0.0, ALL),
    ],
)
def test_the_cheapest_way_is_taken(waits, shown, pages, ended_per_sweep, chosen):
    costs = Costs({**pages}, ended_per_sweep=ended_per_sweep)

    assert costs.choose(waits, shown, SOURCE) is chosen


@pytest.mark.parametrize(
    ("rows_per_wait", "chosen"), [(1.0, RUNNING), (2.0, RUNNING), (2.1, ALL), (10.0, ALL)]
)
def test_batches_of_others_that_run_make_a_list_of_what_runs_dearer(rows_per_wait, chosen):
    costs = Costs({ENDED: 5.5}, rows_per_wait=rows_per_wait)

    assert costs.choose(50, 50, SOURCE) is chosen


@pytest.mark.parametrize(
    ("rows", "waits", "per_wait"), [(12, 4, 3.0), (12, 1, 12.0), (12, 0, 12.0), (0, 0, 7.0)]
)
def test_how_many_others_run_is_learnt_from_a_page_that_shows_what_runs(rows, waits, per_wait):
    costs = Costs(rows_per_wait=7.0)
    costs.on_running(rows, waits)

    assert costs.rows_per_wait == per_wait


@pytest.mark.parametrize(("under_way", "given_up_at"), [(0, 102.0), (1, 7.0)])
def test_a_sweep_that_waits_for_its_turn_does_not_stand_still(under_way, given_up_at):
    sweep = begin(ALL, entries(5), SOURCE, None, 5.0)
    sweep.under_way = under_way

    assert sweep.stands_still_at(Pace(next_at=100.0)) == given_up_at


def test_the_way_to_ask_for_jobs_is_by_their_ids():
    assert [Costs().choose(waits, waits, Jobs("parse_v2")) for waits in (1, 2, 500)] == [
        Kind.GET,
        Kind.KEYS,
        Kind.KEYS,
    ]


def test_lists_by_status_are_left_where_the_service_ignores_it():
    costs = Costs(status_is_honoured=False)

    assert costs.choose(1000, 1000, SOURCE) is ALL


def test_a_list_that_was_dear_is_tried_again_some_time():
    costs = Costs({ALL: 20.0, ENDED: 20.0, RUNNING: 20.0})
    chosen = [costs.choose(10, 10, SOURCE) for _ in range(14)]

    assert chosen == [Kind.GET] * 13 + [ALL]


@pytest.mark.parametrize(
    ("pages", "left", "read", "known", "learnt"),
    [
        (3, False, True, 8.0, 3.0),
        (3, True, True, 8.0, 3.0),
        (3, False, False, 8.0, 3.0),
        (3, True, False, 8.0, 16.0),  # given up: dearer each time
        (5, True, False, 2.0, 10.0),
        (5, True, False, None, 10.0),
        (0, True, False, None, 0.0),
    ],
)
def test_what_a_sweep_has_cost_is_remembered(pages, left, read, known, learnt):
    costs = Costs({} if known is None else {ALL: known, ENDED: 1.0})
    sweep = a_sweep()
    sweep.pages = pages
    if not left:
        sweep.left.clear()
    if read:
        sweep.waiting.clear()
        sweep.walks[0].following = None
    costs.learn(sweep)

    assert costs.pages[ALL] == learnt


def test_a_sweep_is_over_when_all_is_found_or_all_is_read_or_it_costs_too_much():
    def state(**changed: Any) -> tuple[bool, bool]:
        sweep = a_sweep(count=10)
        for name, value in changed.items():
            setattr(sweep, name, value)
        return sweep.is_read, sweep.is_over

    read = a_sweep(count=10).walks
    read[0].following = None
    assert state() == (False, False)
    assert state(left=set()) == (False, True)
    assert state(waiting=[], under_way=1) == (False, False)
    assert state(waiting=[], under_way=0) == (False, False)  # the next page is not asked for yet
    assert state(walks=read) == (False, False)
    assert state(walks=read, waiting=[]) == (True, True)
    assert state(walks=read, waiting=[], under_way=1) == (False, False)
    assert state(pages=4) == (False, False)
    assert state(pages=5) == (False, True)


@pytest.mark.parametrize(
    ("kind", "count", "lists", "max_pages"),
    [
        (ALL, 1, 1, 3),
        (ALL, 6, 1, 3),
        (ALL, 7, 1, 4),
        (ALL, 601, 1, 301),
        (ENDED, 10, 3, 5),
        (ENDED, 11, 3, 6),
        (RUNNING, 10, 3, 5),
        (Kind.RECHECK, 1, 1, 1),
        (Kind.RECHECK, 8, 1, 1),
        (Kind.RECHECK, 9, 1, 2),
        (Kind.RECHECK, 90, 1, 12),
    ],
)
def test_a_sweep_never_becomes_much_dearer_than_a_get_each(kind, count, lists, max_pages):
    sweep = begin(kind, entries(count), SOURCE, None, 0.0)

    assert (len(sweep.walks), sweep.max_pages) == (lists, max_pages)


def test_waits_for_the_same_batch_are_looked_for_once():
    same = entries(3)
    for entry in same:
        entry.state.key = "the-same"
    sweep = begin(ALL, same, SOURCE, None, 0.0)

    assert (sweep.entries, sweep.left) == (same, {"the-same"})
    assert [walk.query.keys for walk in begin(Kind.KEYS, same, Jobs("parse_v2"), None, 0.0).walks] == [
        ("the-same",)
    ]


def test_lists_go_a_little_further_than_the_waits_they_are_read_for():
    assert queries(begin(ALL, entries(11), SOURCE, None, 0.0)) == [Query(None, T0 - 0.01, T0 + 10.01)]
    whole = entries(11, start=T0 - 0.5)
    assert queries(begin(ALL, whole, SOURCE, None, 0.0)) == [Query(None, T0 - 1.5, T0 + 10.5)]
    mixed = [*whole, *entries(1)]
    assert queries(begin(ALL, mixed, SOURCE, None, 0.0)) == [Query(None, T0 - 0.51, T0 + 9.51)]


def test_lists_for_a_wait_of_unknown_age_have_no_end():
    unknown = [*entries(3), *entries(1, known=False)]

    assert queries(begin(ALL, unknown, SOURCE, None, 0.0)) == [Query(None, T0 - 0.01, None)]


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        (ENDED, ["COMPLETED", "FAILED", "CANCELLED"]),
        (RUNNING, ["PENDING", "THROTTLED", "RUNNING"]),
        (ALL, [None]),
        (Kind.RECHECK, [None]),
    ],
)
def test_what_each_kind_of_sweep_reads(kind, statuses):
    sweep = begin(kind, entries(5), SOURCE, 100, 9.0)

    assert [query.status for query in queries(sweep)] == statuses
    assert {(query.after, query.before) for query in queries(sweep)} == {(T0 - 0.01, T0 + 4.01)}
    assert list(sweep.waiting) == sweep.walks
    assert (sweep.kind, sweep.pages, sweep.under_way, sweep.moved_at) == (kind, 0, 0, 9.0)
    for walk in sweep.walks:
        assert walk.first == walk.following == SOURCE.bulk(walk.query, 100)
        assert (walk.page_size, walk.pages, walk.tokens) == (100, 0, set())


def test_jobs_are_asked_for_by_a_hundred_ids_at_a_time():
    sweep = begin(Kind.KEYS, entries(250, prefix="pjb"), Jobs("parse_v2"), None, 0.0)

    assert [len(query.keys) for query in queries(sweep)] == [100, 100, 50]
    assert [key for query in queries(sweep) for key in query.keys] == [f"pjb-{n}" for n in range(250)]


def test_a_walk_goes_from_page_to_page_and_never_in_a_circle():
    (walk,) = a_sweep().walks
    walk.on_page("t1")
    assert walk.following is not None
    assert dict(walk.following.query)["page_token"] == "t1"
    walk.on_page("t2")
    assert dict(walk.following.query)["page_token"] == "t2"
    assert walk.pages == 2
    with pytest.raises(InvalidResponseError, match="same page token"):
        walk.on_page("t1")
    assert walk.following is None

    walk.on_page(None)
    assert (walk.following, walk.pages) == (None, 4)


def rows(statuses: list[str], created_at: float | None = T0) -> list[Row]:
    return [Row(f"bat-{number}", status, created_at=created_at) for number, status in enumerate(statuses)]


STATUS, RANGE = (False, True), (True, False)
HONOURED = (True, True)


@pytest.mark.parametrize(
    ("query", "page", "honoured"),
    [
        (Query("FAILED"), rows([]), HONOURED),
        (Query("FAILED"), rows(["FAILED", "RUNNING"]), HONOURED),  # half of them: they changed meanwhile
        (Query("FAILED"), rows(["FAILED", "RUNNING", "COMPLETED"]), STATUS),
        (Query("FAILED"), rows(["RUNNING"]), STATUS),
        (Query(None), rows(["RUNNING"]), HONOURED),
        (Query(None, T0, T0), rows(["RUNNING"]), HONOURED),
        (Query(None, T0 + 1, T0 + 9), rows(["RUNNING"]), HONOURED),  # rounded to whole seconds
        (Query(None, T0 + 1.1, T0 + 9), rows(["RUNNING"]), RANGE),
        (Query(None, T0 - 9, T0 - 1), rows(["RUNNING"]), HONOURED),
        (Query(None, T0 - 9, T0 - 1.1), rows(["RUNNING"]), RANGE),
        (Query(None, T0 + 1.1, None), rows(["RUNNING"]), RANGE),
        (Query(None, None, T0 - 1.1), rows(["RUNNING"]), RANGE),
        (Query(None, T0 - 9, None), rows(["RUNNING"]), HONOURED),
        (Query(None, None, T0 + 9), rows(["RUNNING"]), HONOURED),
        (Query(None, T0 + 9, T0 + 10), rows(["RUNNING"], None), HONOURED),
        (Query(None, T0 + 9, T0 + 10), [*rows(["RUNNING"], T0 + 9), *rows(["RUNNING"])], RANGE),
        (Query("FAILED", T0 + 9, T0 + 10), rows(["RUNNING"]), (False, False)),
    ],
)
def test_a_service_that_ignores_what_it_is_asked_for_is_found_out_once(query, page, honoured):
    costs = Costs()

    assert costs.notices(query, page) is (honoured != HONOURED)
    assert (costs.status_is_honoured, costs.range_is_honoured) == honoured
    assert costs.notices(query, page) is False
    assert (costs.status_is_honoured, costs.range_is_honoured) == honoured


def split_after(
    created: list[float | None], sweep: Sweep | None = None, **changed: Any
) -> list[tuple[float, float]]:
    """Return the ranges in which a list is read on after a page of these, none where it is read on as it is."""
    sweep = sweep or a_sweep(count=3000)
    (walk,) = sweep.walks
    walk.query = Query("RUNNING", **{"after": T0 - 0.01, "before": T0 + 2999.01, **changed})
    walk.page_size, before = 100, walk.following
    further = split(sweep, walk, created, SOURCE)
    if further == [walk]:
        assert walk.following is before
        return []
    assert walk.following is None
    assert {one.query.status for one in further} == {"RUNNING"}
    for one in further:
        assert one.following == one.first == SOURCE.bulk(one.query, 100)
        assert one.page_size == 100
    return [(one.query.after, one.query.before) for one in further]  # type: ignore[misc]


def newest_first(count: int, newest: float = T0 + 2999.0) -> list[float | None]:
    return [newest - number for number in range(count)]


def oldest_first(count: int) -> list[float | None]:
    return [T0 + number for number in range(count)]


def test_a_long_list_is_read_on_in_ranges_side_by_side():
    ranges = split_after(newest_first(100))

    assert [before for _, before in ranges[:-1]] == [after for after, _ in ranges[1:]]
    assert [round(before - after) for after, before in ranges] == [483, 483, 484, 483, 483, 583]


def test_a_list_in_the_other_order_is_split_behind_its_first_page():
    ranges = split_after(oldest_first(100))

    assert [round(before - after) for after, before in ranges] == [583, 483, 484, 483, 483, 483]


@pytest.mark.parametrize("page", [newest_first(100), oldest_first(100)])
def test_ranges_leave_nothing_of_a_list_out_whatever_order_it_goes_on_in(page):
    ranges = split_after(page)

    assert (ranges[0][0], ranges[-1][1]) == (T0 - 0.01, T0 + 2999.01)


@pytest.mark.parametrize(
    ("created", "count", "changed", "ranges"),
    [
        (newest_first(50), 3000, {}, 6),
        (newest_first(49), 3000, {}, 0),  # a service with so small pages is not asked for many at once
        ([*newest_first(50), None], 3000, {}, 6),
        ([*newest_first(49), None], 3000, {}, 0),
        ([*newest_first(60), T0 + 2999.0], 3000, {}, 0),  # in no order
        ([None] * 100, 3000, {}, 0),
        (newest_first(100), 3000, {"after": None}, 0),
        (newest_first(100), 3000, {"before": None}, 6),
        (oldest_first(100), 3000, {"before": None}, 0),
        (oldest_first(100), 3000, {"after": None}, 6),
        (newest_first(100, T0 + 899.0), 900, {}, 2),  # 800 waits are older than the page
        (newest_first(101, T0 + 899.0), 900, {}, 0),
        (oldest_first(100), 900, {}, 2),
        (oldest_first(100), 899, {}, 0),
        (newest_first(100, T0 + 1299.0), 1300, {}, 3),
        (newest_first(100, T0 + 2499.0), 2500, {}, 6),
        (newest_first(100, T0 + 9999.0), 10_000, {}, 6),
    ],
)
def test_when_a_list_is_worth_splitting(created, count, changed, ranges):
    assert len(split_after(created, a_sweep(count=count), **changed)) == ranges


def test_waits_that_began_at_the_same_moment_are_not_split():
    sweep = begin(ALL, entries(3000, step=0.0), SOURCE, None, 0.0)

    assert len(split_after(newest_first(100, T0 + 500.0), sweep, after=T0 - 1, before=T0 + 501)) == 2


@pytest.mark.parametrize(
    ("pages", "waits", "pays"),
    [
        ({}, 1, True),
        ({Kind.RECHECK: 10.0}, 80, True),
        ({Kind.RECHECK: 10.0}, 79, False),
        ({Kind.ALL: 99.0}, 8, True),
    ],
)
def test_a_list_of_everything_is_read_for_as_many_waits_as_it_has_paid_for(pages, waits, pays):
    assert Costs(pages=pages).recheck_pays(waits) is pays
    assert not Costs(pages={Kind.RECHECK: 0.5}).recheck_pays(3)
