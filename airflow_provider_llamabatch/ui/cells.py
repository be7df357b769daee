"""What was read once and is shown to all: read by one thread at a time, never by a request itself."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.views.words import problem_in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """
    A value, how many seconds old it is, why it could not be read again, and whether it is being read just now.

    ``value`` is None where it was never read; ``problem`` is a sentence for people.
    """

    value: T | None
    age: float | None = None
    problem: str | None = None
    under_way: bool = False


class Cell(Generic[T]):
    """
    One value, read again when somebody asks for it and it is older than ``refresh`` (at most once at a time).

    After trouble the last value stays, and the pauses grow.
    """

    def __init__(
        self,
        read: Callable[[T | None], T],
        executor: Executor,
        refresh: Callable[[T], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._executor, self._refresh, self._clock = read, executor, refresh, clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._read_at: float | None = None
        self._problem: str | None = None
        self._failures = 0
        self._due_at = float("-inf")
        self._future: Future[None] | None = None

    def begin(self) -> Future[None] | None:
        """Have it read again where that is due, and return what reads it, None where nothing does."""
        with self._lock:
            if self._future is None and self._clock() >= self._due_at:
                self._future = self._executor.submit(self._work)
            return self._future

    def get(self) -> Reading[T]:
        """Return what there is, and have it read again when that is due; waits for a moment only."""
        future = self.begin()
        patience = limits.FIRST_WAIT if self._read_at is None else limits.WAIT
        if future is not None:
            wait_for([future], timeout=patience)
        with self._lock:
            age = None if self._read_at is None else max(0.0, self._clock() - self._read_at)
            return Reading(self._value, age, self._problem, self._future is not None)

    def expire(self) -> None:
        """Have it read again at the next occasion: somebody has just changed it."""
        with self._lock:
            self._due_at = float("-inf")

    def peek(self) -> T | None:
        """Return what there is without reading anything."""
        with self._lock:
            return self._value

    def _work(self) -> None:
        problem, value = None, None
        try:
            value = self._read(self._value)
        except LlamaCloudError as error:
            problem = problem_in_words(error)
        except Exception:
            log.exception("The page could not read what it shows")
            problem = "An error of the page itself: the API server's log has the details."
        with self._lock:
            now, self._future, self._problem = self._clock(), None, problem
            if value is not None:
                self._value, self._read_at, self._failures = value, now, 0
                self._due_at = now + self._refresh(value)
            else:
                self._failures += 1
                self._due_at = now + min(limits.REFRESH * 2 ** (self._failures - 1), limits.MAX_REFRESH)


class Cells(Generic[T]):
    """Cells by id, the least recently used of which are forgotten."""

    def __init__(self, make: Callable[[str], Cell[T]]) -> None:
        self._make = make
        self._cells: OrderedDict[str, Cell[T]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: str) -> Cell[T]:
        with self._lock:
            cell = self._cells.pop(key, None) or self._make(key)
            self._cells[key] = cell
            while len(self._cells) > limits.MAX_KEPT:
                self._cells.popitem(last=False)
            return cell

    def known(self) -> dict[str, T]:
        """Return the values that are there."""
        with self._lock:
            cells = dict(self._cells)
        found = {key: cell.peek() for key, cell in cells.items()}
        return {key: value for key, value in found.items() if value is not None}
