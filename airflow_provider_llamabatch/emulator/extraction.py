"""Filling a data schema from the ``Name: value`` lines of a text. Pure."""

from __future__ import annotations

import csv
import re
from typing import Any

_LINE = re.compile(r"^[\s>#*|-]*([^:\n]{1,80}?)[\s*]*:[\s*]*(\S.*?)[\s*|]*$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_YES = frozenset({"true", "yes", "y", "1", "on"})


def named_values(text: str) -> dict[str, str]:
    """Return the values of all ``Name: value`` lines, by folded name; the first of a name wins."""
    values: dict[str, str] = {}
    for name, value in _LINE.findall(text):
        values.setdefault(_fold(name), value)
    return values


def schema_of(text: str) -> dict[str, Any]:
    """Return the properties of a schema that ``fill`` can fill from this text."""
    names = (name for name, _ in _LINE.findall(text))
    return {re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_"): {"type": "string"} for name in names}


def row_values(text: str) -> list[dict[str, str]]:
    """Return the rows of a text that is a CSV table, by folded column name."""
    rows = csv.DictReader(text.strip().splitlines())
    return [
        {_fold(name): value for name, value in row.items() if name and isinstance(value, str)} for row in rows
    ]


def fill(schema: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """Return an object with every property of the schema; None where the text has no such line."""
    return {name: _value(name, part, values) for name, part in schema.get("properties", {}).items()}


def _value(name: str, schema: Any, values: dict[str, str]) -> Any:
    if not isinstance(schema, dict):
        return values.get(_fold(name))
    kind = _kind(schema)
    if kind == "object":
        return fill(schema, values)
    raw = values.get(_fold(name)) or values.get(_fold(str(schema.get("title", ""))))
    if raw is None:
        return None
    if kind == "array":
        items = schema.get("items", {})
        return [_scalar(part.strip(), _kind(items)) for part in re.split(r"[,;]", raw) if part.strip()]
    return _scalar(raw, kind)


def _kind(schema: dict[str, Any]) -> str:
    """Return the schema's type, looking through ``["string", "null"]`` and ``anyOf``."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((str(one) for one in kind if one != "null"), "string")
    if kind is None:
        alternatives = schema.get("anyOf", [])
        return next((_kind(one) for one in alternatives if one.get("type") != "null"), "string")
    return str(kind)


def _scalar(raw: str, kind: str) -> Any:
    if kind == "boolean":
        return raw.casefold() in _YES
    if kind not in {"number", "integer"}:
        return raw
    found = _NUMBER.search(raw)
    if found is None:
        return None
    number = float(found.group().replace(",", ""))
    return int(number) if kind == "integer" else number


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
