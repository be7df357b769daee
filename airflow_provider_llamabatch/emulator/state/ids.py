"""Ids and dice. From one seed they come out the same in every run."""

from __future__ import annotations

import random
import uuid


class Ids:
    """Makes ids. Without a seed they are new in every process and after every reset."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self.dice = random.Random(seed)  # noqa: S311 - nothing secret

    def uuid(self) -> str:
        """Return a new UUID."""
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def new(self, prefix: str) -> str:
        """Return a new id of a kind, such as ``bat-...``."""
        return f"{prefix}-{self.uuid()}"

    def go_on(self, orders: int) -> None:
        """Go on after so many records of earlier runs: one seed must not give their ids again."""
        if self._seed is not None:
            self.dice.seed(f"{self._seed} {orders}")

    def restart(self) -> None:
        """Begin again where the seed begins."""
        if self._seed is not None:
            self.dice.seed(self._seed)
