"""The emulator's time: real time plus an offset that a test can move, or standing still."""

from __future__ import annotations

import time
from datetime import UTC, datetime

LATEST = 2e11
"""The end of this clock's time, in the year 8307: what lasts for centuries from then on still has a date."""


class Clock:
    """Tells the time in seconds since the epoch (UTC), to the microsecond. It never goes backwards by itself."""

    def __init__(self, start_time: float | None = None) -> None:
        if start_time is not None and not 0 <= start_time <= LATEST:
            raise ValueError(f"the clock goes from 0 to {LATEST:g} (start_time={start_time})")
        self._offset = 0.0 if start_time is None else start_time - time.time()
        self._frozen_at: float | None = None

    @property
    def frozen(self) -> bool:
        """Whether time stands still until it is advanced or released."""
        return self._frozen_at is not None

    def now(self) -> float:
        """Return the emulator's time."""
        return to_the_microsecond(time.time() + self._offset if self._frozen_at is None else self._frozen_at)

    def advance(self, seconds: float) -> None:
        """
        Move time forward.

        Raises ValueError for negative seconds, as records from the future make no sense, and beyond LATEST.
        """
        if seconds < 0:
            raise ValueError(f"the clock cannot be turned back (seconds={seconds})")
        if not self.now() + seconds <= LATEST:
            raise ValueError(f"the clock ends at {LATEST:g} (seconds={seconds})")
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += seconds

    def freeze(self) -> None:
        """Let time stand still; ``advance`` still moves it."""
        self._frozen_at = self.now()

    def release(self) -> None:
        """Let time run on from where it stands."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - time.time()
            self._frozen_at = None


def to_the_microsecond(moment: float) -> float:
    """Return what the answers show of a moment: a filter by a shown time must match exactly."""
    return round(moment, 6)


def iso(moment: float) -> str:
    """Show a moment as the API does: ISO 8601, UTC, with a Z."""
    return datetime.fromtimestamp(moment, UTC).isoformat()[:-6] + "Z"


def iso_or_none(moment: float | None) -> str | None:
    """Show a moment that may not have come yet."""
    return None if moment is None else iso(moment)
