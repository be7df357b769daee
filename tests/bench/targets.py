"""The bounds this package sets itself for waiting, read off the rows of one run."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.scenarios import LIFE, ORDERED, spread_of
from tests.bench.subjects import POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.runs import Row

Found = dict[tuple[str, str, int], "Row"]  # by scenario, subject and number of waits

MOST_REQUESTS = {
    "together": 60,
    "within 15 s": 60,
    "within 60 s": 90,
    "within 15 s, 3000 batches of others": 150,
    "within 15 s, filters ignored, ages unknown": 300,
    "ten thousand together": 250,
}
MOST_CPU = {"together": 1.5, "within 15 s": 1.5, "within 60 s": 2.5}  # times the empty loop's
MOST_MEMORY = 4.0  # MB above the empty loop's
LATE_SECONDS = 0.6  # behind the interval, for the p99 of a thousand waits
LATE_SECONDS_OF_MANY = 1.0  # the same for ten thousand
MOST_LAG = 10.0  # ms, the p99


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
    found = {(row.scenario, row.subject, row.waits): row for row in rows}
    chosen = [target for name in LIFE for target in _as_in_life(name, found)]
    for waits in (1000, 10_000):
        if ours := found.get(("restart", "llamabatch", waits)):
            chosen += _restart(ours, found)
    plain, ours = found.get(("restart", "get-loop", 1)), found.get(("restart", "llamabatch", 1))
    if plain and ours:
        chosen.append(Target("1 wait: requests, bound by a plain GET loop's", ours.requests, plain.requests))
    return chosen


def _as_in_life(name: str, found: Found) -> list[Target]:
    """Return the targets of one scenario, for our waits and beside the empty loop's."""
    waits = LIFE[name].count
    ours = found.get((name, "llamabatch", waits))
    if ours is None:
        return []
    what, spread = f"{waits:,} waits, {name}", spread_of(name)
    late = LATE_SECONDS if waits <= 1000 else LATE_SECONDS_OF_MANY
    chosen = [
        Target(f"{what}: failures", ours.failures, 0),
        Target(f"{what}: requests", ours.requests, MOST_REQUESTS[name.removesuffix(ORDERED)]),
        Target(f"{what}: found after p99, s", ours.delay_p99, POLL_SECONDS + late),
        Target(f"{what}: loop lag p99, ms", ours.lag_p99, MOST_LAG),
    ]
    empty = found.get((spread, "empty", waits))
    if empty and name.removesuffix(ORDERED) in MOST_CPU:
        chosen += [
            Target(f"{what}: CPU in units of the empty loop's", ours.cpu / empty.cpu, MOST_CPU[spread]),
            Target(f"{what}: memory above the empty loop, MB", ours.memory - empty.memory, MOST_MEMORY),
        ]
    return chosen


def _restart(ours: Row, found: Found) -> list[Target]:
    """Return the targets of waits that all go on at once, beside the empty loop and the other providers."""
    waits, what = ours.waits, f"{ours.waits:,} waits after a restart"
    chosen = [
        Target(f"{what}: failures", ours.failures, 0),
        Target(f"{what}: connections", ours.connections, 6),
        Target(f"{what}: loop lag p99, ms", ours.lag_p99, MOST_LAG),
    ]
    if waits > 1000:
        return [*chosen, Target(f"{what}: requests", ours.requests, 400)]
    chosen += [
        Target(f"{what}: requests", ours.requests, 100),
        Target(f"{what}: found after p99, s", ours.delay_p99, POLL_SECONDS + LATE_SECONDS),
    ]
    if empty := found.get(("restart", "empty", waits)):
        chosen += [
            Target(f"{what}: CPU in units of the empty loop's", ours.cpu / empty.cpu, 1.5),
            Target(f"{what}: memory above the empty loop, MB", ours.memory - empty.memory, MOST_MEMORY),
        ]
    for subject, times in (("anthropic", 20), ("openai", 20), ("dbt", 5)):
        if peer := found.get(("restart", subject, waits)):
            what_of_peer = f"{what}: CPU of the {subject} trigger in units of ours"
            chosen.append(Target(what_of_peer, peer.cpu / ours.cpu, times, at_least=True))
    return chosen
