"""
When a waiting batch or job is asked for next, and why. Pure: no I/O, no asyncio, the clock is passed in.

Polls happen on ticks. A wait is due on the first tick after its first poll may be, and then once per gap: its poll
interval, or a half, a quarter ... of it while it is young. All ticks of one interval fall together, whenever the waits
began, so one ``Sweep`` asks for everything that is due:

    SCHEDULED  not due yet                          -> due: SWEPT, or QUEUED where few are due or a list does not pay
    SWEPT      a list is being read for it          -> read as COMPLETED: over; read as running, or not on the list of
                                                       what has ended: SCHEDULED; missing where it should be, or read
                                                       as FAILED or CANCELLED: QUEUED
    QUEUED     to be asked for by GET               -> ASKED as soon as a place is free
    ASKED      its GET is under way                 -> over, or SCHEDULED
    OVER       settled, expired, or left

Nothing is settled by not being on a list. A list of what has ended shows nothing of what still runs, so a share of the
waits is looked for on a list of everything after each sweep (``RECHECK_GAPS``); what is not there is asked for by GET.
Nor does one row end a wait as failed: a GET has to agree. Lists that stall, fail or cost too much leave waits to GETs.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.polling import verdict_of
from airflow_provider_llamabatch.llamacloud.errors import (
    AuthenticationError,
    InvalidInputError,
    InvalidResponseError,
    RefusedError,
)
from airflow_provider_llamabatch.polling import sweep as sweeps
from airflow_provider_llamabatch.polling.entries import Agenda, Entry, Phase
from airflow_provider_llamabatch.polling.gets import Gets
from airflow_provider_llamabatch.polling.lanes import Lanes
from airflow_provider_llamabatch.polling.pace import Pace
from airflow_provider_llamabatch.polling.plan import Ask, Plan, Update
from airflow_provider_llamabatch.polling.sources import ENDED
from airflow_provider_llamabatch.polling.sweep import Costs, Kind, Sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_llamabatch.batches.polling import PollResult
    from airflow_provider_llamabatch.polling.sources import Row, Source

RECHECK_GAPS = 20  # polls within which each wait is looked for on a list of everything
RECHECKED = 90  # waits looked for at a time: what fits on a page, with some neighbours
MAX_LIST_BREAK = 1800.0  # seconds for which lists that do not show what waits are left out at most
FROZEN = 0.5  # seconds: planned so much later than it asked for, this process has not run meanwhile
TOGETHER = 0.2  # seconds: what begins to wait within, when nobody waits yet, is polled together
MAX_MISSES = 6  # doublings of the time after which a wait that no list shows is expected on one again


@dataclass(slots=True)
class Schedule:
    """The waits of one source on one connection. ``random`` gives 0 to 1; ``origin`` is where the ticks count from."""

    source: Source
    origin: float
    random: Callable[[], float] = random.random
    # By id, mostly one each; tuples are smaller than lists.
    entries: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    pace: Pace = field(default_factory=Pace)  # of all requests of the connection in this process
    page_sizes: tuple[int, ...] = (defaults.MAX_PAGE_SIZE, defaults.PAGE_SIZE)  # not refused so far
    lanes: Lanes = field(init=False)
    sweep: Sweep | None = None
    no_list_before: float = 0.0  # lists do not show what waits
    list_break: float = 0.0
    recheck_share: float = 0.0  # waits to be looked for on a list of everything
    _wake: float = float("inf")  # when it wanted to be planned again
    _live: int = 0  # waits that are not over
    _is_refused: bool = False  # the key was not accepted when it was last sent
    _agenda: Agenda = field(init=False)
    _due: list[Entry] = field(default_factory=list)  # due while a sweep is under way
    _gets: Gets = field(init=False)

    def __post_init__(self) -> None:
        self._agenda = Agenda(self.origin)
        self.lanes = Lanes(self.random, self.pace)
        self._gets = Gets(self.source, self.entries, self.lanes)

    @property
    def failures(self) -> int:
        """The failures in a row of the kind of request that fares worst."""
        return self.lanes.failures

    def add(self, entry: Entry, now: float) -> float:
        """Take a wait in; returns when the schedule has to be planned for it."""
        if not self.entries:
            self._agenda.origin = max(entry.not_before, now + TOGETHER)
        key = entry.state.key
        self.entries[key] = (*self.entries.get(key, ()), entry)
        self._live += 1
        self._agenda.watch(entry, self._live)
        gap = entry.state.gap(now)
        # A tick at that very moment counts: a little before it, and by more than what a tick's own rounding takes.
        first = self._agenda.tick(max(entry.not_before, now) - 2e-6 * gap, gap)
        self._agenda.put(entry, first)
        if entry.created_at is not None:  # it has just been read; the others are dated by a list soon
            entry.recheck_at = first + RECHECK_GAPS / 2 * gap
        return min(first, entry.state.deadline)

    def remove(self, entry: Entry) -> None:
        """Let a wait go."""
        if entry.phase is Phase.OVER:
            return
        entry.phase = Phase.OVER
        self._live -= 1
        key = entry.state.key
        others = tuple(other for other in self.entries.pop(key) if other is not entry)
        if others:
            self.entries[key] = others
        elif self.sweep is not None:
            self.sweep.left.discard(key)

    def plan(self, now: float) -> Plan:
        """Return the waits that are over by their deadline, the requests to send now, and when to plan again."""
        expired = [(entry, entry.state.expired(now)) for entry in self._agenda.take_expired(now)]
        updates = [self._over(entry, result) for entry, result in expired if result is not None]
        self._due += self._agenda.take_due(now)
        sweep = self.sweep
        if sweep is not None and now > self._wake + FROZEN:
            sweep.moved_at = now  # it was this process that stood still, and the page may be there
        if sweep is not None and now >= sweep.stands_still_at(self.pace) and not sweep.is_over:
            if sweep.under_way:  # else it waits for the end of a pause
                self.lanes.on_error(self.lanes.lists, now)
            self._give_up(sweep)
        if self.sweep is not None and self.sweep.is_over:
            self._finish(self.sweep, now)
        if self._due and self.sweep is None:
            self._dispatch(self._due, now)
            self._due = []
        asks = [*self._page_asks(now), *self._gets.asks(now)]
        self._wake = self._wake_at(now)
        return Plan(updates, asks, self._wake)

    def on_page(self, ask: Ask, page: Any, now: float) -> list[Update]:
        """Take in a page of a list."""
        assert ask.walk is not None
        assert ask.sweep is not None
        self._answered(ask, now)
        walk, sweep = ask.walk, ask.sweep
        sweep.pages += 1
        sweep.moved_at = now
        rows = [self.source.row(item) for item in page.items]
        running = [row.key in self.entries for row in rows if row.status not in ENDED]
        self.costs.on_running(len(running), sum(running))
        for row in rows:  # a GET says nothing of whether lists show it
            for entry in self.entries.get(row.key, ()):
                entry.misses, entry.relist_at = 0, 0.0
        doubted = self._doubted(rows, now)
        updates = [update for row in rows if row.key not in doubted for update in self._on_row(row, now)]
        if self.costs.notices(walk.query, rows):
            self._restart(sweep, now)
        sweep.left.difference_update(row.key for row in rows if sweep.is_answered_by(row))
        try:
            walk.on_page(page.next_page_token)
        except InvalidResponseError:  # a list without an end
            self.lanes.on_error(ask.lane, now)
            self._give_up(sweep)
        if walk.following is not None:
            further = [walk]
            if walk.pages == 1 and self.costs.range_is_honoured:
                further = sweeps.split(sweep, walk, [row.created_at for row in rows], self.source)
            sweep.walks += [other for other in further if other is not walk]
            sweep.waiting.extend(further)
        return updates

    def on_item(self, ask: Ask, value: Any, now: float) -> list[Update]:
        """Take in the response to a GET."""
        self._answered(ask, now)
        row = self.source.row(value)
        updates = self._on_row(row, now)
        self._schedule_all(self.entries.get(ask.key, ()), now)
        return updates

    def on_error(self, ask: Ask, error: Exception, now: float) -> list[Update]:
        """Take in a request that failed."""
        error = self.lanes.news(ask.lane, ask, error)
        self._end(ask)
        if isinstance(error, (AuthenticationError, InvalidInputError)):
            self.lanes.on_error(ask.lane, now, error)
            self._is_refused = True
            touched: Iterable[Entry] = list(self._everybody())
        elif ask.walk is None:
            touched = self.entries.get(ask.key, ())
            if verdict_of(error) is None:  # what the API says of one says nothing of the others
                self.lanes.on_error(ask.lane, now, error)
        else:
            touched = ()
            if isinstance(error, RefusedError) and self.page_sizes:  # the largest size is not documented
                self.page_sizes = tuple(size for size in self.page_sizes if size < (ask.walk.page_size or 1))
                self._restart(ask.sweep, now)
            else:
                self.lanes.on_error(ask.lane, now, error)
        if ask.sweep is not None:
            self._give_up(ask.sweep)
        updates = []
        for entry in touched:
            result = entry.state.on_error(error, now, self.random)
            if result is not None:
                updates.append(self._over(entry, result))
            elif entry.phase is Phase.ASKED or (entry.phase is Phase.QUEUED and ask.key == entry.state.key):
                self._agenda.put(entry, ceil(entry.state.next_poll * 2) / 2)  # those that failed together
        return updates

    def _dispatch(self, due: list[Entry], now: float) -> None:
        """Decide how to ask for what is due."""
        due = [entry for entry in due if entry.phase is Phase.SCHEDULED]
        listed = [entry for entry in due if now >= entry.relist_at]
        kind = self.costs.choose(len(listed), self._shown(listed), self.source) if listed else Kind.GET
        if kind is not Kind.GET and now >= max(self.lanes.lists.health.paused_until, self.no_list_before):
            self._begin(kind, listed, now)
        self._enqueue_all(entry for entry in due if entry.phase is Phase.SCHEDULED)

    def _shown(self, listed: list[Entry]) -> int:
        """Return how many waits a list for these shows: others were created between them, and are not due."""
        if len(listed) >= self._live:
            return len(listed)
        oldest, newest = (pick(entry.listed_from for entry in listed) for pick in (min, max))
        return sum(oldest <= entry.listed_from <= newest for entry in self._everybody())

    def _begin(self, kind: Kind, entries: list[Entry], now: float) -> None:
        for entry in entries:
            entry.phase = Phase.SWEPT
        worth_it = (size for size in self.page_sizes if size <= max(defaults.PAGE_SIZE, len(entries)))
        self.sweep = sweeps.begin(kind, entries, self.source, next(worth_it, None), now)

    def _finish(self, sweep: Sweep, now: float) -> None:
        """Decide on what a sweep has not shown, and look for a share of it where it should be."""
        self.sweep = None
        if self.lanes.failures and not any(entry.state.failures for entry in self._everybody()):
            self.lanes.on_success(self.lanes.gets)  # lists have answered since for what GETs did not
        left = [entry for entry in sweep.entries if entry.phase is Phase.SWEPT]
        if sweep.kind is not Kind.KEYS:
            self.costs.learn(sweep)
        unseen = [entry for entry in left if entry.state.key in sweep.left]
        if sweep.kind is Kind.ENDED and sweep.is_read:
            self.costs.ended_per_sweep = len(sweep.entries) - len(left)
            self._schedule_all(left, now)
            self._recheck(left, now)
        elif sweep.kind is Kind.RUNNING and sweep.is_read:
            self.costs.ended_per_sweep = len(unseen)
            self._schedule_all([entry for entry in left if entry.state.key not in sweep.left], now)
            if len(unseen) > self.costs.pages.get(Kind.ENDED, len(ENDED)):
                self._begin(Kind.ENDED, unseen, now)
            else:
                self._enqueue_all(unseen)
        else:
            self._schedule_all([entry for entry in left if entry.state.key not in sweep.left], now)
            if sweep.is_read:
                self._note_missing(unseen, len(sweep.entries), now)
            if sweep.is_read or sweep.kind is not Kind.RECHECK:
                self._enqueue_all(unseen)
            else:  # too many others on that list
                self._schedule_all(unseen, now)
                self._enqueue_all(unseen[: ceil(len(unseen) / 4)])

    def _note_missing(self, unseen: list[Entry], of: int, now: float) -> None:
        """Expect what a list should have shown on lists ever more rarely; leave out lists that show less than half."""
        for entry in unseen:
            entry.misses += 1
            gaps = entry.state.gap(now) * 2 ** min(entry.misses, MAX_MISSES)
            entry.relist_at = now + min(MAX_LIST_BREAK, gaps)
        if 2 * len(unseen) <= of:
            self.list_break = 0.0
        else:
            gap = max(entry.state.gap(now) for entry in unseen)
            self.list_break = min(MAX_LIST_BREAK, max(2 * self.list_break, 2 * gap))
            self.no_list_before = now + self.list_break

    def _recheck(self, left: list[Entry], now: float) -> None:
        """
        Look for waits on a list of everything: for all whose creation times are unknown, where that pays.

        Else for a share of them, the oldest first, and not less than fills a page.
        """
        stale = [entry for entry in left if now >= entry.recheck_at and entry.phase is Phase.SCHEDULED]
        self.recheck_share = min(self.recheck_share + len(left) / RECHECK_GAPS, len(left))
        if self.costs.ended_per_sweep > len(left):  # what has ended fills that list just now
            return
        at_a_time = max(1, min(RECHECKED, len(left)))
        undated = [entry for entry in stale if entry.created_at is None]
        if len(undated) > at_a_time and self.costs.recheck_pays(len(undated)):
            # As after a restart: one reading dates them all, and a share would read as far each time.
            stale = undated
        else:
            count = int(self.recheck_share / at_a_time + 1e-6) * at_a_time
            stale = heapq.nsmallest(count, stale, key=lambda entry: entry.listed_from)
        self.recheck_share = max(0.0, self.recheck_share - len(stale))
        if len(stale) > 1:
            self._begin(Kind.RECHECK, stale, now)
        else:
            self._enqueue_all(stale)

    def _restart(self, sweep: Sweep | None, now: float) -> None:
        """Ask for the same anew, by what is known of the service now."""
        if sweep is not None and sweep is self.sweep:
            entries, self.sweep = [one for one in sweep.entries if one.phase is Phase.SWEPT], None
            if sweep.kind is Kind.RECHECK:
                self._begin(Kind.RECHECK, entries, now)
                return
            for entry in entries:
                entry.phase = Phase.SCHEDULED
            self._due += entries

    def _give_up(self, sweep: Sweep) -> None:
        """Have what a list should have shown asked for by GET."""
        if sweep is self.sweep:
            self.sweep = None
            self._enqueue_all(entry for entry in sweep.entries if entry.phase is Phase.SWEPT)

    def _page_asks(self, now: float) -> Iterable[Ask]:
        sweep = self.sweep
        places = self.lanes.lists.free(now)
        while sweep is not None and sweep.waiting and places > 0 and not sweep.is_over:
            walk = sweep.waiting.popleft()
            assert walk.following is not None
            ask = Ask(walk.following, walk=walk, sweep=sweep, lane=self.lanes.lists)
            if self.pace.gap or not sweep.under_way:  # waiting for a turn is no standing still
                sweep.moved_at = now
            sweep.under_way += 1
            self.lanes.lists.start(ask, now)
            places -= 1
            yield ask

    def _wake_at(self, now: float) -> float:
        times = [self._agenda.next_at, self._gets.opens_at(now)]
        if self.sweep is not None:
            times.append(self.sweep.stands_still_at(self.pace))
            times.append(self.lanes.lists.opens_at(now))
        return min(times)

    def _doubted(self, rows: list[Row], now: float) -> dict[str, None]:
        """Have what a list says has failed asked for by GET, and return it."""
        doubted = sweeps.doubted(rows, self.entries, self.source)
        waiting = [entry for key in doubted for entry in self.entries[key] if now >= entry.not_before]
        self._enqueue_all(entry for entry in waiting if entry.phase in (Phase.SCHEDULED, Phase.SWEPT))
        return doubted

    def _on_row(self, row: Row, now: float) -> list[Update]:
        updates = []
        for entry in self.entries.get(row.key, ()):
            if row.created_at is not None and entry.created_at is None:
                entry.created_at = entry.listed_from = row.created_at
            entry.recheck_at = now + RECHECK_GAPS * entry.state.gap(now)
            if now < entry.not_before:
                continue
            known = entry.state.status
            result = entry.state.on_status(row.status, now, row.message)
            if result is not None:
                updates.append(self._over(entry, result))
            elif row.status != known:
                updates.append(Update(entry, row.status))
        return updates

    def _over(self, entry: Entry, result: PollResult) -> Update:
        self.remove(entry)
        return Update(entry, result=result)

    def _everybody(self) -> Iterable[Entry]:
        return (entry for of_key in self.entries.values() for entry in of_key)

    def _answered(self, ask: Ask, now: float) -> None:
        """Take in that a request succeeded: its lane is sound, and the key is accepted."""
        self._end(ask)
        self.lanes.accepted_at = now
        self.lanes.on_success(ask.lane)
        if self._is_refused:
            self._is_refused = False
            for entry in self._everybody():
                entry.state.on_accepted()

    def _end(self, ask: Ask) -> None:
        if ask.lane is not None:
            ask.lane.end(ask)
        if ask.sweep is not None:
            ask.sweep.under_way -= 1

    def _enqueue_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._gets.put(entry)

    def _schedule_all(self, entries: Iterable[Entry], now: float) -> None:
        """Have waits asked for at their next ticks, which many share."""
        ticks: dict[float, float] = {}
        for entry in entries:
            if entry.phase is not Phase.OVER:
                gap = entry.state.gap(now)
                tick = ticks.get(gap)
                if tick is None:
                    tick = ticks[gap] = self._agenda.tick(now, gap)
                self._agenda.put(entry, tick)
