"""
One virtual clock for many processes: each is an asyncio event loop of its own, all are stepped by one heap of events.

So a process can be frozen, thawed and killed between any two steps while the others go on, in one thread.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from contextvars import Context, copy_context
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

EPOCH = 1_800_000_000.0  # what every clock shows at the virtual time 0, if it is right
MAX_EVENTS = 60_000  # of one history


class HistoryTooLongError(Exception):
    """A history does not come to its end: something goes round in circles."""


class Handle:
    """What a process has to do: as asyncio's own handles, with nothing in it that is not asked for here."""

    __slots__ = ("_act", "_args", "_context", "is_cancelled")

    def __init__(self, act: Callable[..., Any], args: tuple[Any, ...], context: Context | None) -> None:
        self._act, self._args, self._context = act, args, context or copy_context()
        self.is_cancelled = False

    def cancel(self) -> None:
        """Leave it undone; it stays where it is and is passed over."""
        self.is_cancelled = True

    def run(self, process: Process) -> None:
        """Do it."""
        try:
            self._context.run(self._act, *self._args)
        except Exception as error:
            process.call_exception_handler({"message": f"in {self._act!r}", "exception": error})


class Clockwork:
    """The virtual clock, and what happens when; ``now`` is in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.processes: list[Process] = []
        self._heap: list[tuple[float, int, Process | None, Any]] = []
        self._numbers = count()
        self._events = 0

    def at(self, time: float, act: Callable[[], Any]) -> None:
        """Have something done at a time, whatever becomes of the processes."""
        heapq.heappush(self._heap, (max(time, self.now), next(self._numbers), None, act))

    def push(self, time: float, process: Process, handle: Handle) -> None:
        """Have a process do something at a time, or when it can again."""
        heapq.heappush(self._heap, (time, next(self._numbers), process, handle))

    def run(self, until: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until ``until``, or until ``stop`` says so after an event."""
        try:
            is_stopped = self._run(until, stop)
        finally:
            events._set_running_loop(None)
        if until != float("inf") and not is_stopped:
            self.now = max(self.now, until)

    def _run(self, until: float, stop: Callable[[], bool]) -> bool:
        heap = self._heap
        running: Process | None = None
        while heap and heap[0][0] <= until:
            time, number, process, act = heapq.heappop(heap)
            if process is None:
                self.now = max(self.now, time)
                act()
            elif act.is_cancelled:
                continue
            elif process.is_dead:
                process.missed.append(act)
                continue
            elif process.frozen_until > time:
                heapq.heappush(heap, (process.frozen_until, number, process, act))
                continue
            else:
                self.now = max(self.now, time)
                if process is not running:
                    events._set_running_loop(process)
                    running = process
                act.run(process)
            self._events += 1
            if self._events > MAX_EVENTS:
                raise HistoryTooLongError(f"more than {MAX_EVENTS} events by {self.now:.0f} s")
            if stop():
                return True
        return False

    def bury(self) -> None:
        """End every process in good order, the killed ones too, so that nothing of this history is left in memory."""
        self._heap = [event for event in self._heap if event[2] is not None]
        heapq.heapify(self._heap)
        self._events = 0
        for process in self.processes:
            process.is_dead, process.frozen_until, process.is_buried = False, 0.0, True
            for handle in process.missed:
                self.push(self.now, process, handle)
            for task in list(process.tasks):
                task.cancel()
        self.run(float("inf"))


class Process(asyncio.AbstractEventLoop):
    """A process as an event loop on the virtual clock; ``ahead`` is by how many seconds its wall clock is wrong."""

    def __init__(self, clockwork: Clockwork, name: str, ahead: float = 0.0) -> None:
        self.clockwork, self.name, self.ahead = clockwork, name, ahead
        self.frozen_until = 0.0
        self.is_dead = self.is_buried = False
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.missed: list[Handle] = []  # what came up after it was killed
        self.unhandled: list[str] = []
        self.poster: Any = None  # the worker that this is
        self.verdicts: list[tuple[float, int, str]] = []  # errors that the API itself answered with
        self.outdated_at = -1.0  # when a key was last refused that is not the service's
        self.answers: dict[str, float] = {}  # by id: when its API last showed it as running
        clockwork.processes.append(self)

    def clock(self) -> float:
        """Return the epoch seconds that this process's wall clock shows."""
        return EPOCH + self.clockwork.now + self.ahead

    def freeze(self, seconds: float) -> None:
        """Let it stand still, as SIGSTOP does; its events wait."""
        self.frozen_until = self.clockwork.now + seconds

    def kill(self) -> None:
        """End it, as SIGKILL does: nothing of it runs any more."""
        self.is_dead = True

    @property
    def is_frozen(self) -> bool:
        return self.frozen_until > self.clockwork.now

    # What asyncio asks of an event loop

    def time(self) -> float:
        return self.clockwork.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        handle = Handle(callback, args, context)
        self.clockwork.push(self.clockwork.now, self, handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        handle = Handle(callback, args, context)
        self.clockwork.push(max(when, self.clockwork.now), self, handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        return self.call_at(self.clockwork.now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **kwargs)
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_buried:
            self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
