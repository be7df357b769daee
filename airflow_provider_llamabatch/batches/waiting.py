"""
How a wait goes on: the one rule shared by the trigger, the waiting worker and the sensor's poke mode.

A ``Wait`` is told what each look found and when (epoch seconds); it answers with an ``Ended`` once the wait is over
and otherwise moves ``next_look``. Small failures never end a wait before its deadline; only the deadline bounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
)
from airflow_provider_llamabatch.llamacloud.retries import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_POLL_INTERVAL = 30.0  # seconds; the official example looks every 10 s, batches take minutes to hours
SHORTEST_INTERVAL = 1.0  # seconds; a task that asks for less gets this
SHORTEST_GAP = 5.0  # seconds between looks at a young batch
AGE_PER_GAP = 4.0  # the gap is a quarter of the batch's age, up to the poll interval
MISSING_GRACE = 300.0  # seconds after the wait began in which a 404 may just be a lagging service
FIRST_PAUSE = 1.0  # seconds; ceiling of the random pause after a failed look, doubled by each further one
LONGEST_PAUSE = 60.0


class Reason(StrEnum):
    """Why a wait ended: the closed vocabulary of the trigger's events."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    NOT_FOUND = "not_found"
    NOT_AUTHENTICATED = "not_authenticated"
    NOT_PERMITTED = "not_permitted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a wait; ``message`` adds to the reason what the service said, if anything."""

    reason: Reason
    message: str = ""


_BY_STATUS = {
    "COMPLETED": Ended(Reason.COMPLETED),
    "FAILED": Ended(Reason.FAILED),
    "CANCELLED": Ended(Reason.CANCELLED),
}


@dataclass(slots=True)
class Wait:
    """
    One wait for one batch. All times are epoch seconds, all durations seconds.

    ``since`` is when the wait began; ``deadline`` is fixed once and survives hand-overs between processes.
    """

    batch_id: str
    deadline: float
    poll_interval: float
    since: float
    next_look: float
    status: str = ""

    def saw(self, status: str, now: float) -> Ended | None:
        """Take in a status that a look found; a word nobody knows counts as still running."""
        self.status = status
        ended = _BY_STATUS.get(status)
        if ended is not None:
            return ended
        self.next_look = now + gap(now - self.since, self.poll_interval)
        return self.expired(now)

    def stumbled(self, error: BaseException, now: float, pause: float) -> Ended | None:
        """Take in a look that failed; ``pause`` is how long to wait after trouble of the service."""
        ended = self._fatal(error, now)
        if ended is not None:
            return ended
        not_there_yet = isinstance(error, NotFoundError)
        self.next_look = now + (gap(now - self.since, self.poll_interval) if not_there_yet else pause)
        return self.expired(now)

    def expired(self, now: float) -> Ended | None:
        """Say whether the deadline has passed, and never let the next look lie behind it."""
        if now >= self.deadline:
            return Ended(Reason.TIMED_OUT)
        self.next_look = min(self.next_look, self.deadline)
        return None

    def _fatal(self, error: BaseException, now: float) -> Ended | None:
        if is_transient(error) or (isinstance(error, NotFoundError) and now < self.since + MISSING_GRACE):
            return None
        return Ended(_reason_of(error), str(error))


def gap(age: float, poll_interval: float) -> float:
    """Return the seconds until the next look: short for a young batch, growing to ``poll_interval``."""
    return min(poll_interval, max(SHORTEST_GAP, age / AGE_PER_GAP))


def pause(failures: int, error: BaseException | None, random: Callable[[], float]) -> float:
    """
    Return the seconds to pause after the ``failures``-th failed look in a row (1 is the first).

    Half fixed, half random under a doubling ceiling, or what the server asked for where that is longer.
    ``random`` gives 0 to 1.
    """
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    asked = error.retry_after if isinstance(error, StatusError) else None
    return max(ceiling * (0.5 + random() / 2), asked or 0.0)


def _reason_of(error: BaseException) -> Reason:
    for kind, reason in (
        (AuthenticationError, Reason.NOT_AUTHENTICATED),
        (PermissionDeniedError, Reason.NOT_PERMITTED),
        (NotFoundError, Reason.NOT_FOUND),
    ):
        if isinstance(error, kind):
            return reason
    return Reason.REFUSED
