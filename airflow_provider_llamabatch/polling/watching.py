"""
Watching directories: which batches have ended that nobody was told of. Pure, the clocks are passed in.

All watchers of a connection share one look: a list of the batches made since the oldest that may still end, of the one
directory that is watched or of the whole project. A ``WatchSchedule`` takes the place of a ``Schedule`` in the poll
loop, so watchers and waits share their client too.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidResponseError
from airflow_provider_llamabatch.polling.lanes import Health
from airflow_provider_llamabatch.polling.plan import Ask, Plan
from airflow_provider_llamabatch.polling.sources import ENDED, MAX_EPOCH, Batches, Query, date_of, epoch_of
from airflow_provider_llamabatch.polling.sweep import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_llamabatch.llamacloud.call import Call

MAX_SEEN = 20_000  # batches of the directories that are watched, in one look
# How much later than its own time of creation a batch may first be seen on a list.
LATE = defaults.MAX_LIST_LAG + defaults.CREATED_AT_SPREAD


@dataclass(frozen=True, slots=True)
class WatchedBatches(Batches):
    """The batches of a project with their directories."""

    def within(self, directory_id: str | None, after: float) -> Call[Any]:
        """Return the call for the batches made since ``after`` (epoch seconds), of one directory or of all."""
        return calls.list_directory_batches(
            source_directory_id=directory_id,
            created_at_on_or_after=date_of(after),
            page_size=defaults.PAGE_SIZE,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch on a list; ``created_at`` is epoch seconds by the service's clock."""

    id: str
    status: str
    directory_id: str | None
    created_at: float | None

    @property
    def has_ended(self) -> bool:
        """Say whether its status is terminal."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class News:
    """What a watcher is told: a batch that has ended, or (None) that there is something new to remember."""

    entry: Watch
    batch: Seen | None = None


@dataclass(eq=False, slots=True)
class Watch:
    """
    One watcher of a directory, and what it remembers.

    ``since`` (epoch seconds by the service's clock) is the time before which no batch is of interest any more; None
    until the first look, which takes stock: what has ended by then is no news. ``known`` holds what has ended since,
    by id, and ``unconfirmed`` that part of it whose events may still be lost.
    """

    directory_id: str
    statuses: tuple[str, ...] = ("COMPLETED",)
    interval: float = defaults.WATCH_INTERVAL
    since: float | None = None
    known: dict[str, float] = field(default_factory=dict)
    unconfirmed: dict[str, float] = field(default_factory=dict)
    subscriber: Any = None
    due_at: float = 0.0

    def restore(self, state: Any) -> None:
        """Take over what ``state`` of an earlier life was; anything else is as good as nothing."""
        since, known = (state.get("since"), state.get("known")) if isinstance(state, dict) else (None, None)
        if _is_time(since) and isinstance(known, dict) and all(map(_is_time, known.values())):
            self.since, self.known = float(since), {str(id_): float(time) for id_, time in known.items()}

    def bound(self, now: float) -> None:
        """Let ``since`` not lie ahead, as after a look by a clock that did: until then nothing would be news."""
        if self.since is not None:
            self.since = min(self.since, now)

    @property
    def state(self) -> dict[str, Any] | None:
        """Return what an heir needs to raise what this one has not, as JSON; None before the first look."""
        if self.since is None:
            return None
        oldest = min(self.unconfirmed.values(), default=self.since + LATE) - LATE
        known = {id_: time for id_, time in self.known.items() if id_ not in self.unconfirmed}
        return {"since": min(self.since, oldest), "known": known}

    def take(self, batches: Iterable[Seen], now: float) -> list[Seen]:
        """
        Take in all batches made since ``since``; return those that are news, the oldest first.

        What was made before is on the list for another watcher's sake, and forgotten here: it would be news again.
        """
        self.bound(now)
        since = float("-inf") if self.since is None else self.since
        mine = [
            batch
            for batch in batches
            if batch.directory_id == self.directory_id
            and (batch.created_at is None or batch.created_at >= since)
        ]
        ended = {batch.id: batch.created_at or now for batch in mine if batch.has_ended}
        news = [
            batch
            for batch in mine
            if self.since is not None and batch.status in self.statuses and batch.id not in self.known
        ]
        news = sorted(
            {batch.id: batch for batch in news}.values(), key=lambda batch: (ended[batch.id], batch.id)
        )
        self.unconfirmed.update((batch.id, ended[batch.id]) for batch in news)
        self.known.update(ended)
        self._forget(mine, now)
        return news

    def _forget(self, mine: list[Seen], now: float) -> None:
        """Move ``since`` up to the oldest batch that still runs, and forget what lies before."""
        start = now - defaults.LISTED_SECONDS if self.since is None else self.since
        # A date that lies ahead, true or not, must not make what comes before it old.
        dated = [(min(batch.created_at, now), batch) for batch in mine if batch.created_at is not None]
        times = [time for time, _ in dated]
        running = [time for time, batch in dated if not batch.has_ended]
        newest = max(times, default=start)
        oldest = max(min(running, default=newest), newest - defaults.WATCH_LOOKBACK)
        self.since = max(start, oldest - LATE) if self.since is not None else min(start, oldest - LATE)
        self.known = {
            id_: time for id_, time in self.known.items() if time >= self.since or id_ in self.unconfirmed
        }

    def confirm(self, batch_id: str) -> None:
        """Note that an event is surely stored."""
        self.unconfirmed.pop(batch_id, None)


@dataclass(slots=True)
class WatchSchedule:
    """The watchers of one source on one connection. ``epoch`` is the time by the clock on the wall."""

    source: WatchedBatches
    epoch: Callable[[], float]
    random: Callable[[], float] = random.random
    entries: dict[str, list[Watch]] = field(default_factory=dict)
    list_health: Health = field(init=False)
    _walk: Walk | None = None
    _asked: bool = False
    _served: list[Watch] = field(default_factory=list)  # for whom the look under way is
    _seen: list[Seen] = field(default_factory=list)
    _asked_for: str | None = None  # the one directory whose list is read
    _shows_others: bool = False  # the list has rows of other directories than that one

    def __post_init__(self) -> None:
        self.list_health = Health(self.random)

    @property
    def failures(self) -> int:
        """The failures in a row: there is one kind of request."""
        return self.list_health.failures

    def add(self, entry: Watch, now: float) -> float:
        """Take a watcher in; returns when the schedule has to be planned for it."""
        self.entries.setdefault(entry.directory_id, []).append(entry)
        entry.due_at = now
        return now

    def remove(self, entry: Watch) -> None:
        """Let a watcher go."""
        of_directory = self.entries.get(entry.directory_id, [])
        if entry in of_directory:
            of_directory.remove(entry)
        if not of_directory:
            self.entries.pop(entry.directory_id, None)

    def plan(self, now: float) -> Plan:
        """Return the request to send now, and when to plan again."""
        watches = [watch for of_directory in self.entries.values() for watch in of_directory]
        if not watches or self._asked:
            return Plan([], [], float("inf"))
        if self._walk is None:
            due_at = max(min(watch.due_at for watch in watches), self.list_health.paused_until)
            if now < due_at:
                return Plan([], [], due_at)
            self._walk = self._begin(watches)
        assert self._walk.following is not None
        self._asked = True
        return Plan([], [Ask(self._walk.following, walk=self._walk)], float("inf"))

    def on_page(self, ask: Ask, page: Any, now: float) -> list[News]:
        """Take in a page; after the last one, return what is news to whom."""
        assert ask.walk is not None
        self._asked = False
        self.list_health.on_success()
        for batch in map(_seen, page.items):
            is_unnamed = self._asked_for is not None and batch.directory_id is None
            self._shows_others |= not is_unnamed and batch.directory_id != self._asked_for
            if is_unnamed or batch.directory_id in self.entries:
                self._seen.append(batch)
        if len(self._seen) > MAX_SEEN:
            return self.on_error(ask, InvalidResponseError(f"more than {MAX_SEEN:,} batches are listed"), now)
        try:
            ask.walk.on_page(page.next_page_token)
        except InvalidResponseError as error:  # a list without an end
            return self.on_error(ask, error, now)
        if ask.walk.following is not None:
            return []
        if not self._shows_others:  # what names no directory is of the one that was asked for
            self._seen = [
                replace(one, directory_id=one.directory_id or self._asked_for) for one in self._seen
            ]
        news: list[News] = []
        for watch in self._served:
            before = watch.state
            found = watch.take(self._seen, self.epoch())
            watch.due_at = now + watch.interval
            news += [News(watch, batch) for batch in found]
            if not found and watch.state != before:
                news.append(News(watch))
        self._walk, self._served, self._seen = None, [], []
        return news

    def on_item(self, ask: Ask, value: Any, now: float) -> list[News]:
        """Take in the response to a GET: nobody asks for one."""
        raise AssertionError(ask)

    def on_error(self, ask: Ask, error: Exception, now: float) -> list[News]:
        """Take in a request that failed: the look is begun anew after a pause that grows."""
        self.list_health.on_error(now, error)
        self._asked, self._walk, self._served, self._seen = False, None, [], []
        return []

    def _begin(self, watches: list[Watch]) -> Walk:
        now = self.epoch()
        for watch in watches:
            watch.bound(now)
        lookback = now - defaults.WATCH_LOOKBACK
        after = min(lookback if watch.since is None else watch.since for watch in watches)
        directories = list(self.entries)
        self._asked_for = directories[0] if len(directories) == 1 else None
        self._shows_others = False
        call = self.source.within(self._asked_for, after)
        self._served = watches
        return Walk(Query(after=after), call, call, defaults.PAGE_SIZE)


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and abs(value) <= MAX_EPOCH


def _seen(row: Any) -> Seen:
    made = row.created_at
    return Seen(row.id, row.status, row.source_directory_id, epoch_of(made) if made else None)
