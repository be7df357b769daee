"""
Many waits on many triggerers, on a virtual clock: the real poll schedule of each against one simulated service.

``python -m tests.scale.simulation`` plays 100,000 waits on 20 triggerers and compares the requests with the model.
"""

from __future__ import annotations

import argparse
import random
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.scale.model import Deployment, requests_per_minute
from tests.support.simulated_service import EPOCH, PAGE_SIZE, Run, Service, SimulatedBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINUTE = 60.0


@dataclass
class ManyBatches(Service):
    """The simulated service for so many batches that it must not look at all of them for every page."""

    ordered: list[SimulatedBatch] = field(default_factory=list)  # by their time of creation

    def order(self) -> None:
        """Put the batches in order, once all are there."""
        self.ordered = sorted(self.batches.values(), key=lambda batch: batch.created_at)
        self._times = [batch.created_at for batch in self.ordered]

    def _page(self, query: dict[str, str], now: float) -> Any:
        from datetime import datetime

        bounds = [
            datetime.fromisoformat(query[name]).timestamp() - EPOCH if name in query else default
            for name, default in (("created_at_on_or_after", -1e12), ("created_at_on_or_before", 1e12))
        ]
        oldest = bisect_left(self._times, bounds[0])
        newest = bisect_right(self._times, min(bounds[1], now)) - 1
        place = int(query.get("page_token", newest))
        size, status = min(PAGE_SIZE, int(query.get("page_size", 20))), query.get("status")
        rows: list[tuple[int, Any]] = []
        while place >= oldest and len(rows) <= size:
            batch = self.ordered[place]
            if status in (None, batch.status(now)):
                rows.append((place, batch))
            place -= 1
        items = [self._row(batch, now) for _, batch in rows[:size]]
        return SimpleNamespace(items=items, next_page_token=str(rows[size][0]) if len(rows) > size else None)


@dataclass(frozen=True)
class Minute:
    """Requests of all triggerers within a minute, beside the model's figure."""

    number: int
    requests: int
    expected: float


@dataclass(frozen=True)
class Played:
    """What a simulation came to; delays are seconds from a batch's end to the end of its wait."""

    waits: int
    found: int
    delays: list[float]
    minutes: list[Minute]


def play(
    plan: Deployment, *, minutes: int, ends_over: float, say: Callable[[str], None], seed: int = 0
) -> Played:
    """
    Have all waits of a deployment begin within a minute, and their batches end over the last ``ends_over`` minutes.
    """
    dice = random.Random(seed)
    service = ManyBatches()
    first_end = (minutes - ends_over) * MINUTE
    for number in range(plan.waits):
        ends_at = dice.uniform(first_end, minutes * MINUTE)
        service.add(f"bat-{number}", dice.uniform(0.0, MINUTE), ends_at)
    service.order()
    delays: list[float] = []
    counts = [0] * (minutes + 5)
    for triggerer in range(plan.triggerers):
        run = Run(service)
        for number in range(triggerer, plan.waits, plan.triggerers):
            batch = service.batches[f"bat-{number}"]
            begins = batch.created_at + 1.0
            run.wait(
                batch.key,
                begins=begins,
                first_poll=begins + dice.uniform(10.0, 13.0),
                interval=plan.poll_interval,
                created_at=batch.created_at,
            )
        run.until((minutes + 4) * MINUTE)
        for at, _ in run.asked:
            counts[int(at // MINUTE)] += 1
        delays += [at - service.batches[key].ends_at for key, (at, _) in run.found.items()]
        say(
            f"triggerer {triggerer + 1} of {plan.triggerers}: {len(run.asked):,} requests, {run.gets:,} of them GETs"
        )
    table = list(_minutes(plan, service, counts, minutes))
    return Played(plan.waits, len(delays), sorted(delays), table)


def _minutes(plan: Deployment, service: ManyBatches, counts: list[int], minutes: int) -> Iterator[Minute]:
    ends = sorted(batch.ends_at for batch in service.batches.values())
    for number in range(2, minutes):
        ended = bisect_right(ends, (number + 0.5) * MINUTE)
        in_interval = bisect_right(ends, (number + 0.5) * MINUTE + plan.poll_interval) - ended
        yield Minute(number, counts[number], requests_per_minute(plan, ended=ended, ending=in_interval))


def main() -> int:
    """Play, print and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale.simulation", description=__doc__)
    parser.add_argument("--waits", type=int, default=100_000)
    parser.add_argument("--triggerers", type=int, default=20)
    parser.add_argument("--poll-interval", type=float, default=60.0)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument(
        "--ends-over", type=float, default=20.0, help="minutes at the end in which batches end"
    )
    asked = parser.parse_args()
    plan = Deployment(asked.waits, asked.triggerers, asked.poll_interval)
    played = play(plan, minutes=asked.minutes, ends_over=asked.ends_over, say=say)
    for minute in played.minutes:
        say(f"minute {minute.number}: {minute.requests:,} requests, the model says {minute.expected:,.0f}")
    delays = played.delays
    say(
        f"{played.found:,} of {played.waits:,} waits ended, after {delays[len(delays) // 2]:.1f} s (p50), "
        f"{delays[int(0.99 * len(delays))]:.1f} s (p99)"
    )
    return 0 if played.found == played.waits else 1


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
