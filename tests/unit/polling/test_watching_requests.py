"""Watching directories: what a look asks for, and whom it tells what."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.plan import Ask, Plan
from airflow_provider_llamabatch.polling.watching import (
    LATE,
    News,
    Seen,
    Watch,
    WatchedBatches,
    WatchSchedule,
)

NOW = 1_800_000_000.0
WEEK = 7 * 24 * 3600.0
NEVER = float("inf")


def row(id: str, status: str = "COMPLETED", *, created: datetime | None) -> Any:
    return SimpleNamespace(id=id, status=status, source_directory_id="dir-a", created_at=created)


def page(*rows: Any, token: str | None = None) -> Any:
    return SimpleNamespace(items=list(rows), next_page_token=token)


def a_schedule(*watches: Watch, **source: str) -> WatchSchedule:
    schedule = WatchSchedule(WatchedBatches(**source), epoch=lambda: NOW, random=lambda: 1.0)
    for watch in watches:
        schedule.add(watch, 0.0)
    return schedule


def asked(schedule: WatchSchedule, now: float = 0.0) -> Ask:
    [ask] = schedule.plan(now).asks
    return ask


def told(schedule: WatchSchedule, *rows: Any, now: float = 0.0) -> list[News]:
    return schedule.on_page(asked(schedule, now), page(*rows), now)


def since_of(ask: Ask) -> float:
    return datetime.fromisoformat(str(dict(ask.call.query)["created_at_on_or_after"])).timestamp()


def test_a_look_asks_for_whole_pages_of_the_project_from_a_moment_on():
    source = WatchedBatches("prj-1", "org-1")
    after = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert dict(source.within("dir-a", after.timestamp()).query) == {
        "project_id": "prj-1",
        "organization_id": "org-1",
        "source_directory_id": "dir-a",
        "created_at_on_or_after": after.isoformat(),
        "page_size": str(defaults.PAGE_SIZE),
    }


@pytest.mark.parametrize(
    ("since", "looked_back_to"),
    [
        ((None,), NOW - WEEK),
        ((NOW - 60,), NOW - 60),
        ((NOW - 60, NOW - 90), NOW - 90),
        ((NOW - 60, None), NOW - WEEK),
        ((NOW - 2 * WEEK, None), NOW - 2 * WEEK),
    ],
)
def test_a_look_goes_back_as_far_as_the_watcher_that_needs_it_most(since, looked_back_to):
    ask = asked(a_schedule(*(Watch("dir-a", since=time) for time in since)))
    assert since_of(ask) == looked_back_to
    assert ask.walk is not None
    assert ask.walk.query.after == looked_back_to
    assert ask.walk.page_size == defaults.PAGE_SIZE


def test_a_schedule_says_when_it_wants_to_be_planned_again():
    watch = Watch("dir-a", interval=60.0)
    schedule = a_schedule(watch)
    assert schedule.plan(-5.0) == Plan([], [], 0.0)
    plan = schedule.plan(0.0)
    [ask] = plan.asks
    assert plan == Plan([], [ask], NEVER)
    assert schedule.plan(1.0) == Plan([], [], NEVER), "it waits for the answer"
    schedule.on_page(ask, page(), 2.0)
    assert schedule.plan(2.0) == Plan([], [], 62.0)
    schedule.remove(watch)
    assert schedule.plan(2.0) == Plan([], [], NEVER), "nobody watches"


def test_each_watcher_is_told_by_name_what_is_news_to_it():
    one, other = Watch("dir-a"), Watch("dir-a", statuses=("FAILED",))
    schedule = a_schedule(one, other)
    assert told(schedule) == [News(one), News(other)]
    made = datetime.fromtimestamp(NOW, UTC)
    rows = row("bat-1", created=made), row("bat-2", "FAILED", created=made)
    assert told(schedule, *rows, now=defaults.WATCH_INTERVAL) == [
        News(one, Seen("bat-1", "COMPLETED", "dir-a", NOW)),
        News(other, Seen("bat-2", "FAILED", "dir-a", NOW)),
    ]


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        (None, None),
        (datetime.fromtimestamp(NOW + 5, UTC), NOW + 5),
        (datetime.fromtimestamp(NOW + 5, UTC).replace(tzinfo=None), NOW + 5),
    ],
)
def test_a_watcher_learns_when_a_batch_was_made_as_far_as_the_list_says_so(created, seconds):
    watch = Watch("dir-a")
    schedule = a_schedule(watch)
    told(schedule)
    [news] = told(schedule, row("bat-1", created=created), now=defaults.WATCH_INTERVAL)
    assert news == News(watch, Seen("bat-1", "COMPLETED", "dir-a", seconds))


def test_a_pause_lasts_as_long_as_the_service_asks_for():
    schedule = a_schedule(Watch("dir-a"))
    limited = e.RateLimitedError("429", status_code=429, retry_after=40.0, from_api=True)
    assert schedule.on_error(asked(schedule), limited, 0.0) == []
    assert schedule.plan(0.0) == Plan([], [], 40.0)


def test_after_a_list_without_an_end_the_look_is_begun_anew():
    schedule = a_schedule(Watch("dir-a"))
    for _ in range(2):
        ask = asked(schedule)
        assert schedule.on_page(ask, page(token="again"), 0.0) == []
    assert schedule.list_health.failures == 1
    assert schedule.list_health.paused_until == schedule.plan(0.0).wake_at > 0.0
    fresh = asked(schedule, schedule.plan(0.0).wake_at)
    assert "page_token" not in dict(fresh.call.query)


def test_a_watcher_that_leaves_leaves_the_others_of_its_directory():
    one, other = Watch("dir-a"), Watch("dir-a")
    schedule = a_schedule(one, other)
    schedule.remove(one)
    assert schedule.entries == {"dir-a": [other]}


def test_what_ended_at_the_moment_it_looks_back_to_is_no_news_twice():
    watch = Watch("dir-a", since=NOW)
    first, last = (
        Seen("bat-1", "COMPLETED", "dir-a", NOW + 50),
        Seen("bat-2", "FAILED", "dir-a", NOW + 50 + LATE),
    )
    assert watch.take([first, last], NOW + 1000) == [first]
    watch.confirm("bat-1")
    assert watch.take([first, last], NOW + 1000) == []
    assert watch.since == NOW + 50
    assert watch.take([first, last], NOW + 1000) == []


def test_an_event_may_be_confirmed_twice():
    watch = Watch("dir-a", since=NOW)
    watch.take([Seen("bat-1", "COMPLETED", "dir-a", NOW)], NOW)
    for _ in range(2):
        watch.confirm("bat-1")
    assert watch.unconfirmed == {}


def test_an_answer_about_a_single_batch_is_a_defect_that_names_its_request():
    schedule = a_schedule(Watch("dir-a"))
    ask = asked(schedule)
    with pytest.raises(AssertionError) as raised:
        schedule.on_item(ask, row("bat-1", created=None), 0.0)
    assert raised.value.args == (ask,)
