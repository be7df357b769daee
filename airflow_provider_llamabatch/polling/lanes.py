"""How many requests of a kind may be under way, and how trouble slows them down. Pure, the clock is passed in."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud.errors import RateLimitedError, StatusError
from airflow_provider_llamabatch.polling.backoff import Backoff
from airflow_provider_llamabatch.polling.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LISTS = 6  # list pages under way
MAX_GETS = 4  # GETs under way for what answered last time, and as many again for what did not
SLOW_SECONDS = 2.0  # a request that takes longer no longer holds the place of another
MAX_SLOW = 16  # slow requests of a lane; with more of them it takes no further ones
BACKOFF = Backoff()


@dataclass(slots=True)
class Health:
    """Whether requests of one kind succeed. Failures in a row make the pauses between them grow."""

    random: Callable[[], float] = random.random
    failures: int = 0
    paused_until: float = 0.0

    def on_success(self) -> None:
        """Take in a request that was answered."""
        self.failures = 0

    def on_error(self, now: float, error: Exception | None = None) -> None:
        """Take in one that was not; failures that come together count as one."""
        if now < self.paused_until:
            return
        self.failures += 1
        asked = error.retry_after if isinstance(error, StatusError) else None
        self.paused_until = now + BACKOFF.pause(self.failures, self.random, retry_after=asked)


@dataclass(slots=True)
class Lane:
    """
    Requests of one kind under way, at most ``limit`` of them that are not slow.

    After trouble a single request tries whether it is over. A slow request slows itself alone: it keeps its connection
    until it is answered or has timed out, and another one takes its place. ``pace`` is shared with the other lanes of
    a connection: where it has a gap, all of them take turns.
    """

    limit: int
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
        limit = 1 if self.health.failures else self.limit
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

    What never answers slows down itself alone. What a GET is answered says that GETs are answered again.
    """

    __slots__ = ("gets", "lists", "retries")

    def __init__(self, random: Callable[[], float], pace: Pace) -> None:
        self.lists, self.gets, self.retries = (
            Lane(limit, Health(random), pace) for limit in (MAX_LISTS, MAX_GETS, MAX_GETS)
        )

    @property
    def failures(self) -> int:
        """The failures in a row of the lane that fares worst."""
        return max(lane.health.failures for lane in (self.lists, self.gets, self.retries))

    def on_success(self, lane: Lane | None) -> None:
        """Take in a request that was answered."""
        for other in (self.lists,) if lane is self.lists else (self.gets, self.retries):
            other.health.on_success()

    def on_error(self, lane: Lane | None, now: float, error: Exception | None = None) -> None:
        """Take in one that was not. That there were too many requests is meant for all."""
        for other in (self.lists, self.gets, self.retries):
            if other is lane or isinstance(error, RateLimitedError):
                other.health.on_error(now, error)
