"""One wait in a schedule, where it stands, and what is due when. Pure, the clock is passed in."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import Enum
from math import floor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.polling import PollState


TAKEN = -1.0  # no time at all


class Phase(Enum):
    """Where a wait stands between two polls, see the head of ``schedule.py``."""

    SCHEDULED = "scheduled"
    SWEPT = "swept"
    QUEUED = "queued"
    ASKED = "asked"
    OVER = "over"


class Entry:
    """One wait in the schedule. ``created_at`` and ``listed_from`` are epoch seconds by the service's clock."""

    __slots__ = (
        "created_at",
        "due_at",
        "listed_from",
        "misses",
        "not_before",
        "phase",
        "recheck_at",
        "relist_at",
        "state",
        "subscriber",
    )

    def __init__(
        self, state: PollState, *, created_at: float | None, listed_from: float, subscriber: Any = None
    ) -> None:
        self.state = state
        self.created_at = created_at
        self.listed_from = listed_from  # no list has to go further back
        self.subscriber = subscriber
        self.not_before = state.next_poll  # a task resumed sooner can be marked failed by the scheduler
        self.phase = Phase.SCHEDULED
        self.due_at = 0.0
        self.recheck_at = 0.0  # to be read once more, however it stands, from then on
        self.relist_at = 0.0  # not expected on a list before
        self.misses = 0  # lists in a row that should have shown it and did not

    def __lt__(self, other: Entry) -> bool:
        """Order waits by their deadlines, for the heap of these."""
        return self.state.deadline < other.state.deadline


@dataclass(slots=True)
class Agenda:
    """
    What is due when: waits by the time of their next poll, and by their deadlines.

    Polls fall on ticks, which count from ``origin`` in steps of each wait's gap, so that all waits of one gap, and of
    its halves and quarters, fall together.
    """

    origin: float
    _due: dict[float, list[Entry]] = field(default_factory=dict)
    _times: list[float] = field(default_factory=list)  # a heap of the keys of _due
    _deadlines: list[Entry] = field(default_factory=list)  # a heap

    def tick(self, after: float, gap: float) -> float:
        """Return the first tick of a gap that is later than ``after``."""
        ticks = floor((after - self.origin) / gap + 1e-6) + 1
        return self.origin + ticks * gap

    def put(self, entry: Entry, time: float) -> None:
        """Have an entry due at a time; where it stood before is forgotten."""
        entry.phase, entry.due_at = Phase.SCHEDULED, time
        of_time = self._due.get(time)
        if of_time is None:
            self._due[time] = [entry]
            heapq.heappush(self._times, time)
        else:
            of_time.append(entry)

    def take_due(self, now: float) -> list[Entry]:
        """Take out what is due by now."""
        due: list[Entry] = []
        while self._times and self._times[0] <= now:
            time = heapq.heappop(self._times)
            for entry in self._due.pop(time):
                if entry.phase is Phase.SCHEDULED and entry.due_at == time:
                    entry.due_at = TAKEN  # one that was put at the same time twice is due once
                    due.append(entry)
        return due

    def watch(self, entry: Entry, entries: int) -> None:
        """Take an entry's deadline in; ``entries`` is how many there are."""
        if len(self._deadlines) > 2 * entries + 64:  # mostly of waits that are long over
            self._deadlines = [other for other in self._deadlines if other.phase is not Phase.OVER]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, entry)

    def take_expired(self, now: float) -> list[Entry]:
        """Take out what has reached its deadline."""
        expired: list[Entry] = []
        while self._deadlines and self._deadlines[0].state.deadline <= now:
            entry = heapq.heappop(self._deadlines)
            if entry.phase is not Phase.OVER:
                expired.append(entry)
        return expired

    @property
    def next_at(self) -> float:
        """Return when something is due or expires, infinity where nothing does."""
        times = self._times[:1] + [entry.state.deadline for entry in self._deadlines[:1]]
        return min(times, default=float("inf"))
