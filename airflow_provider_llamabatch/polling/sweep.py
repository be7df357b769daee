"""
Asking for many at once: which lists answer for a set of waits with the fewest pages, and how they are read. Pure.

    ENDED     a list per terminal status, created within the range of the waits: what is on it has ended
    RUNNING   a list per status that is not terminal: what is on it still runs, what is missing is asked for further
    ALL       one list whatever the status: what is missing is asked for further
    RECHECK   the same for a share of the waits only, after a list of what has ended
    KEYS      lists by ids (jobs)
    GET       no list: one request each
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud.call import page_after
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES
from airflow_provider_llamabatch.polling.lanes import SLOW_SECONDS
from airflow_provider_llamabatch.polling.sources import ENDED, KEYS_PER_PAGE, Query, Row, Source

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.polling.entries import Entry
    from airflow_provider_llamabatch.polling.pace import Pace

MARGIN = 0.01  # seconds by which a range of creation times is widened
MARGIN_OF_SECONDS = 1.0  # the same where creation times come in whole seconds, which may have been rounded
WAITS_PER_RANGE = (
    400  # a list that goes on after its first page is read on in ranges side by side, if worth it
)
MAX_RANGES = 6
WAITS_PER_RECHECK_PAGE = 8  # a page that shows fewer, among batches of others, does not pay
MAX_DOUBTED = 10  # failures on one page that are asked for by GET; where there are more, the page is believed
FORGOTTEN_PER_CHOICE = 0.95  # what is known of a list that is not read counts less each time


class Kind(Enum):
    """How a set of waits is asked for."""

    ENDED = "ended"
    RUNNING = "running"
    ALL = "all"
    RECHECK = "recheck"
    KEYS = "keys"
    GET = "get"


@dataclass(eq=False, slots=True)
class Walk:
    """One list on its way through its pages; ``following`` is the next page to ask for, None at the end."""

    query: Query
    first: Call[Any]
    following: Call[Any] | None
    page_size: int | None
    tokens: set[str] = field(default_factory=set)
    pages: int = 0

    def on_page(self, token: str | None) -> None:
        """Go on to the page that ``token`` names; raises ``InvalidResponseError`` for a list without an end."""
        self.pages += 1
        self.following = None
        self.following = page_after(self.first, token, self.tokens)


@dataclass(eq=False, slots=True)
class Sweep:
    """Lists that are read for a set of waits; ``left`` are those it still has to find, by id."""

    kind: Kind
    entries: list[Entry]
    walks: list[Walk]
    left: set[str]
    max_pages: int
    pages: int = 0
    waiting: deque[Walk] = field(default_factory=deque)  # walks whose next page may be asked for
    under_way: int = 0
    moved_at: float = 0.0  # when its last page came, or was asked for after waiting for a turn

    @property
    def is_read(self) -> bool:
        """Say whether every list was read to its end."""
        return not self.waiting and not self.under_way and all(walk.following is None for walk in self.walks)

    @property
    def is_over(self) -> bool:
        """Say whether nothing more is to be read: all was found, all was read, or it costs too much."""
        return not self.left or self.is_read or self.pages >= self.max_pages

    def stands_still_at(self, pace: Pace) -> float:
        """Return when to give it up unless something moves; waiting for its turn is no standing still."""
        turn = 0.0 if self.under_way else pace.next_at
        return max(self.moved_at, turn) + SLOW_SECONDS

    def is_answered_by(self, row: Row) -> bool:
        """Say whether a row tells all that is read for: a sweep that looks for ends passes over what still runs."""
        return self.kind is not Kind.ENDED or row.status in ENDED


@dataclass(slots=True)
class Costs:
    """What lists have cost, in pages, so that the cheapest way is taken."""

    pages: dict[Kind, float] = field(default_factory=dict)
    ended_per_sweep: float = 0.0
    rows_per_wait: float = 1.0  # of what still runs: batches of others stand between
    status_is_honoured: bool = True
    range_is_honoured: bool = True

    def choose(self, waits: int, shown: int, source: Source) -> Kind:
        """Return the cheapest way to ask for this many waits, where their lists show ``shown`` waits at least."""
        if source.by_keys:
            return Kind.KEYS if waits > 1 else Kind.GET
        for kind in self.pages:
            self.pages[kind] *= FORGOTTEN_PER_CHOICE
        full_pages = (shown - 1) // defaults.PAGE_SIZE
        ended = max(len(ENDED), self.pages.get(Kind.ENDED, 0.0))
        # a list of everything shows what has ended besides what waits
        everything = max(1 + full_pages + ended - len(ENDED), self.pages.get(Kind.ALL, 0.0))
        cost: dict[Kind, float] = {Kind.GET: waits, Kind.ALL: everything}
        if self.status_is_honoured:
            rows = shown * self.rows_per_wait
            running = max(
                len(source.running) + (rows - 1) // defaults.PAGE_SIZE, self.pages.get(Kind.RUNNING, 0.0)
            )
            cost[Kind.ENDED] = ended
            cost[Kind.RUNNING] = running + min(ended, self.ended_per_sweep)
        return min(cost, key=lambda kind: (cost[kind], kind is not Kind.GET))

    def learn(self, sweep: Sweep) -> None:
        """Take in what a sweep has cost; one that was given up is tried ever more rarely."""
        cost = float(sweep.pages)
        if sweep.left and not sweep.is_read:
            cost = 2.0 * max(cost, self.pages.get(sweep.kind, 0.0))
        self.pages[sweep.kind] = cost

    def recheck_pays(self, waits: int) -> bool:
        """Say whether a list of everything may be read as far as so many waits are worth."""
        return self.pages.get(Kind.RECHECK, 0.0) <= waits / WAITS_PER_RECHECK_PAGE

    def on_running(self, rows: int, waits: int) -> None:
        """Take in how many rows of a list still run, and how many of them are waited for."""
        if rows:
            self.rows_per_wait = rows / max(1, waits)

    def notices(self, query: Query, rows: Sequence[Row]) -> bool:
        """Say whether a page shows for the first time that the service ignores the status or range it was asked for."""
        known = self.status_is_honoured, self.range_is_honoured
        if query.status and 2 * sum(row.status != query.status for row in rows) > len(rows):
            self.status_is_honoured = False
        after = float("-inf") if query.after is None else query.after - MARGIN_OF_SECONDS
        before = float("inf") if query.before is None else query.before + MARGIN_OF_SECONDS
        if any(row.created_at is not None and not after <= row.created_at <= before for row in rows):
            self.range_is_honoured = False
        return known != (self.status_is_honoured, self.range_is_honoured)


def doubted(rows: Iterable[Row], waiting: Container[str], source: Source) -> dict[str, None]:
    """
    Return what a page says has failed and a GET has to agree about.

    None of it where it is so much that it is no slip, or where lists by ids are answered from the things themselves.
    """
    failed = dict.fromkeys(row.key for row in rows if row.status in FAILED_STATUSES and row.key in waiting)
    return {} if source.by_keys or len(failed) > MAX_DOUBTED else failed


def begin(kind: Kind, entries: list[Entry], source: Source, page_size: int | None, now: float) -> Sweep:
    """Return the sweep of a kind (not GET) over these waits."""
    walks = [_walk(query, source, page_size) for query in _queries(kind, entries, source)]
    keys = {entry.state.key for entry in entries}
    if kind is Kind.RECHECK:
        max_pages = ceil(len(keys) / WAITS_PER_RECHECK_PAGE)
    else:  # never much dearer than a GET each
        max_pages = max(len(walks) + 2, ceil(len(keys) / 2))
    return Sweep(kind, entries, walks, keys, max_pages, waiting=deque(walks), moved_at=now)


def _queries(kind: Kind, entries: list[Entry], source: Source) -> Iterable[Query]:
    if kind is Kind.KEYS:
        keys = list(dict.fromkeys(entry.state.key for entry in entries))
        for start in range(0, len(keys), KEYS_PER_PAGE):
            yield Query(keys=tuple(keys[start : start + KEYS_PER_PAGE]))
        return
    statuses: tuple[str | None, ...] = (None,)
    if kind in (Kind.ENDED, Kind.RUNNING):
        statuses = ENDED if kind is Kind.ENDED else source.running
    times = [entry.listed_from for entry in entries]
    margin = MARGIN_OF_SECONDS if all(time.is_integer() for time in times) else MARGIN
    unknown = any(entry.created_at is None for entry in entries)
    for status in statuses:
        yield Query(status, min(times) - margin, None if unknown else max(times) + margin)


def split(sweep: Sweep, walk: Walk, created: Sequence[float | None], source: Source) -> list[Walk]:
    """
    Return what is to be read after the first page of a walk: the walk itself, or its list anew in ranges.

    ``created`` are the creation times on that page. Where they are in order they tell how much is left. The ranges
    leave nothing of the list out, not even that page: what comes after it could be in another order.
    """
    times = [time for time in created if time is not None]
    ascending = times == sorted(times)
    if len(times) < defaults.PAGE_SIZE // 2 or not (ascending or times == sorted(times, reverse=True)):
        return [walk]
    first, last = walk.query.after, walk.query.before
    after, before = (times[-1], last) if ascending else (first, times[-1])
    if after is None or before is None:
        return [walk]
    inside = sorted(entry.listed_from for entry in sweep.entries if after < entry.listed_from < before)
    ranges = min(MAX_RANGES, len(inside) // WAITS_PER_RANGE)
    cuts = sorted({inside[len(inside) * number // ranges] for number in range(1, ranges)})
    if not cuts:
        return [walk]
    walk.following = None
    queries = [
        Query(walk.query.status, *bounds) for bounds in zip([first, *cuts], [*cuts, last], strict=True)
    ]
    return [_walk(query, source, walk.page_size) for query in queries]


def _walk(query: Query, source: Source, page_size: int | None) -> Walk:
    call = source.bulk(query, page_size)
    return Walk(query, call, call, page_size)
