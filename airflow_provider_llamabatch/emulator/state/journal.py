"""What was asked of the emulator. Headers, and with them the key, are never written down."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

REMEMBERED = 20_000


@dataclass(slots=True)
class SeenRequest:
    """One request; ``status`` is None while it is unanswered and stays None when the connection was dropped."""

    at: float
    method: str
    path: str
    query: str
    fault: str | None = None
    status: int | None = None


class Journal:
    """The latest requests and the counts of all."""

    def __init__(self) -> None:
        self.requests: deque[SeenRequest] = deque(maxlen=REMEMBERED)
        self.by_route: Counter[str] = Counter()

    def note(self, seen: SeenRequest, route: str) -> None:
        """Write a request down as it arrives."""
        self.requests.append(seen)
        self.by_route[f"{seen.method} {route}"] += 1
