"""Which id is asked for next by GET, and when a place for it may be free. Pure, the clock is passed in."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.polling.entries import Phase
from airflow_provider_llamabatch.polling.plan import Ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_llamabatch.polling.entries import Entry
    from airflow_provider_llamabatch.polling.lanes import Lanes
    from airflow_provider_llamabatch.polling.sources import Source


class Gets:
    """
    The ids to ask for by GET, each once, whatever number of waits there is for it.

    First come, first served, in a queue for those that were answered last time and in another for those that were not.
    In trouble those that have failed least often come first, so that what never answers stands before nobody.
    """

    __slots__ = ("_entries", "_queues", "_source")

    def __init__(self, source: Source, entries: Mapping[str, tuple[Entry, ...]], lanes: Lanes) -> None:
        self._source, self._entries = source, entries
        self._queues = ((lanes.gets, deque[str]()), (lanes.retries, deque[str]()))

    def put(self, entry: Entry) -> None:
        """Have a wait asked for as soon as a place is free."""
        key = entry.state.key
        known = any(other.phase in (Phase.QUEUED, Phase.ASKED) for other in self._entries[key])
        entry.phase = Phase.QUEUED
        if not known:
            _, queue = self._queues[bool(entry.state.failures)]
            queue.append(key)

    def asks(self, now: float) -> Iterator[Ask]:
        """Give the requests to send now."""
        for lane, queue in self._queues:
            places = lane.free(now)
            if places and lane.health.failures:
                least_failed_first = sorted(queue, key=self._failures_of)
                queue.clear()
                queue.extend(least_failed_first)
            while queue and places > 0:
                key = queue.popleft()
                waiting = [entry for entry in self._entries.get(key, ()) if entry.phase is Phase.QUEUED]
                if not waiting:
                    continue
                for entry in waiting:
                    entry.phase = Phase.ASKED
                ask = Ask(self._source.get(key), key=key, lane=lane)
                lane.start(ask, now)
                places -= 1
                yield ask

    def opens_at(self, now: float) -> float:
        """Return when a place may become free for one that waits for it."""
        return min((lane.opens_at(now) for lane, queue in self._queues if queue), default=float("inf"))

    def _failures_of(self, key: str) -> int:
        return max((entry.state.failures for entry in self._entries.get(key, ())), default=0)
