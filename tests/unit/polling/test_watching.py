"""Watching directories: histories of what is news to whom, and of the looks that find it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling import watching
from airflow_provider_llamabatch.polling.sources import MAX_EPOCH
from airflow_provider_llamabatch.polling.watching import Seen, Watch, WatchedBatches, WatchSchedule

NOW = 1_800_000_000.0
DAY = 24 * 3600.0
LATER = NOW + 60 * DAY


def a_batch(
    id: str, status: str = "COMPLETED", created: float | None = NOW, directory: str = "dir-a"
) -> Seen:
    return Seen(id, status, directory, created)


def ids(news: list[Seen]) -> list[str]:
    return [batch.id for batch in news]


def a_watch(*batches: Seen, **arguments: Any) -> Watch:
    """Return a watch that has taken stock of these."""
    watch = Watch("dir-a", **arguments)
    assert watch.take(batches, NOW) == []
    return watch


def test_what_had_ended_before_the_first_look_is_no_news_and_what_ran_then_is():
    watch = a_watch(a_batch("old"), a_batch("running", "RUNNING"))
    assert ids(watch.take([a_batch("old"), a_batch("running")], NOW)) == ["running"]
    assert watch.take([a_batch("old"), a_batch("running")], NOW) == []


def test_news_come_in_the_order_of_their_making_and_once_however_often_they_are_listed():
    watch = a_watch()
    later, sooner = a_batch("b", created=NOW + 2), a_batch("a", created=NOW + 1)
    assert ids(watch.take([later, sooner, later], NOW + 3)) == ["a", "b"]


@pytest.mark.parametrize(
    ("statuses", "news"),
    [
        (("COMPLETED",), ["c"]),
        (("FAILED", "CANCELLED"), ["f", "x"]),
        (("COMPLETED", "FAILED", "CANCELLED"), ["c", "f", "x"]),
    ],
)
def test_only_what_ended_as_asked_for_is_news(statuses: tuple[str, ...], news: list[str]):
    batches = [
        a_batch("c"),
        a_batch("f", "FAILED"),
        a_batch("x", "CANCELLED"),
        a_batch("new-word", "DREAMING"),
    ]
    assert ids(a_watch(statuses=statuses).take(batches, NOW)) == news


def test_batches_of_other_directories_are_none_of_its_business():
    watch = a_watch()
    assert watch.take([a_batch("other", directory="dir-b")], NOW) == []
    assert watch.state == a_watch().state


def test_the_time_it_looks_back_to_follows_the_oldest_batch_that_still_runs():
    watch = a_watch(a_batch("slow", "RUNNING", NOW - DAY))
    for day in range(1, 4):
        watch.take([a_batch("slow", "RUNNING", NOW - DAY), a_batch(f"{day}", created=NOW + day * DAY)], LATER)
    assert watch.since is not None
    assert watch.since <= NOW - DAY
    assert ids(
        watch.take([a_batch("slow", created=NOW - DAY), a_batch("3", created=NOW + 3 * DAY)], LATER)
    ) == ["slow"]
    assert watch.since > NOW + 2.9 * DAY
    for id in list(watch.unconfirmed):
        watch.confirm(id)
    watch.take([a_batch("3", created=NOW + 3 * DAY)], LATER)
    assert set(watch.known) == {"3"}


def test_a_batch_that_runs_for_longer_than_a_week_no_longer_holds_it_back():
    watch = a_watch(a_batch("stuck", "RUNNING", NOW))
    watch.take([a_batch("stuck", "RUNNING", NOW), a_batch("new", created=NOW + 30 * DAY)], LATER)
    assert watch.since is not None
    assert watch.since > NOW + 22 * DAY


def test_a_date_that_lies_ahead_makes_nothing_old_that_comes_before_it():
    watch = a_watch()
    for ahead in (300.0, 3e9):
        watch.take([a_batch(f"odd-{ahead}", created=NOW + ahead)], NOW)
    assert watch.since is not None
    assert watch.since <= NOW
    assert ids(watch.take([a_batch("after", created=NOW + 1)], NOW + 2)) == ["after"]


def test_a_first_look_by_a_clock_that_ran_ahead_keeps_nothing_back_once_the_clock_is_right():
    watch = Watch("dir-a")
    schedule = WatchSchedule(WatchedBatches(), epoch=lambda: clock, random=lambda: 1.0)
    schedule.add(watch, 0.0)
    clock = NOW + 3 * 3600.0
    assert look(schedule, 0.0, page()) == []
    clock = NOW
    assert look(schedule, 60.0, page()) == []
    clock = NOW + 60.0
    [ask] = schedule.plan(120.0).asks
    assert dict(ask.call.query)["created_at_on_or_after"] == datetime.fromtimestamp(NOW, UTC).isoformat()
    schedule.on_error(ask, e.NoResponseError("gone", reached_server=True), 120.0)
    made = row("bat-1", created=NOW + 30.0)
    assert look(schedule, schedule.plan(120.0).wake_at, page(made)) == ["bat-1"]


@pytest.mark.parametrize("since", [NOW + 3600.0, 9e9])
def test_what_an_heir_takes_over_lies_never_ahead_of_its_own_look(since: float):
    heir = Watch("dir-a")
    heir.restore({"since": since, "known": {}})
    assert heir.take([], NOW) == []
    assert heir.since == NOW
    assert ids(heir.take([a_batch("new", created=NOW + 1)], NOW + 2)) == ["new"]


@pytest.mark.parametrize(
    ("rows", "news"),
    [
        ([(None, "a"), ("dir-a", "b")], ["a", "b"]),
        ([(None, "a"), ("dir-a", "b"), ("dir-b", "c")], ["b"]),
        ([("dir-b", "c"), (None, "a"), ("dir-a", "b")], ["b"]),
    ],
)
def test_a_row_without_a_directory_is_of_the_one_that_was_asked_for_unless_others_are_listed_too(
    rows: list[tuple[str | None, str]], news: list[str]
):
    schedule = a_schedule(Watch("dir-a", since=NOW - DAY))
    pages = [page(row(id, directory=directory), token=id) for directory, id in rows]
    pages[-1].next_page_token = None
    assert look(schedule, 0.0, *pages) == news
    assert look(schedule, 60.0, *pages) == []


def test_a_row_without_a_directory_is_nobodys_in_the_list_of_a_project():
    schedule = a_schedule(Watch("dir-a", since=NOW - DAY), Watch("dir-b", since=NOW - DAY))
    assert look(schedule, 0.0, page(row("a", directory=None), row("b", directory="dir-b"))) == ["b"]


def test_a_batch_that_the_list_shows_late_is_still_news():
    watch = a_watch()
    watch.take([a_batch("first", created=NOW + 100)], NOW)
    late = a_batch("late", created=NOW + 50)
    assert watch.since is not None
    assert watch.since <= NOW + 50
    assert ids(watch.take([a_batch("first", created=NOW + 100), late], NOW)) == ["late"]


@pytest.mark.parametrize("confirmed", [0, 1, 2])
def test_an_heir_raises_exactly_what_was_not_confirmed(confirmed: int):
    watch = a_watch()
    batches = [a_batch("a", created=NOW + 1), a_batch("b", created=NOW + 2)]
    watch.take(batches, NOW)
    watch.take([*batches, a_batch("much-later", "RUNNING", NOW + DAY)], NOW)
    for id in ["a", "b"][:confirmed]:
        watch.confirm(id)
    heir = Watch("dir-a")
    heir.restore(watch.state)
    assert heir.since is not None
    assert heir.since <= min([NOW + 1, NOW + 2, NOW + DAY][confirmed:])
    assert ids(heir.take(batches, NOW)) == ["a", "b"][confirmed:]


@pytest.mark.parametrize(
    "state",
    [
        *(None, "x", 1, {}, {"since": 1}, {"known": {}}, {"since": "x", "known": {}}),
        *({"since": since, "known": {}} for since in (float("nan"), float("inf"), 1e300, -1e300)),
        *({"since": NOW, "known": {"bat-1": time}} for time in (None, "x", float("nan"), 1e300)),
    ],
)
def test_a_state_that_makes_no_sense_is_a_first_look(state: Any):
    watch = Watch("dir-a")
    watch.restore(state)
    assert watch.since is None
    assert watch.state is None


def test_a_state_from_the_very_end_of_time_is_taken_over():
    watch = Watch("dir-a")
    watch.restore({"since": MAX_EPOCH, "known": {"bat-1": -MAX_EPOCH}})
    assert (watch.since, watch.known) == (MAX_EPOCH, {"bat-1": -MAX_EPOCH})


def row(id: str, status: str = "COMPLETED", directory: str | None = "dir-a", created: float = NOW) -> Any:
    made = datetime.fromtimestamp(created, UTC)
    return SimpleNamespace(id=id, status=status, source_directory_id=directory, created_at=made)


def test_batches_of_other_directories_are_let_go_at_once_and_a_look_that_shows_too_many_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(watching, "MAX_SEEN", 5)
    schedule = a_schedule(Watch("dir-a"))
    (ask,) = schedule.plan(0.0).asks
    others = [row(f"other-{number}", directory="dir-b") for number in range(1000)]
    schedule.on_page(ask, page(*others, *(row(f"a-{number}") for number in range(5)), token="more"), 0.0)
    assert [batch.id for batch in schedule._seen] == [f"a-{number}" for number in range(5)]
    (ask,) = schedule.plan(0.1).asks
    assert schedule.on_page(ask, page(row("a-6"), token="and more"), 0.1) == []
    assert (schedule._seen, schedule.failures) == ([], 1)


@pytest.mark.parametrize("year", [1, 9999])
def test_a_date_at_the_edge_of_all_dates_hurts_no_watcher(year: int):
    watch = Watch("dir-a")
    schedule = a_schedule(watch)
    for now in (0.0, 1000.0, 2000.0):
        (ask,) = schedule.plan(now).asks
        shown = row("a", "RUNNING")
        shown.created_at = datetime(year, 1, 1) if year == 1 else datetime(year, 12, 31, 23, 59, 59)
        schedule.on_page(ask, page(shown), now)
    heir = Watch("dir-a")
    heir.restore(watch.state)
    assert heir.since is not None


def page(*rows: Any, token: str | None = None) -> Any:
    return SimpleNamespace(items=list(rows), next_page_token=token)


def a_schedule(*watches: Watch) -> WatchSchedule:
    schedule = WatchSchedule(WatchedBatches(), epoch=lambda: NOW, random=lambda: 1.0)
    for watch in watches:
        schedule.add(watch, 0.0)
    return schedule


def look(schedule: WatchSchedule, now: float, *pages: Any) -> list[str]:
    """Have one look; return the ids that are news."""
    news: list[Any] = []
    for one in pages:
        [ask] = schedule.plan(now).asks
        assert schedule.plan(now).asks == [], "it asks twice"
        news += schedule.on_page(ask, one, now)
    return [told.batch.id for told in news if told.batch is not None]


def test_one_look_serves_the_watchers_of_many_directories():
    watches = [Watch(f"dir-{number}", interval=60.0) for number in range(50)]
    schedule = a_schedule(*watches)
    assert look(schedule, 0.0, page()) == []
    assert schedule.plan(59.0).asks == []
    found = page(*(row(f"bch-{number}", directory=f"dir-{number}") for number in range(60)))
    assert look(schedule, 60.0, found) == [f"bch-{number}" for number in range(50)]
    assert look(schedule, 120.0, found) == []


@pytest.mark.parametrize("other", [None, NOW - 3 * DAY])
def test_what_a_look_lists_only_for_another_watcher_is_raised_no_second_time(other: float | None):
    busy, quiet = Watch("dir-a", since=NOW - DAY), Watch("dir-b", since=other)
    schedule = a_schedule(busy)
    listed, told = [], []
    for hour in range(4):
        listed.append(row(f"bch-{hour}", created=NOW - DAY + hour * 3600.0))
        told += look(schedule, hour * 3600.0, page(*listed))
        for id in told:
            busy.confirm(id)
    schedule.add(quiet, 14_000.0)
    for now in (14_400.0, 14_500.0, 14_600.0):
        told += look(schedule, now, page(*listed, row("b-runs", "RUNNING", "dir-b", NOW - 2 * DAY)))
    assert told == ["bch-0", "bch-1", "bch-2", "bch-3"]


def test_the_list_is_that_of_the_one_directory_where_one_is_watched_and_else_of_the_project():
    schedule = a_schedule(Watch("dir-a"), Watch("dir-a"))
    [ask] = schedule.plan(0.0).asks
    assert dict(ask.call.query)["source_directory_id"] == "dir-a"
    schedule.on_page(ask, page(), 0.0)
    schedule.add(Watch("dir-b"), 1.0)
    [ask] = schedule.plan(1.0).asks
    assert "source_directory_id" not in dict(ask.call.query)


def test_nothing_is_news_before_the_list_was_read_to_its_end():
    watch = a_watch()
    schedule = a_schedule(watch)
    [ask] = schedule.plan(0.0).asks
    assert schedule.on_page(ask, page(row("a"), token="more"), 0.0) == []
    [ask] = schedule.plan(0.0).asks
    assert dict(ask.call.query)["page_token"] == "more"
    schedule.on_error(ask, e.NoResponseError("gone", reached_server=True), 0.0)
    assert watch.known == {}
    assert schedule.plan(0.5).asks == []
    assert look(schedule, schedule.plan(0.5).wake_at, page(row("a"), token="more"), page(row("b"))) == [
        "a",
        "b",
    ]


def test_a_list_without_an_end_is_trouble():
    schedule = a_schedule(Watch("dir-a"))
    for _ in range(2):
        [ask] = schedule.plan(0.0).asks
        schedule.on_page(ask, page(token="again"), 0.0)
    assert schedule.list_health.failures == 1
    assert schedule.plan(0.0).asks == []


def test_trouble_makes_the_pauses_grow_and_ends_no_watch():
    schedule = a_schedule(Watch("dir-a"))
    now, pauses = 0.0, []
    for _ in range(12):
        [ask] = schedule.plan(now).asks
        schedule.on_error(ask, e.AuthenticationError("no", status_code=401), now)
        pauses.append(schedule.plan(now).wake_at - now)
        now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0
    assert look(schedule, now, page()) == []


def test_a_watcher_that_leaves_is_not_asked_for_and_the_last_one_ends_it_all():
    one, other = Watch("dir-a"), Watch("dir-b")
    schedule = a_schedule(one, other)
    schedule.remove(one)
    schedule.remove(one)
    assert list(schedule.entries) == ["dir-b"]
    schedule.remove(other)
    assert not schedule.entries
    assert schedule.plan(0.0).wake_at == float("inf")


def test_a_watcher_remembers_more_only_when_there_is_more_to_remember():
    schedule = a_schedule(Watch("dir-a"))
    [ask] = schedule.plan(0.0).asks
    assert [told.batch for told in schedule.on_page(ask, page(), 0.0)] == [None]
    [ask] = schedule.plan(defaults.WATCH_INTERVAL).asks
    assert schedule.on_page(ask, page(), defaults.WATCH_INTERVAL) == []


def test_what_has_ended_before_the_time_it_looks_back_to_is_forgotten():
    watch = a_watch(a_batch("old", "COMPLETED", created=NOW))
    watch.take([a_batch("new", "COMPLETED", created=NOW + 30 * DAY)], NOW + 30 * DAY)
    assert "old" not in watch.known
