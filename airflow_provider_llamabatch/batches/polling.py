"""
What a poll means: the one rule shared by the trigger, the waiting worker and the sensor's poke mode. Pure.

A ``PollState`` is told what each poll found and when; it answers with a ``PollResult`` once the wait is over, and
otherwise says in ``next_poll`` when to ask again:

    a terminal status             the wait is over
    any other status              still running, a word nobody knows included
    trouble                       ask again after a growing pause: no answer, 408, 409, 425, 429, 5xx, broken JSON, and
                                  whatever a gateway in front of the API says (no JSON ``detail``), 401 and 404 included
    a verdict of the API itself   doubted first: it ends the wait when it is repeated ``CONFIRM_AFTER`` later,
                                  for a key that is no longer accepted ``ROTATION_GRACE`` later
    the deadline                  the wait is over

Times are seconds of any one clock that the caller passes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud.errors import (
    AuthenticationError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
)
from airflow_provider_llamabatch.llamacloud.retries import is_transient
from airflow_provider_llamabatch.polling.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_GAP = 5.0  # seconds between polls of a young batch
AGE_PER_GAP = 4.0  # the gap is at most a quarter of the wait's age, up to the poll interval
CONFIRM_AFTER = 5.0  # seconds after which a verdict is asked for again
ROTATION_GRACE = (
    60.0  # seconds in which a refused key may be replaced; a revocation takes up to a minute as well
)

BACKOFF = Backoff()


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


_BY_STATUS = {"COMPLETED": Reason.COMPLETED, "FAILED": Reason.FAILED, "CANCELLED": Reason.CANCELLED}
_BY_ERROR = (
    (AuthenticationError, Reason.NOT_AUTHENTICATED),
    (PermissionDeniedError, Reason.NOT_PERMITTED),
    (NotFoundError, Reason.NOT_FOUND),
)


@dataclass(frozen=True, slots=True)
class PollResult:
    """The end of a wait; ``message`` adds to the reason what the service said, if anything."""

    reason: Reason
    message: str = ""


@dataclass(slots=True)
class PollState:
    """
    One wait for one batch or job, by its id ``key``.

    ``missing_grace``: how long after ``since`` (the beginning of the wait) a 404 may just be a lagging service.
    """

    key: str
    deadline: float
    poll_interval: float
    since: float
    next_poll: float
    missing_grace: float = defaults.MISSING_GRACE
    status: str = ""
    trouble: str = ""  # what went wrong with the last poll
    failures: int = 0  # polls in a row that failed
    doubted: Reason | None = None
    doubted_since: float = 0.0

    def on_status(self, status: str, now: float, message: str = "") -> PollResult | None:
        """Take in a status that a poll found; ``message`` is what the service says about it."""
        self.status, self.trouble, self.failures, self.doubted = status, "", 0, None
        reason = _BY_STATUS.get(status)
        if reason is not None:
            return PollResult(reason, message)
        self.next_poll = now + self.gap(now)
        return self.expired(now)

    def on_error(self, error: Exception, now: float, random: Callable[[], float]) -> PollResult | None:
        """Take in a poll that failed."""
        self.trouble, self.failures = str(error), self.failures + 1
        reason = verdict_of(error)
        if reason is None:
            asked = error.retry_after if isinstance(error, StatusError) else None
            self.next_poll = now + BACKOFF.pause(self.failures, random, retry_after=asked)
        elif self._is_final(reason, now):
            return PollResult(reason, self.trouble)
        else:
            self.next_poll = now + CONFIRM_AFTER
        return self.expired(now)

    def on_accepted(self) -> None:
        """Take in that the service has answered another poll: what was said of the key before counts no more."""
        if self.doubted is Reason.NOT_AUTHENTICATED:
            self.doubted = None

    def expired(self, now: float) -> PollResult | None:
        """Say whether the deadline has passed, and never let the next poll lie behind it."""
        if now >= self.deadline:
            return PollResult(Reason.TIMED_OUT, self.trouble)
        self.next_poll = min(self.next_poll, self.deadline)
        return None

    def gap(self, now: float) -> float:
        """
        Return the seconds from one poll to the next: short for a young wait, growing to ``poll_interval``.

        It is the interval, its half, its quarter and so on, so that waits of different ages are polled together.
        """
        wanted = max(MIN_GAP, (now - self.since) / AGE_PER_GAP)
        gap = self.poll_interval
        while gap > wanted and gap / 2 >= MIN_GAP:
            gap /= 2
        return gap

    def _is_final(self, reason: Reason, now: float) -> bool:
        if self.doubted is not reason:
            self.doubted, self.doubted_since = reason, now
            return False
        if reason is Reason.NOT_FOUND and now < self.since + self.missing_grace:
            return False
        grace = ROTATION_GRACE if reason is Reason.NOT_AUTHENTICATED else CONFIRM_AFTER
        return now >= self.doubted_since + grace


def verdict_of(error: Exception) -> Reason | None:
    """
    Return what the API has decided by an error, None for trouble that may pass.

    A connection that cannot be read as it is (``InvalidInputError``) counts like a refused key: it may be in the middle
    of being changed.
    """
    if isinstance(error, InvalidInputError):
        return Reason.NOT_AUTHENTICATED
    if not isinstance(error, StatusError) or not error.from_api or is_transient(error):
        return None
    return next((reason for kind, reason in _BY_ERROR if isinstance(error, kind)), Reason.REFUSED)
