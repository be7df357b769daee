"""Time that is turned instead of waited for, while DAGs run in a test."""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_llamabatch.emulator.state.service import EmulatorState

GRACE = 0.02
"""How long an event loop that seems idle is really waited for, in seconds: an answer may be on its way."""
STEP = 0.5
"""Time is turned in steps of so many seconds while the emulator holds an answer back."""
SETTLE = 0.002

_sleep = time.sleep
_time = time.time


class TurnedTime:
    """How far time has been turned. The emulator's clock follows, as it is read from the same ``time.time``."""

    def __init__(self, service: EmulatorState) -> None:
        self.service = service
        self.offset = 0.0
        self.active = True

    def turn(self, seconds: float) -> None:
        """Let so many seconds have passed."""
        self.offset += seconds
        self.service.on_change()

    def time(self) -> float:
        """Stand in for ``time.time``."""
        return _time() + self.offset

    def sleep(self, seconds: float) -> None:
        """Stand in for ``time.sleep``: what the test's own thread waits for is turned, others really sleep."""
        if self.active and threading.current_thread() is threading.main_thread():
            self.turn(seconds)
            _sleep(min(seconds, SETTLE))
        else:
            _sleep(seconds)


class _Selector(selectors.DefaultSelector):
    """Turns time when a loop has nothing to do until a timer is due."""

    def __init__(self, clock: TurnedTime, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._clock = clock
        self._is_busy = is_busy

    def select(self, timeout: float | None = None) -> Any:
        if not self._clock.active or timeout is None or timeout <= GRACE:
            return super().select(timeout)
        events = super().select(GRACE)
        if not events and not self._is_busy():
            held_back = self._clock.service.held_back > 0
            self._clock.turn(min(timeout, STEP) if held_back else timeout)
        return events


class TurningLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers come as soon as nothing else is left to do."""

    def __init__(self, clock: TurnedTime) -> None:
        self._clock = clock
        self._at_work = 0
        super().__init__(_Selector(clock, self._is_busy))

    def time(self) -> float:
        """Return the loop's time, turned."""
        return super().time() + self._clock.offset

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Run in a thread; time stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._at_work += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: Any) -> None:
        self._at_work -= 1

    def _is_busy(self) -> bool:
        return self._at_work > 0 or self._clock.service.under_way > 0


@contextlib.contextmanager
def turned_time(service: EmulatorState) -> Iterator[TurnedTime]:
    """Let pauses, poll intervals and deadlines pass at once: in this thread and in event loops made meanwhile."""
    clock = TurnedTime(service)

    def new_loop() -> TurningLoop:
        return TurningLoop(clock)

    try:
        with (
            mock.patch.object(time, "time", clock.time),
            mock.patch.object(time, "sleep", clock.sleep),
            mock.patch.object(asyncio.events, "new_event_loop", new_loop),
            mock.patch.object(asyncio, "new_event_loop", new_loop),
        ):
            yield clock
    finally:
        clock.active = False
        with service.lock:
            if not service.clock.frozen:
                service.clock.advance(clock.offset)  # what was turned stays turned
