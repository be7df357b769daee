"""What a document offers to fill a schema with: ``Name: value`` lines, table rows, headings, printed rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.emulator.documents.items import items

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
_BEFORE_NAMES = f"{_SPACE}>#*|-"
_AROUND = f"{_SPACE}*"
MAX_NAME = 80
MAX_PRINTED = 20_000  # rows of tables that are text alone, as in a PDF


@dataclass(frozen=True, slots=True)
class Values:
    """Values by folded name, and tables as rows by folded column name."""

    named: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    rows: list[list[dict[str, str]]] = field(default_factory=list)


def fold(name: str) -> str:
    """Reduce a name to what is compared: letters and digits of any script."""
    return "".join(filter(str.isalnum, name.casefold()))


def values(markdown: str) -> Values:
    """Read what a text offers; the first of a name wins."""
    found = Values()
    for name, value in _lines(markdown):
        found.named.setdefault(fold(name), value)
    heading, goes_on = "", False
    for item in items(markdown):
        if item["type"] == "table":
            _add_table(found, item["rows"], goes_on)
            goes_on = True
        elif item["type"] == "heading":
            heading, goes_on = item["value"], False
            continue
        elif heading and item["type"] == "list":
            found.lists.setdefault(fold(heading), [one["value"] for one in item["items"]])
        elif heading:
            found.named.setdefault(fold(heading), item["value"])
        heading = ""
    for name, value in islice(_printed(markdown), MAX_PRINTED):
        found.named.setdefault(fold(name), value)
    return found


def _lines(markdown: str) -> Iterator[tuple[str, str]]:
    """Go through the names and values; a value may begin on a line below its name, which is no such line itself."""
    waiting = ""
    for line in markdown.split("\n"):
        head, colon, rest = line.partition(":")
        name, value = head.lstrip(_BEFORE_NAMES).rstrip(_AROUND), rest.lstrip(_AROUND)
        if (
            not colon
            or not name
            or "|" in name
            or len(name) > MAX_NAME
            or (waiting and _is_value(name, rest))
        ):
            name, value = waiting, line.lstrip(_AROUND)
        waiting = name if not value else ""
        if name and (value := value.rstrip(f"{_AROUND}|")):
            yield name, value


def _is_value(name: str, rest: str) -> bool:
    """Whether a line with a colon is a time or an address."""
    return rest.startswith("//") or not any(map(str.isalpha, name))


def _printed(markdown: str) -> Iterator[tuple[str, str]]:
    """
    Go through short lines as ``Total due $12.50``.

    Where the name ends is not shown: after one to three words without digits, and not before a small letter.
    """
    for line in markdown.split("\n"):
        if len(line) > MAX_NAME or ":" in line or "|" in line or not any(map(str.isdigit, line)):
            continue
        words = line.split()
        for end in range(1, min(4, len(words))):
            if any(map(str.isdigit, words[end - 1])):  # the value has begun
                break
            if not words[end][0].islower():
                yield " ".join(words[:end]), " ".join(words[end:])


def _add_table(found: Values, rows: list[list[str]], goes_on: bool) -> None:
    """Add a table; one of the same columns may go on with the table before it, as on the next page."""
    head = [fold(name) for name in rows[0]]
    records = [dict(zip_longest(head, row[: len(head)], fillvalue="")) for row in rows[1:]]
    if goes_on and found.rows[-1] and records and found.rows[-1][0].keys() == records[0].keys():
        found.rows[-1].extend(records)
    else:
        found.rows.append(records)
    for row in rows:
        if len(row) == 2 and row[1]:  # a table of names and values
            found.named.setdefault(fold(row[0]), row[1])
    if len(rows) == 2:  # one record
        for name, value in zip(head, rows[1], strict=False):
            found.named.setdefault(name, value)


def names(markdown: str) -> list[str]:
    """Return the names of all ``Name: value`` lines as they are written."""
    return [name for name, _ in _lines(markdown)]
