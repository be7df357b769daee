"""
One poll loop per event loop and connection for every batch that waits in this process.

Several batches that are due together are looked at through list pages, few through one GET each; so are those that
the pages did not show. At most a handful of requests are under way, trouble slows all of them down in one place, and
a connection that hangs delays only its own batches. The loop, its client and its socket live as long as somebody waits.

What a look means is decided in ``batches.waiting``; here is only when to look, and how.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_llamabatch.batches.waiting import Ended, Reason, Wait, pause

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import BatchStatusPage, BatchStatusRow

MOST_IN_FLIGHT = 4  # requests under way per connection
PAGE_SIZE = 100  # batches per list page
FEWEST_FOR_A_LIST = 4  # waits due together from which on a list is tried
SHORTEST_REST = 0.2  # seconds between two surveys: what is due within is looked at together
STALLED = 5.0  # seconds without a list page after which waits that are due are looked at one by one
UNKNOWN_AGE = 3600.0  # seconds before the wait began that a batch of unknown age is assumed to be made
LONGEST_LIST_BREAK = 1800.0  # seconds; lists that do not pay are tried again, ever more rarely
LONGEST_CLOSE = 5.0  # seconds
MOST_PAGE_TRIES = 3
TROUBLE_WORTH_A_LINE = 3  # failed looks in a row after which the log says so

log = logging.getLogger(__name__)

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Watcher]] = WeakKeyDictionary()


class Watched:
    """
    One batch that is watched for as long as this context is open, and the news of it.

    ``created_at`` (epoch seconds, by the service's clock) bounds the lists that are read.
    """

    __slots__ = (
        "_conn_id",
        "_news",
        "_reader",
        "_watcher",
        "busy",
        "listed_from",
        "misses",
        "not_before",
        "relist_at",
        "wait",
    )

    def __init__(self, conn_id: str, wait: Wait, created_at: float | None = None) -> None:
        self.wait = wait
        self.listed_from = wait.since - UNKNOWN_AGE if created_at is None else created_at
        self.not_before = wait.next_look  # a list may show the batch sooner, too soon to resume the task
        self.relist_at = 0.0  # not expected on a list page before
        self.misses = 0  # lists in a row that did not show it
        self.busy = False  # a look is under way
        self._conn_id = conn_id
        self._news: list[str | Ended | Exception] = []
        self._reader: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Watched:
        """Join the watcher of the connection; the first one to come starts it."""
        of_loop = _watchers.setdefault(asyncio.get_running_loop(), {})
        watcher = of_loop.get(self._conn_id)
        if watcher is None or watcher.ended:
            watcher = of_loop[self._conn_id] = Watcher(self._conn_id)
        self._watcher = watcher
        watcher.join(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave; the last one to go sees the connections closed, since its event loop may end right after."""
        watcher = self._watcher
        if watcher.leave(self):
            of_loop = _watchers.get(watcher.loop.get_loop(), {})
            if of_loop.get(self._conn_id) is watcher:
                del of_loop[self._conn_id]
            await asyncio.wait({watcher.loop}, timeout=LONGEST_CLOSE)

    async def news(self) -> str | Ended:
        """Return the next new status, or how the wait ended."""
        while not self._news:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        news = self._news.pop(0)
        if isinstance(news, Exception):
            raise news
        return news

    def tell(self, news: str | Ended | Exception) -> None:
        """Pass news on to the trigger."""
        self._news.append(news)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Watcher:
    """The poll loop for one connection."""

    def __init__(self, conn_id: str) -> None:
        from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

        self._hook = LlamaBatchHook(conn_id)
        self._waits: dict[str, list[Watched]] = {}
        self._all: set[Watched] = set()
        self._queue: deque[Watched] = deque()  # to be looked at one by one
        self._tasks: set[asyncio.Task[None]] = set()  # requests under way
        self._swept: list[Watched] | None = None  # what the list being read is read for
        self._page_at = 0.0  # when its last page came
        self._page_size: int | None = PAGE_SIZE
        self._no_list_before = 0.0
        self._list_break = 0.0
        self._paused_until = 0.0
        self._failures = 0
        self._wake = asyncio.Event()
        self.ended = False  # takes nobody in any more
        # An empty context: the log lines and spans of the loop do not belong to whichever task came first.
        self.loop = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    def join(self, watched: Watched) -> None:
        """Take a wait in."""
        self._all.add(watched)
        self._waits.setdefault(watched.wait.batch_id, []).append(watched)
        self._wake.set()

    def leave(self, watched: Watched) -> bool:
        """Let a wait go; returns True when it was the last one, so that the loop ends."""
        self._all.discard(watched)
        of_batch = self._waits.get(watched.wait.batch_id, [])
        if watched in of_batch:
            of_batch.remove(watched)
        if not of_batch:
            self._waits.pop(watched.wait.batch_id, None)
        if not self._all:
            self._wake.set()
        return not self._all

    async def _run(self) -> None:
        try:
            await asyncio.to_thread(_warm_up)
            while self._all:
                now = time.time()
                due, soon, next_event = self._survey(now)
                if now >= self._paused_until:
                    self._start_looks(due, soon, now)
                await self._rest(next_event)
        except Exception as error:  # a defect must not leave the waits hanging
            log.exception("The watcher of connection %s failed", self._hook.llamabatch_conn_id)
            for watched in list(self._all):
                watched.tell(error)
        finally:
            self.ended = True
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._hook.aclose()

    def _survey(self, now: float) -> tuple[list[Watched], list[Watched], float]:
        """Return what is due, what a list would serve as well, and when something else can happen."""
        due: list[Watched] = []
        soon: list[Watched] = []
        next_event = now + 3600.0
        for watched in list(self._all):
            wait = watched.wait
            if now >= wait.deadline:
                self._settle(watched, Ended(Reason.TIMED_OUT))
                continue
            next_event = min(next_event, wait.deadline)
            if watched.busy:
                continue
            if wait.next_look <= now:
                due.append(watched)
            else:
                next_event = min(next_event, max(wait.next_look, self._paused_until))
            if wait.next_look - wait.poll_interval / 2 <= now and watched.relist_at <= now:
                soon.append(watched)
        if (due or self._queue) and now < self._paused_until:
            next_event = min(next_event, self._paused_until)
        return due, soon, next_event

    async def _rest(self, until: float) -> None:
        if self._swept is not None:
            until = min(until, self._page_at + STALLED)
        seconds = until - time.time()
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(SHORTEST_REST, seconds)):
                await self._wake.wait()

    def _start_looks(self, due: list[Watched], soon: list[Watched], now: float) -> None:
        listing = self._swept is not None
        stalled = listing and now >= self._page_at + STALLED
        if due and not listing and len(soon) >= FEWEST_FOR_A_LIST and now >= self._no_list_before:
            self._swept, self._page_at, listing = soon, now, True
            self._spawn(self._look_by_list(soon))
        for watched in due:
            if not listing or stalled or watched.relist_at > now:
                watched.busy = True
                self._queue.append(watched)
        most = 1 if self._failures else MOST_IN_FLIGHT  # after trouble one request tries whether it is over
        for _ in range(min(len(self._queue), most - len(self._tasks))):
            self._spawn(self._look_one_by_one())

    def _spawn(self, look: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(look)
        self._tasks.add(task)
        task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _look_one_by_one(self) -> None:
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.retries import ONCE

        while self._queue and time.time() >= self._paused_until:
            watched = self._queue.popleft()
            try:
                if watched in self._all:
                    batch = await self._hook.asend(calls.get_batch(watched.wait.batch_id), ONCE)
                    self._recovered()
                    self._saw(watched, batch.status)
            except Exception as error:
                self._stumbled([watched], error)
            finally:
                watched.busy = False

    async def _look_by_list(self, soon: list[Watched]) -> None:
        """
        Read list pages until everything in ``soon`` was seen.

        A list may cost at most half of what one GET each would; one that does not show enough within that, or fails,
        gives way to GETs for a while.
        """
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.call import page_after

        left = {watched.wait.batch_id for watched in soon}
        oldest = datetime.fromtimestamp(min(watched.listed_from for watched in soon) - 1.0, UTC)
        first = calls.list_batch_statuses(created_at_on_or_after=oldest, page_size=self._page_size)
        following: Call[BatchStatusPage] | None = first
        tokens, pages_left = set[str](), max(1, len(soon) // 2)
        try:
            while following is not None and left and pages_left:
                page = await self._page(following)
                self._saw_page(page.items, left)
                following = page_after(first, page.next_page_token, tokens)
                pages_left -= 1
            self._rate_list(paid=not left or following is None, soon=soon)
            if following is None:
                self._note_missing(soon, left)
        except Exception as error:
            self._rate_list(paid=False, soon=soon)
            self._stumbled_on_list(error)
        finally:
            self._swept = None

    async def _page(self, call: Call[BatchStatusPage]) -> BatchStatusPage:
        """Read one list page, trying again after small failures: the pages before it would be read in vain."""
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
        from airflow_provider_llamabatch.llamacloud.retries import ONCE, is_transient

        for tries_left in reversed(range(1 if self._list_break else MOST_PAGE_TRIES)):
            try:
                page = await self._hook.asend(call, ONCE)
                break
            except LlamaCloudError as error:
                if not tries_left or not is_transient(error):
                    raise
                self._pause(error)
                await asyncio.sleep(max(0.0, self._paused_until - time.time()))
        self._recovered()
        self._page_at = time.time()
        return page

    def _saw_page(self, glances: list[BatchStatusRow], left: set[str]) -> None:
        for glance in glances:
            left.discard(glance.id)
            for watched in tuple(self._waits.get(glance.id, ())):
                watched.misses, watched.relist_at = 0, 0.0
                self._saw(watched, glance.status)

    def _note_missing(self, soon: list[Watched], left: set[str]) -> None:
        """Have what the list did not show looked at by GET, and expect it on lists ever more rarely."""
        now = time.time()
        for watched in soon:
            if watched.wait.batch_id in left:
                watched.misses += 1
                watched.relist_at = now + watched.wait.poll_interval * 2.0 ** min(watched.misses, 8)

    def _rate_list(self, *, paid: bool, soon: list[Watched]) -> None:
        if paid:
            self._list_break = 0.0
            return
        longest = max(watched.wait.poll_interval for watched in soon)
        self._list_break = min(LONGEST_LIST_BREAK, max(2 * self._list_break, 2 * longest))
        self._no_list_before = time.time() + self._list_break

    def _stumbled_on_list(self, error: Exception) -> None:
        """Take in a failed list: it says nothing about a single batch, unless the key or connection is at fault."""
        from airflow_provider_llamabatch.llamacloud.errors import (
            AuthenticationError,
            InvalidInputError,
            RateLimitedError,
            RefusedError,
        )

        if isinstance(error, (AuthenticationError, InvalidInputError)):
            self._stumbled(list(self._all), error)
        elif isinstance(error, RefusedError) and self._page_size is not None:
            self._page_size, self._no_list_before = None, 0.0  # the largest page size is not documented
        elif isinstance(error, RateLimitedError):
            self._pause(error)

    def _saw(self, watched: Watched, status: str) -> None:
        known, now = watched.wait.status, time.time()
        if now < watched.not_before:
            return
        ended = watched.wait.saw(status, now)
        if ended is not None:
            self._settle(watched, ended)
        elif status != known:
            watched.tell(status)

    def _stumbled(self, waits: list[Watched], error: Exception) -> None:
        """Take in a failed look; trouble of Airflow itself (looking the connection up) is waited out as well."""
        from airflow_provider_llamabatch.llamacloud.errors import (
            LlamaCloudError,
            NoResponseError,
            NotFoundError,
        )

        if not isinstance(error, LlamaCloudError):
            error = NoResponseError(f"{type(error).__name__}: {error}", reached_server=False)
        if not isinstance(
            error, NotFoundError
        ):  # a batch that is not there yet says nothing about the others
            self._pause(error)
        now = time.time()
        rest = pause(max(1, self._failures), error, random.random)
        for watched in waits:
            ended = watched.wait.stumbled(error, now, rest)
            if ended is not None:
                self._settle(watched, ended)

    def _pause(self, error: Exception) -> None:
        """Slow the whole connection down; failures that arrive together count as one."""
        now = time.time()
        if now < self._paused_until:
            return
        self._failures += 1
        self._paused_until = now + pause(self._failures, error, random.random)
        if self._failures == TROUBLE_WORTH_A_LINE:
            log.warning("Looks at batches keep failing and are tried ever more rarely: %s", error)

    def _recovered(self) -> None:
        if self._failures >= TROUBLE_WORTH_A_LINE:
            log.info("Looks at batches succeed again after %s failures in a row", self._failures)
        if self._failures:
            self._failures = 0
            self._wake.set()  # more than one request at a time again

    def _settle(self, watched: Watched, ended: Ended) -> None:
        self.leave(watched)
        watched.tell(ended)


def _warm_up() -> None:
    """Import and build what the first look needs; it takes tens of milliseconds, so not on the event loop."""
    from airflow_provider_llamabatch.llamacloud import calls

    calls.get_batch("warm-up").parse(b'{"id": "warm-up", "status": ""}')
    calls.list_batch_statuses(created_at_on_or_after=datetime.now(UTC), page_size=None).parse(
        b'{"items": []}'
    )
