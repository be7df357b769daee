"""When a task that works through many files says how far it is. Pure; the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.defaults import PROGRESS_SECONDS, PROGRESS_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Progress:
    """
    Counts files and says when a line is due: every 5 % of ``total``, or 30 s after the last line, and at the end.

    ``clock`` gives seconds that never go back.
    """

    total: int
    clock: Callable[[], float]
    done: int = 0
    failed: int = 0
    _said_at: float = field(init=False)
    _said_of: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._said_at = self.clock()

    def add(self, *, failed: bool = False) -> str | None:
        """Count one file; return the line to log, None while none is due."""
        self.done += 1
        self.failed += failed
        step = max(1.0, self.total * PROGRESS_SHARE)
        is_last = self.done == self.total
        if (
            not is_last
            and self.done - self._said_of < step
            and self.clock() - self._said_at < PROGRESS_SECONDS
        ):
            return None
        self._said_of, self._said_at = self.done, self.clock()
        return f"{self.done:,} of {self.total:,} done, {self.failed:,} failed"
