"""Everything that is left to chance in a history: drawn from one seed, recorded, and played again from the record."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

STEPS = 1000  # in which a range is drawn


class Choices:
    """
    Draws of one history; 0 is always the benign one. ``recorded`` is played instead of the seed, zeros after its end.

    So a history is shrunk by deleting from its record and by putting zeros into it.
    """

    def __init__(self, seed: int, recorded: Sequence[int] | None = None) -> None:
        self.seed = seed
        self.record: list[int] = []
        self._random = Random(seed)
        self._recorded = recorded

    def draw(self, options: int) -> int:
        """Return a number from 0 to ``options`` - 1."""
        if self._recorded is None:
            value = int(self._random.random() * options)
        else:
            at = len(self.record)
            value = min(self._recorded[at], options - 1) if at < len(self._recorded) else 0
        self.record.append(value)
        return value

    def chance(self, probability: float) -> bool:
        """Say whether something happens; nothing is drawn for what cannot."""
        if probability <= 0:
            return False
        if self._recorded is not None:
            return self.draw(2) > 0
        value = self._random.random() < probability
        self.record.append(int(value))
        return value

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options; the first is the benign one."""
        return options[self.draw(len(options))]

    def between(self, low: float, high: float) -> float:
        """Return a number from ``low`` (the benign end) to ``high``."""
        return low + (high - low) * self.draw(STEPS) / STEPS
