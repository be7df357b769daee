"""What a document offers to fill a schema with: ``Name: value`` lines, table rows, headings. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airflow_provider_llamabatch.emulator.documents.items import items

_LINE = re.compile(r"^[\s>#*|-]*([^:|\n]{1,80}?)[\s*]*:[\s*]*(\S.*?)[\s*|]*$", re.MULTILINE)


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
    for name, value in _LINE.findall(markdown):
        found.named.setdefault(fold(name), value)
    heading = ""
    for item in items(markdown):
        if item["type"] == "table":
            _add_table(found, item["rows"])
        elif item["type"] == "heading":
            heading = item["value"]
            continue
        elif heading and item["type"] == "list":
            found.lists.setdefault(fold(heading), [one["value"] for one in item["items"]])
        elif heading:
            found.named.setdefault(fold(heading), item["value"])
        heading = ""
    return found


def _add_table(found: Values, rows: list[list[str]]) -> None:
    head = [fold(name) for name in rows[0]]
    found.rows.append([dict(zip(head, row, strict=False)) for row in rows[1:]])
    for row in rows:
        if len(row) == 2 and row[1]:  # a table of names and values
            found.named.setdefault(fold(row[0]), row[1])
    if len(rows) == 2:  # one record
        for name, value in zip(head, rows[1], strict=False):
            found.named.setdefault(name, value)


def names(markdown: str) -> list[str]:
    """Return the names of all ``Name: value`` lines as they are written."""
    return [name for name, _ in _LINE.findall(markdown)]
