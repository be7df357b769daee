"""How many requests of a kind may be under way, and how trouble slows them down. Pure, the clock is passed in."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud.errors import (
    AuthenticationError,
    InvalidInputError,
    RateLimitedError,
    StatusError,
    UnavailableError,
)
from airflow_provider_llamabatch.polling.backoff import Backoff
from airflow_provider_llamabatch.polling.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LISTS = 6  # list pages under way
MAX_GETS = 4  # GETs under way for what answered last time, and as many again for what did not
LIST_TRIALS = 1  # list pages that try whether trouble is over; any page tells as much of lists as any other
SLOW_SECONDS = 2.0  # a request that takes longer no longer holds the place of another
MAX_SLOW = 16  # slow requests of a lane; with more of them it takes no further ones
GETS_GROW_FOR = 5  # failures, after which pauses stay at 16 s: each wait has pauses of its own besides
# Of the key, the connection, its quota: a single request tells whether it is over.
CONCERNS_ALL = (AuthenticationError, InvalidInputError, RateLimitedError)
BACKOFF = Backoff()


@dataclass(slots=True)
class Health:
    """Whether requests of one kind succeed. Failures in a row, up to ``grows_for``, make the pauses grow."""

    random: Callable[[], float] = random.random
    grows_for: int = sys.maxsize
    failures: int = 0
    concerns_all: bool = False  # what failed last, whatever it asked for
    paused_until: float = 0.0

    def on_success(self) -> None:
        """Take in a request that was answered."""
        self.failures = 0

    def on_error(self, now: float, error: Exception | None = None) -> None:
        """Take in one that was not; failures that come together count as one."""
        if now < self.paused_until:
            return
        self.failures += 1
        self.concerns_all = isinstance(error, CONCERNS_ALL)
        asked = error.retry_after if isinstance(error, StatusError) else None
        growing = min(self.failures, self.grows_for)
        self.paused_until = now + BACKOFF.pause(growing, self.random, retry_after=asked)


@dataclass(slots=True)
class Lane:
    """
    Requests of one kind under way, at most ``limit`` of them that are not slow.

    After trouble ``trials`` of them try whether it is over, a single one where the server's word is meant for all, and
    the next ones after a pause. A slow request slows itself alone: it keeps its connection until it is answered or has
    timed out, and another one takes its place. ``pace`` is shared with the other lanes of a connection: where it has a
    gap, all of them take turns.
    """

    limit: int
    trials: int
    health: Health
    pace: Pace = field(default_factory=Pace)
    started_at: dict[Any, float] = field(default_factory=dict)

    def free(self, now: float) -> int:
        """Return how many requests may be started now."""
        if now < max(self.health.paused_until, self.pace.next_at):
            return 0
        slow = sum(now >= started + SLOW_SECONDS for started in self.started_at.values())
        if slow >= MAX_SLOW:
            return 0
        limit = self.limit
        if self.health.failures:
            limit = 1 if self.health.concerns_all else self.trials
        places = max(0, limit - (len(self.started_at) - slow))
        return min(1, places) if self.pace.gap else places

    def opens_at(self, now: float) -> float:
        """Return when a place may become free without any answer: a pause ends, a turn comes, a request turns slow."""
        turns_slow = (started + SLOW_SECONDS for started in self.started_at.values())
        later = [time for time in (self.health.paused_until, self.pace.next_at, *turns_slow) if time > now]
        return min(later, default=float("inf"))

    def start(self, request: Any, now: float) -> None:
        """Take in a request that is sent now."""
        self.started_at[request] = now
        self.pace.take(now)

    def end(self, request: Any) -> None:
        """Let a request go, whatever became of it."""
        self.started_at.pop(request, None)


class Lanes:
    """
    The lanes of a schedule: pages of lists, GETs, and apart from them GETs for what did not answer last time.

    What never answers slows down itself alone. What a GET is answered says that GETs are answered again; what one is
    not says little of the next, which asks for something else, so several of them try whether trouble is over.
    """

    __slots__ = ("accepted_at", "gets", "lists", "retries")

    def __init__(self, random: Callable[[], float], pace: Pace) -> None:
        self.accepted_at = float("-inf")  # when a request was last answered, so with a key that is accepted
        self.lists = Lane(MAX_LISTS, LIST_TRIALS, Health(random), pace)
        self.gets, self.retries = (
            Lane(MAX_GETS, MAX_GETS, Health(random, GETS_GROW_FOR), pace) for _ in range(2)
        )

    @property
    def failures(self) -> int:
        """The failures in a row of the lane that fares worst."""
        return max(lane.health.failures for lane in (self.lists, self.gets, self.retries))

    def news(self, lane: Lane | None, request: Any, error: Exception) -> Exception:
        """
        Return what an error says now. A refusal comes late, after another look at the connection.

        Where a request that was sent later has been answered since, it is no news of the key, but trouble.
        """
        sent = lane.started_at.get(request, self.accepted_at) if lane is not None else self.accepted_at
        if isinstance(error, AuthenticationError) and sent < self.accepted_at:
            return UnavailableError(str(error), status_code=error.status_code, retry_after=error.retry_after)
        return error

    def on_success(self, lane: Lane | None) -> None:
        """Take in a request that was answered."""
        for other in (self.lists,) if lane is self.lists else (self.gets, self.retries):
            other.health.on_success()

    def on_error(self, lane: Lane | None, now: float, error: Exception | None = None) -> None:
        """Take in one that was not. That there were too many requests is meant for all."""
        for other in (self.lists, self.gets, self.retries):
            if other is lane or isinstance(error, RateLimitedError):
                other.health.on_error(now, error)
