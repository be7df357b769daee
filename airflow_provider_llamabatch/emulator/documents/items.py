"""Markdown as items: headings, tables, lists and text."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any

Json = dict[str, Any]

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_BULLET = re.compile(r"\s*(?:[-*+]|(\d+)[.)])\s+(.*)")
_BETWEEN = re.compile(r"(?<!\\)\|")
_RULE = re.compile(
    r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?"
)  # of a stripped line: no two parts take the same space


def items(markdown: str) -> list[Json]:
    """Return the items of a page in their order."""
    found: list[Json] = []
    for block in re.split(r"\n\s*\n", markdown):
        if block.strip():
            found += _items_of(block.strip("\n"))
    return found


def tables(markdown: str) -> list[list[list[str]]]:
    """Return the rows of all tables, the head first."""
    return [item["rows"] for item in items(markdown) if item["type"] == "table"]


def _items_of(block: str) -> list[Json]:
    found: list[Json] = []
    between: list[str] = []
    for line in block.splitlines():
        heading = _HEADING.fullmatch(line.strip())
        if heading is None:
            between.append(line)
            continue
        found += _without_headings(between)
        between = []
        found.append({"type": "heading", "level": len(heading[1]), "value": heading[2], "md": line.strip()})
    return found + _without_headings(between)


def _without_headings(lines: list[str]) -> list[Json]:
    text = "\n".join(lines).strip()
    if not text:
        return []
    if len(lines) > 1 and "|" in lines[0] and _is_rule(lines[1]):
        return [_table(lines)]
    if all(_BULLET.fullmatch(line) for line in lines):
        return [_list(lines)]
    return [{"type": "text", "value": text, "md": text}]


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line.strip()) is not None


def _list(lines: list[str]) -> Json:
    marks = [_BULLET.fullmatch(line) for line in lines]
    texts = [mark[2] for mark in marks if mark]
    return {
        "type": "list",
        "ordered": all(mark and mark[1] for mark in marks),
        "items": [{"type": "text", "value": text, "md": text} for text in texts],
        "md": "\n".join(lines),
    }


def _table(lines: list[str]) -> Json:
    rows = [_cells(line) for line in lines if not _is_rule(line)]
    if len(rows) > 1 and not any(rows[0]):  # how a table without a marked head is written
        del rows[0]
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(rows)
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return {
        "type": "table",
        "rows": rows,
        "csv": target.getvalue(),
        "html": f"<table>{cells}</table>",
        "md": "\n".join(lines),
    }


def _cells(line: str) -> list[str]:
    inner = line.strip().strip("|")
    inner += "|" if inner.endswith("\\") else ""  # that one was part of the cell
    return [cell.strip().replace("\\|", "|") for cell in _BETWEEN.split(inner)]
