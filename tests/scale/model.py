"""A simple model of a deployment: requests by waits and interval, triggerers, bytes in the database. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

ROWS_PER_PAGE = 100  # of a list, as the service answers
STATUSES = 3  # a list each: of those that are terminal, and of those that are not
RECHECKED_PER_SWEEP = 1 / 20  # of the waits, looked for on a list of everything
WAITS_PER_RECHECK, PAGES_PER_RECHECK = 90, 12

# Measured: `make scale`, see docs/scale.md. Bytes of the rows alone; indexes and dead rows about double them.
BYTES_PER_RUN = 7_600  # four task instances, their XComs and the record of the submission
BYTES_PER_FILE = 80  # of XCom
BYTES_PER_WAIT = 450  # of the trigger, while it waits


@dataclass(frozen=True)
class Deployment:
    """``waits`` waits at once on one connection, spread evenly over ``triggerers``; intervals are seconds."""

    waits: int
    triggerers: int
    poll_interval: float


def requests_per_minute(plan: Deployment, *, ended: int = 0, ending: int = 0) -> float:
    """
    Return the requests of all triggerers in a minute.

    ``ended`` of the batches that were waited for have ended since the oldest of those that still run began, and
    ``ending`` end within one poll interval. Each triggerer reads the cheapest lists that show what it waits for; on
    them is what the other triggerers wait for as well.
    """
    running = plan.waits - ended
    mine = running / plan.triggerers
    ended_pages = STATUSES - 1 + max(1.0, ended / ROWS_PER_PAGE)
    running_pages = STATUSES - 1 + max(1.0, running / ROWS_PER_PAGE)
    ways = {
        "get": mine,
        "all": max(1.0, plan.waits / ROWS_PER_PAGE),
        "running": running_pages + min(ended_pages, ending / plan.triggerers),
        "ended": ended_pages,
    }
    way = min(ways, key=lambda name: ways[name])
    sweep = ways[way]
    if way == "ended" and mine > 1:
        sweep += mine * RECHECKED_PER_SWEEP / WAITS_PER_RECHECK * _recheck(plan.waits / mine)
    return plan.triggerers * sweep * 60.0 / plan.poll_interval


def triggerers_for(waits: int, *, capacity: int = 1000) -> int:
    """Return how many triggerers hold so many waits when one of them is gone."""
    return ceil(waits / capacity) + 1


def database_bytes(runs: int, files: int, *, waiting: int = 0) -> int:
    """Return the bytes of rows that runs with ``files`` documents each leave, and that ``waiting`` waits take."""
    return runs * (BYTES_PER_RUN + files * BYTES_PER_FILE) + waiting * BYTES_PER_WAIT


def requests_per_minute_of_process(limit: float, *, slots: int, triggerers: int) -> float:
    """Return what the connection may allow each process, for all of them to stay below the service's limit."""
    return limit / (slots + triggerers)


def _recheck(rows_per_wait: float) -> float:
    """Return what looking for one page's worth of waits among those of others costs: pages, and GETs for the rest."""
    pages = WAITS_PER_RECHECK * rows_per_wait / ROWS_PER_PAGE
    if pages <= PAGES_PER_RECHECK:
        return pages
    unseen = WAITS_PER_RECHECK - PAGES_PER_RECHECK * ROWS_PER_PAGE / rows_per_wait
    return PAGES_PER_RECHECK + unseen / 4
