"""What tables have in common: a page of rows, links to the other pages, a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlencode

from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.views import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
R = TypeVar("R")

ALL = ""


@dataclass(frozen=True, slots=True)
class Query:
    """What a table is narrowed down to; ``page`` counts from 1."""

    status: str = ALL
    search: str = ""
    page: int = 1

    @classmethod
    def of(cls, status: str, search: str, page: str) -> Query:
        """Return a query from what an address says; what makes no sense counts as not said."""
        number = int(page) if page.isdecimal() and len(page) < 7 else 1
        return cls(status[:64], search.strip()[: limits.MAX_SEARCH_CHARACTERS], max(1, number))

    def address(self, *, status: str | None = None, page: int = 1) -> str:
        """Return the query part of the address of another page or status."""
        values = {
            "status": self.status if status is None else status,
            "search": self.search,
            "page": str(page) if page > 1 else "",
        }
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def matches(self, *texts: str | None) -> bool:
        """Say whether every word of the search is in some text."""
        together = "\n".join(text for text in texts if text).lower()
        return all(word in together for word in self.search.lower().split())


@dataclass(frozen=True, slots=True)
class Choice:
    """A status to narrow a table down to, with how many rows have it."""

    status: str
    name: str
    count: int
    address: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """The rows of one page, and what is around them."""

    rows: Sequence[R]
    total: int
    line: str
    choices: Sequence[Choice]
    newer: str | None = None
    older: str | None = None


def table(
    items: Sequence[T],
    query: Query,
    *,
    status: Callable[[T], str],
    row: Callable[[T], R],
    one: str,
    many: str | None = None,
    always: Iterable[str] = (),
) -> Table[R]:
    """Return the page of rows that a query asks for; ``items`` already match its search."""
    counts: dict[str, int] = dict.fromkeys(always, 0)
    for item in items:
        counts[status(item)] = counts.get(status(item), 0) + 1
    wanted = [item for item in items if query.status in (ALL, status(item))]
    pages = max(1, -(-len(wanted) // limits.ROWS))
    page = min(query.page, pages)
    start = (page - 1) * limits.ROWS
    shown = wanted[start : start + limits.ROWS]
    line = words.counted(len(wanted), one, many)
    if pages > 1:
        line = f"{start + 1:,} to {start + len(shown):,} of {line}"
    names = {ALL: "All", **{word: word.capitalize() for word in counts}}
    choices = [
        Choice(
            word,
            name,
            len(items) if word == ALL else counts[word],
            query.address(status=word),
            word == query.status,
        )
        for word, name in names.items()
    ]
    return Table(
        [row(item) for item in shown],
        len(wanted),
        line,
        choices,
        newer=query.address(page=page - 1) if page > 1 else None,
        older=query.address(page=page + 1) if page < pages else None,
    )
