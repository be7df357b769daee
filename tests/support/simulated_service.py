"""A simulated LlamaCloud for the poll schedule: batches that end at given times, lists, and a virtual clock."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches.polling import PollState, Reason
from airflow_provider_llamabatch.llamacloud.errors import NotFoundError
from airflow_provider_llamabatch.polling.entries import Entry
from airflow_provider_llamabatch.polling.schedule import Schedule
from airflow_provider_llamabatch.polling.sources import Batches, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.polling.plan import Ask, Update

EPOCH = 1_800_000_000.0  # the service's clock at the virtual time 0
PAGE_SIZE = 100
MAX_PLANS = 500  # within a millisecond


@dataclass
class SimulatedBatch:
    """A batch by the virtual clock."""

    key: str
    created_at: float
    ends_at: float
    end: str = "COMPLETED"

    def status(self, now: float) -> str:
        return self.end if now >= self.ends_at else "RUNNING"


@dataclass
class Service:
    """
    Answers the calls of a schedule. ``lag``: seconds by which lists are behind; ``hidden``: ids that no list shows.
    """

    batches: dict[str, SimulatedBatch] = field(default_factory=dict)
    honours_filters: bool = True
    lag: float = 0.0
    hidden: frozenset[str] = frozenset()
    seconds: Callable[[Ask], float] = lambda ask: 0.05
    fails: Callable[[Ask, float], Exception | None] = lambda ask, now: None

    def add(self, key: str, created_at: float, ends_at: float, end: str = "COMPLETED") -> None:
        self.batches[key] = SimulatedBatch(key, created_at, ends_at, end)

    def answer(self, ask: Ask, now: float) -> Any:
        error = self.fails(ask, now)
        if error is not None:
            raise error
        if ask.walk is None:
            batch = self.batches.get(ask.key)
            if batch is None:
                raise NotFoundError("404", status_code=404, from_api=True)
            return self._row(batch, now)
        return self._page(dict(ask.call.query), now)

    def _page(self, query: dict[str, str], now: float) -> Any:
        after, before = (
            datetime.fromisoformat(query[name]).timestamp() - EPOCH if name in query else default
            for name, default in (
                ("created_at_on_or_after", -1e12),
                ("created_at_on_or_before", 1e12),
            )
        )
        wanted, shown_at = query.get("status"), now - self.lag
        rows = []
        for batch in sorted(self.batches.values(), key=lambda batch: batch.created_at, reverse=True):
            if batch.key in self.hidden or batch.created_at > shown_at:
                continue
            status = batch.status(shown_at)
            in_range = after <= batch.created_at <= before and wanted in (None, status)
            if in_range or not self.honours_filters:
                rows.append(self._row(batch, shown_at))
        start = int(query.get("page_token", "0"))
        end = start + min(PAGE_SIZE, int(query.get("page_size", 20)))
        return SimpleNamespace(items=rows[start:end], next_page_token=str(end) if end < len(rows) else None)

    def _row(self, batch: SimulatedBatch, now: float) -> Any:
        created = datetime.fromtimestamp(EPOCH + batch.created_at, UTC)
        return SimpleNamespace(id=batch.key, status=batch.status(now), created_at=created)


@dataclass
class Run:
    """A schedule driven on a virtual clock; ``found`` says when each wait ended, and how."""

    service: Service
    source: Source = field(default_factory=Batches)
    now: float = 0.0
    asked: list[tuple[float, Ask]] = field(default_factory=list)
    found: dict[str, tuple[float, Reason]] = field(default_factory=dict)
    statuses: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.source, origin=0.0, random=random.Random(1).random)
        self._events: list[tuple[float, int, Any]] = []
        self._numbers = count()

    def wait(
        self,
        key: str,
        *,
        begins: float,
        first_poll: float | None = None,
        interval: float = 5.0,
        deadline: float = 1e9,
        created_at: float | None = None,
        missing_grace: float = 300.0,
    ) -> None:
        """Have a wait begin at a time."""
        state = PollState(
            key,
            deadline,
            interval,
            since=begins,
            next_poll=begins if first_poll is None else first_poll,
            missing_grace=missing_grace,
        )
        listed_from = EPOCH + (begins - 3600.0 if created_at is None else created_at)
        entry = Entry(
            state,
            created_at=None if created_at is None else EPOCH + created_at,
            listed_from=listed_from,
        )
        self.at(begins, lambda: self.schedule.add(entry, self.now))

    def at(self, time: float, act: Callable[[], Any]) -> None:
        """Have something done at a time."""
        heapq.heappush(self._events, (time, next(self._numbers), act))

    def until(self, end: float) -> None:
        """Let time pass."""
        wake_at = self.now
        since, plans = self.now, 0
        while True:
            next_event = self._events[0][0] if self._events else float("inf")
            time = min(wake_at, next_event)
            if time > end:
                self.now = end
                return
            self.now = max(self.now, time)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            since, plans = (self.now, 0) if self.now > since + 0.001 else (since, plans + 1)
            assert plans < MAX_PLANS, "the schedule is planned round and round"
            plan = self.schedule.plan(self.now)
            self._take(plan.updates)
            for ask in plan.asks:
                self.asked.append((self.now, ask))
                self._send(ask)
            wake_at = max(plan.wake_at, self.now + 1e-9)

    @property
    def lists(self) -> int:
        return sum(ask.walk is not None for _, ask in self.asked)

    @property
    def gets(self) -> int:
        return sum(ask.walk is None for _, ask in self.asked)

    def _send(self, ask: Ask) -> None:
        def respond() -> None:
            try:
                value = self.service.answer(ask, self.now)
            except Exception as error:
                self._take(self.schedule.on_error(ask, error, self.now))
            else:
                take = self.schedule.on_item if ask.walk is None else self.schedule.on_page
                self._take(take(ask, value, self.now))

        self.at(self.now + self.service.seconds(ask), respond)

    def _take(self, updates: list[Update]) -> None:
        for update in updates:
            key = update.entry.state.key
            if update.result is None:
                self.statuses.append((key, update.status))
            else:
                assert key not in self.found, "a wait ends once"
                self.found[key] = (self.now, update.result.reason)
