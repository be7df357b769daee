"""What a run is like: how many batches, when their waits begin, how they end, what the server does.

``LIFE`` holds the scenarios of waits as an Airflow begins them; those of useless lists are in `adverse`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LARGEST_PAGE = 100


@dataclass(frozen=True)
class Scenario:
    """Times in seconds; ``first_end`` and ``last_end`` count from the start of the run."""

    count: int
    seed: int = 1
    first_end: float = 20.0
    last_end: float = 40.0
    ordered: bool = False  # batches end in the order they were created, not at random
    begins_within: float | None = None  # as in life, see `Wait`; None: as after a triggerer's restart
    first_poll_after: tuple[float, float] = (
        10.0,
        13.0,
    )  # as the operators spread it, where the waits are as in life
    ages_known: bool = True  # the trigger is told when its batch was created, where the waits are as in life
    latency: float = 0.05
    oldest: float = 30.0  # after a restart: batches were created at random over this time before it
    foreign: int = 0  # batches of others in the same project, made and ended like those waited for
    filters: bool = True  # the list honours status and creation times
    page_limit: int = LARGEST_PAGE  # the list never shows more
    hidden: float = 0.0  # the list shows a batch only from this age on
    list_status: int = 200  # the status code of the list's responses


@dataclass(frozen=True)
class Wait:
    """
    One wait as a client has to begin it, in epoch seconds.

    As in life the batch is created when the wait begins, ``created_at`` is known to the trigger and the first poll
    comes 10 to 13 s later. After a restart all begin at the start, poll at once, and know no ``created_at``.
    """

    name: str
    begins: float
    ends: float
    first_poll: float
    created_at: float | None = None


def as_in_life(count: int, within: float, *, first_end: float = 30.0) -> Scenario:
    """Return waits that begin at random within some seconds and end over 20 s."""
    return Scenario(count, begins_within=within, first_end=first_end, last_end=first_end + 20.0)


_SHAPES = {
    "together": as_in_life(1000, 1.0),
    "within 15 s": as_in_life(1000, 15.0),
    "within 60 s": as_in_life(1000, 60.0, first_end=80.0),
    "within 15 s, 3000 batches of others": replace(as_in_life(1000, 15.0), foreign=3000),
    "within 15 s, filters ignored, ages unknown": replace(
        as_in_life(1000, 15.0), filters=False, ages_known=False
    ),
    "ten thousand together": as_in_life(10_000, 1.0),
}

ORDERED = ", ends in order"
LIFE = {
    f"{name}{ORDERED if ordered else ''}": replace(shape, ordered=ordered)
    for name, shape in _SHAPES.items()
    for ordered in (False, True)
}


def spread_of(name: str) -> str:
    """Return the scenario of ``LIFE`` that begins and ends its waits alike: what the empty loop is measured in."""
    return name.partition(",")[0]
