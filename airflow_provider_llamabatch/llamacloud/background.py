"""An event loop of its own on a thread, so that synchronous code can use what is written once, asynchronously."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_llamabatch.defaults import CLOSE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


class BackgroundLoop:
    """
    Runs coroutines on a daemon thread and blocks until they are done.

    Safe inside a running event loop, from several threads, and in a signal handler that interrupts another ``run`` of
    the same thread. An exception that ends the waiting (a time-out, a kill) cancels the coroutine.
    ``closing`` runs on the loop as its last work.
    """

    def __init__(self, closing: Callable[[], Awaitable[None]]) -> None:
        self._closing = closing
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="llamabatch-client", daemon=True)
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        """Say whether coroutines can be run: not closed, and not left behind by a fork."""
        return self._process == os.getpid() and not self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the coroutine's value, or raise what it raises; ``CancelledError`` when the loop is closed."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # it holds the exception, whose traceback holds this frame

    def close(self) -> None:
        """End what is under way, and the thread."""
        if not self.is_usable:
            return
        with suppress(RuntimeError):  # closed by another thread in the meantime
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * CLOSE_TIMEOUT)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._wind_up())
            self._loop.close()

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._closing()
                await self._loop.shutdown_asyncgens()
