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
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")


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
    lines = block.splitlines()
    heading = _HEADING.fullmatch(lines[0].strip())
    if heading:
        first = {"type": "heading", "level": len(heading[1]), "value": heading[2], "md": lines[0].strip()}
        rest = "\n".join(lines[1:])
        return [first, *(_items_of(rest) if rest.strip() else [])]
    for index, line in enumerate(lines[1:], 1):
        if _HEADING.fullmatch(line.strip()):
            return [*_items_of("\n".join(lines[:index])), *_items_of("\n".join(lines[index:]))]
    if len(lines) > 1 and "|" in lines[0] and _RULE.fullmatch(lines[1]):
        return [_table(lines)]
    if all(_BULLET.fullmatch(line) for line in lines):
        return [_list(lines)]
    text = block.strip()
    return [{"type": "text", "value": text, "md": text}]


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
    rows = [_cells(line) for line in lines if not _RULE.fullmatch(line)]
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
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
