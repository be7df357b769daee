"""
The asyncio half of polling: one ``PollLoop`` per event loop and connection for everything that waits in this process.

It sends what the schedules plan, hands responses back to them, and passes their updates on to the subscribers. It
lives, with its client and its connections, as long as somebody waits. When to ask for what: see ``schedule.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_llamabatch import defaults, metrics
from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.hooks.connections import explained
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.retries import ONCE, POLL
from airflow_provider_llamabatch.polling.entries import Entry
from airflow_provider_llamabatch.polling.pace import Pace
from airflow_provider_llamabatch.polling.schedule import Schedule
from airflow_provider_llamabatch.polling.sources import MAX_EPOCH
from airflow_provider_llamabatch.polling.watching import News, WatchedBatches, WatchSchedule

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from airflow_provider_llamabatch.polling.plan import Ask, Plan, Update
    from airflow_provider_llamabatch.polling.sources import Source
    from airflow_provider_llamabatch.polling.watching import Watch

UNKNOWN_AGE = 3600.0  # seconds before the wait began that something of unknown age is assumed to be made
MAX_CLOSE = 5.0  # seconds
PREPARE_SECONDS = 5.0  # before the first poll; a cold triggerer takes some
AT_ONCE = 10  # updates passed on in a turn of the event loop
TROUBLE_WORTH_A_LINE = 3  # failures in a row after which the log says so

T = TypeVar("T")

log = logging.getLogger(__name__)

_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, PollLoop]] = WeakKeyDictionary()


class _Subscriber(Generic[T]):
    """What one trigger is told by the poll loop of its connection, for as long as this context is open."""

    __slots__ = ("_entries", "_loop", "_reader", "_schedule", "_told", "conn_id", "source")

    def __init__(self, conn_id: str, source: Source, entries: Iterable[Any]) -> None:
        self.conn_id, self.source = conn_id, source
        # Tuples, not lists: there is one of each for every wait, and they are mostly empty or of one.
        self._entries = tuple(entries)
        self._told: tuple[T | Exception, ...] = ()
        self._reader: asyncio.Future[None] | None = None
        for entry in self._entries:
            entry.subscriber = self

    async def __aenter__(self) -> Self:
        """Join the poll loop of the connection; the first one to come starts it."""
        of_loop = _loops.setdefault(asyncio.get_running_loop(), {})
        loop = of_loop.get(self.conn_id)
        if loop is None or loop.is_closing:
            loop = of_loop[self.conn_id] = PollLoop(self.conn_id)
        self._loop = loop
        self._schedule = loop.join(self.source, self._entries)
        self.source = self._schedule.source  # one for all, not one each
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave; the last one to go sees the connections closed, since its event loop may end right after."""
        loop = self._loop
        loop.leave(self._schedule, self._entries)
        if loop.is_closing:
            await asyncio.wait({loop.task}, timeout=MAX_CLOSE)

    async def next_update(self) -> T:
        """Return the next update; raises what has ended the poll loop, which only a defect can."""
        while not self._told:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        update, *later = self._told
        self._told = tuple(later)
        if isinstance(update, Exception):
            raise update
        return update

    def publish(self, update: T | Exception) -> None:
        """Pass an update on to the trigger."""
        self._told = (*self._told, update)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Subscription(_Subscriber["Update"]):
    """
    Updates of the waits of one trigger.

    Times in ``states`` are those of the event loop's clock, see ``loop_time``. ``listed_from`` (epoch seconds) is a
    time before which nothing that is waited for was created, by the service's clock; ``created_at`` the same, exactly.
    Raises ``InvalidInputError`` for an id that is none.
    """

    __slots__ = ()

    def __init__(
        self,
        conn_id: str,
        source: Source,
        states: Iterable[PollState],
        *,
        listed_from: float,
        created_at: float | None = None,
    ) -> None:
        created_at = None if created_at is None else float(created_at)  # a DAG's own trigger may give an int
        exactly = float(listed_from) if created_at is None else created_at
        entries = [Entry(state, created_at=created_at, listed_from=exactly) for state in states]
        for entry in entries:
            source.get(entry.state.key)  # what is no id is refused here, where it concerns nobody else
        super().__init__(conn_id, source, entries)


class WatchSubscription(_Subscriber[News]):
    """What a watcher of a directory is told."""

    __slots__ = ()

    def __init__(self, conn_id: str, source: WatchedBatches, watch: Watch) -> None:
        source.within(watch.directory_id, 0.0)  # as above
        super().__init__(conn_id, source, [watch])


def check_times(**values: float | None) -> None:
    """Refuse what is no number of seconds: on the clock of all waits it would hold up the others."""
    for argument, value in values.items():
        left_open = value is None and argument not in ("poll_interval", "missing_grace")
        is_number = (
            isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_EPOCH
        )
        if not is_number and not left_open:
            raise InvalidInputError(argument, f"must be a finite number of seconds, not {value!r:.100}")


def loop_time(epoch: float, now: float) -> float:
    """Return an epoch time (``now`` is that of this moment) by the running event loop's clock, which never jumps."""
    return asyncio.get_running_loop().time() + (epoch - now)


def first_poll(first_look_at: float | None, since: float, now: float) -> float:
    """Return when to poll first, by the loop's clock: a worker's clock that is ahead must not delay it by as much."""
    first = now if first_look_at is None else first_look_at
    return loop_time(min(first, now + max(0.0, first - since)), now)


def wait_state(
    key: str,
    *,
    deadline: float,
    poll_interval: float,
    since: float,
    first_look_at: float | None,
    missing_grace: float = defaults.MISSING_GRACE,
    now: float,
) -> PollState:
    """
    Return a trigger's wait by the loop's clock; all times are epoch seconds, ``now`` is this moment's.

    ``since`` is of a worker's clock. Where that is ahead the wait would be young for as long, and where it is behind a
    404 would count at once: so no wait begins later than now, and ``missing_grace`` counts from now on.
    """
    return PollState(
        key,
        loop_time(deadline, now),
        max(defaults.MIN_POLL_INTERVAL, poll_interval),
        since=loop_time(min(since, now), now),
        next_poll=first_poll(first_look_at, since, now),
        missing_grace=missing_grace + max(0.0, now - since),
    )


class PollLoop:
    """Everything that waits in this process on one connection: a schedule per source, one client."""

    def __init__(self, conn_id: str, hook: Any = None) -> None:
        from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

        self._hook = hook or LlamaBatchHook(conn_id)
        self._conn_id = conn_id
        self._schedules: dict[Source, Any] = {}  # each a Schedule, or a WatchSchedule
        self._under_way: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()  # of the response that is taken in now
        self._untold: deque[Update | News] = deque()  # what triggers are yet to be told
        self._is_telling = False
        self._wake = asyncio.Event()
        self._wake_at = 0.0
        self._problems: dict[Source, str] = {}  # what was last wrong with the polls of each
        self._in_trouble: set[Source] = set()  # of which the log tells so
        self.is_closing = False
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        # Nothing is asked before that is known; deadlines do not wait for it.
        self._pace = Pace(next_at=float("inf"))
        self._is_pace_known = False
        # An empty context: the log lines and spans of the loop do not belong to whichever task came first.
        self.task = loop.create_task(self._run(), context=contextvars.Context())

    @property
    def is_needed(self) -> bool:
        """Say whether anybody waits, or is yet to be told."""
        return bool(self._untold) or any(schedule.entries for schedule in self._schedules.values())

    def join(self, source: Source, entries: Iterable[Any]) -> Any:
        """Take waits, or watches, in; returns their schedule."""
        now = self._clock()
        schedule = self._schedules.get(source)
        if schedule is None:
            schedule = self._schedules[source] = _schedule_of(source, now, self._pace)
        if min((schedule.add(entry, now) for entry in entries), default=self._wake_at) < self._wake_at:
            self._wake.set()
        return schedule

    def leave(self, schedule: Any, entries: Iterable[Any]) -> None:
        """Let them go."""
        for entry in entries:
            schedule.remove(entry)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self.is_needed:
            self.is_closing = True
            self._wake.set()
            of_loop = _loops.get(asyncio.get_running_loop(), {})
            if of_loop.get(self._conn_id) is self:
                del of_loop[self._conn_id]

    async def _run(self) -> None:
        try:
            self._begin(self._prepare(list(self._schedules)))
            while not self.is_closing:
                self._wake.clear()
                self._wake_at = float("inf")  # whoever joins while this plans wakes it again
                planned = [self._plan(schedule) for schedule in list(self._schedules.values())]
                self._wake_at = min(planned, default=float("inf"))
                await self._rest()
        except Exception as error:  # a defect must not leave the waits hanging
            self.is_closing = True
            for schedule in list(self._schedules.values()):
                self._fail(schedule, error)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            while self._untold:
                self._tell_next()
            await self._hook.aclose()

    async def _prepare(self, sources: Iterable[Source]) -> None:
        """
        Do what the first request needs; where that takes too long or fails, the first request tells why.

        Both take a thread, of a pool that is shared with every other trigger and may be busy.
        """
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PREPARE_SECONDS):
                await asyncio.to_thread(_warm_up, sources)
                await self._learn_pace()
        self._pace.next_at = self._clock() + self._pace.gap  # what ran before may just have sent one
        self._wake.set()

    async def _learn_pace(self) -> None:
        """Learn how many requests the connection allows."""
        self._pace.gap = await self._hook.arequest_gap()
        self._is_pace_known = True

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _plan(self, schedule: Any) -> float:
        """Do what is to be done now for one source; returns when it has to be planned again."""
        try:
            plan: Plan = schedule.plan(self._clock())
        except Exception as error:
            self._fail(schedule, error)
            return float("inf")
        for ask in plan.asks:
            self._begin(self._request(schedule, ask))
        if plan.asks:  # where requests take turns, the other sources come first next time
            self._schedules[schedule.source] = self._schedules.pop(schedule.source)
        self._tell_of_trouble(schedule)
        self._publish(plan.updates)
        return plan.wake_at

    def _fail(self, schedule: Any, error: Exception) -> None:
        """Have a defect end what waits for one source: it must neither leave that hanging nor end anything else."""
        source = schedule.source
        log.error("Polling %s on connection %s failed", source, self._conn_id, exc_info=error)
        if self._schedules.get(source) is schedule:
            del self._schedules[source]
        for entry in [entry for of_key in schedule.entries.values() for entry in of_key]:
            entry.subscriber.publish(error)

    async def _rest(self) -> None:
        timeout = None if self._wake_at == float("inf") else max(0.0, self._wake_at - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    async def _request(self, schedule: Any, ask: Ask) -> None:
        try:
            if ask.lane is None and self._pace.gap:  # a watcher's: the others are planned for their turn
                await asyncio.sleep(self._pace.take(self._clock()) - self._clock())
            with metrics.polling("get" if ask.walk is None else "list_page"):
                # Two paces would drift apart, and lists be given up before they are sent.
                policy = POLL if self._pace.gap else ONCE
                value = await self._hook.asend(ask.call, policy, within=defaults.POLL_TIMEOUT)
        except Exception as error:  # Airflow's own trouble, in reading the connection, is waited out as well
            problem = explained(error)
            self._problems[schedule.source] = str(problem)
            take = partial(schedule.on_error, ask, problem)
        else:
            take = partial(schedule.on_item if ask.walk is None else schedule.on_page, ask, value)
            if not self._is_pace_known:  # the connection could not be read in time
                with contextlib.suppress(Exception):
                    await self._learn_pace()
        async with self._turn:  # a page takes milliseconds: one in a turn of the event loop
            try:
                self._publish(take(self._clock()))
            except Exception as error:
                self._fail(schedule, error)
            self._wake.set()
            await asyncio.sleep(0)

    def _publish(self, updates: Iterable[Update | News]) -> None:
        self._untold.extend(updates)
        if self._untold and not self._is_telling:
            self._is_telling = True
            self._begin(self._tell())

    async def _tell(self) -> None:
        """Pass updates on, a few in a turn of the event loop: each wakes a trigger."""
        while self._untold:
            for _ in range(min(AT_ONCE, len(self._untold))):
                self._tell_next()
            await asyncio.sleep(0)
        self._is_telling = False
        self._close_if_idle()

    def _tell_next(self) -> None:
        update = self._untold.popleft()
        update.entry.subscriber.publish(update)

    def _tell_of_trouble(self, schedule: Any) -> None:
        source = schedule.source
        if source not in self._in_trouble and schedule.failures >= TROUBLE_WORTH_A_LINE:
            self._in_trouble.add(source)
            log.warning(
                "Polls on connection %s keep failing and are sent ever more rarely (%s): %s",
                self._conn_id,
                source,
                self._problems.get(source),
            )
        elif source in self._in_trouble and not schedule.failures:
            self._in_trouble.discard(source)
            log.info("Polls on connection %s succeed again (%s)", self._conn_id, source)


def _schedule_of(source: Source, now: float, pace: Pace) -> Schedule | WatchSchedule:
    if isinstance(source, WatchedBatches):
        return WatchSchedule(source, epoch=time.time)
    return Schedule(source, origin=now, pace=pace)


def _warm_up(sources: Iterable[Source]) -> None:
    """Build what reads the first responses; it takes tens of milliseconds, so not on the event loop."""
    from airflow_provider_llamabatch.polling.sources import Query

    for source in sources:
        with contextlib.suppress(ValueError):
            source.get("warm-up").parse(b"{}")
        with contextlib.suppress(ValueError):
            source.bulk(Query(keys=("warm-up",)), None).parse(b"{}")
