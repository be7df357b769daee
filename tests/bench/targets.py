"""The bounds this package sets itself for waiting, read off the rows of one run."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.subjects import POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.runs import Row


@dataclass(frozen=True)
class Target:
    """A figure and the bound it should keep."""

    what: str
    measured: float
    bound: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Say whether the figure is on the right side of its bound."""
        compare = operator.ge if self.at_least else operator.le
        return bool(compare(self.measured, self.bound))

    @property
    def bound_text(self) -> str:
        """Return the bound in words."""
        return f"at {'least' if self.at_least else 'most'} {self.bound:.4g}"


def targets(rows: Iterable[Row]) -> list[Target]:
    """Return every target the rows hold the figures for."""
    found = {(row.subject, row.waits): row for row in rows}
    chosen: list[Target] = []
    if ours := found.get(("llamabatch", 1000)):
        chosen += _thousand(ours, found)
    if ours := found.get(("llamabatch", 10_000)):
        chosen += [
            Target("10,000 waits: failures", ours.failures, 0),
            Target("10,000 waits: loop lag p99, ms", ours.lag_p99, 50),
            Target("10,000 waits: requests", ours.requests, 1200),
        ]
    plain, ours = found.get(("get-loop", 1)), found.get(("llamabatch", 1))
    if plain and ours:
        chosen.append(Target("1 wait: requests, bound by a plain GET loop's", ours.requests, plain.requests))
    return chosen


def _thousand(ours: Row, found: dict[tuple[str, int], Row]) -> list[Target]:
    chosen = [
        Target("1,000 waits: failures", ours.failures, 0),
        Target("1,000 waits: requests", ours.requests, 120),
        Target("1,000 waits: connections", ours.connections, 2),
        Target("1,000 waits: loop lag p99, ms", ours.lag_p99, 10),
        Target("1,000 waits: found after p99, s", ours.delay_p99, POLL_SECONDS + 0.6),
    ]
    if empty := found.get(("empty", 1000)):
        chosen.append(Target("1,000 waits: CPU in units of the empty loop's", ours.cpu / empty.cpu, 1.5))
        chosen.append(Target("1,000 waits: memory above the empty loop, MB", ours.memory - empty.memory, 8))
    for subject, times in (("anthropic", 20), ("openai", 20), ("dbt", 5)):
        if peer := found.get((subject, 1000)):
            what = f"1,000 waits: CPU of the {subject} trigger in units of ours"
            chosen.append(Target(what, peer.cpu / ours.cpu, times, at_least=True))
    return chosen
