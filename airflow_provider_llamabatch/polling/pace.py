"""At most so many requests a minute from this process, one after the other. Pure, the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """
    Turns that are ``gap`` seconds apart; without a gap it is always somebody's turn.

    A turn that nobody took is not made up for: a burst is what a limit per minute is there to keep away.
    """

    gap: float = 0.0
    next_at: float = 0.0

    def take(self, now: float) -> float:
        """Take the next turn that is free, and return when it is."""
        turn = max(now, self.next_at)
        self.next_at = turn + self.gap
        return turn
