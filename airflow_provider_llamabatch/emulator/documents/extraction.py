"""Filling a data schema from a document, so that the result validates against it. Pure."""

from __future__ import annotations

import contextlib
import math
import re
from datetime import datetime
from typing import Any

from airflow_provider_llamabatch.emulator.documents.fitting import Fitter, NoFitError
from airflow_provider_llamabatch.emulator.documents.schemas import at_most, of_one_dialect
from airflow_provider_llamabatch.emulator.documents.values import Values, fold, names

Json = dict[str, Any]

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_YES = frozenset({"true", "yes", "y", "1", "on"})
_NO = frozenset({"false", "no", "n", "0", "off"})
_MOMENT = re.compile(r"\d{4}|\d:\d")
_WRITTEN = {
    "date": ("%Y-%m-%d", "%d %B %Y|%d %b %Y|%B %d, %Y|%b %d, %Y|%d.%m.%Y|%Y/%m/%d"),
    "time": ("%H:%M:%SZ", "%H:%M|%H:%M:%S"),
    "date-time": ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M|%Y-%m-%d %H:%M:%S|%Y-%m-%dT%H:%M:%S"),
}
"""How a moment of a format is to be written, and how documents write it; without a zone it is taken for UTC."""
_MISSING = object()
MAX_DEPTH = 20
"""How often a schema may refer to itself before what it describes ends."""


MAX_STEPS, STEPS_PER_ROW = 20_000, 200
"""How much is tried: a small schema can describe more than could ever be made."""
MAX_SECONDS, SECONDS_PER_ROW = 1.0, 0.01
"""How long is tried: one try can cost more than all the others."""


def extract(schema: Json, found: Values) -> Json:
    """
    Return an object that validates against the schema, with every value that the document offers.

    What the document does not offer is left out where the schema allows that, null where it allows null, and else
    the plainest value that is allowed. Raises NoFitError.
    """
    rows = sum(map(len, found.rows))
    try:
        with at_most(MAX_SECONDS + SECONDS_PER_ROW * rows):
            schema = of_one_dialect(schema)
            fitter = Fitter(schema, MAX_STEPS + STEPS_PER_ROW * rows)
            made = _Filler(fitter, found.rows).objects(schema, found)
            result = next((one for one in made if fitter.fits(one, schema)), made[0])
            fitted: Json = fitter.fitted(result, {"type": "object", "allOf": [schema]})
    except NoFitError:
        raise
    except Exception as error:
        raise NoFitError(f"the data_schema cannot be used: {str(error)[:200]}") from None
    return fitted


def schema_of(text: str) -> Json:
    """Return the properties of a schema that ``extract`` can fill from this text."""
    keys = (re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_") for name in names(text))
    return {key: {"type": "string"} for key in keys if key}


class _Filler:
    def __init__(self, fitter: Fitter, rows: list[list[dict[str, str]]]) -> None:
        self._fitter = fitter
        self._rows = rows

    def objects(self, schema: Json, found: Values) -> list[Json]:
        """Fill each alternative of a schema of objects."""
        return [self.object(one, found, 0) for one in self._alternatives(schema)]

    def object(self, schema: Json, found: Values, depth: int) -> Json:
        self._fitter.step()
        schema = self._resolved(schema)
        required = schema.get("required", [])
        filled: Json = {}
        for name, part in schema.get("properties", {}).items():
            value = self._value(name, part, found, depth + 1)
            if value is not _MISSING:
                filled[name] = value
            elif name in required or self._fitter.fits(None, part):
                filled[name] = None
        return {**{name: found.named.get(fold(name)) for name in required if name not in filled}, **filled}

    def _value(self, name: str, schema: Any, found: Values, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return _MISSING
        if not isinstance(schema, dict):
            return found.named.get(fold(name), _MISSING)
        for alternative in self._alternatives(schema):
            value = self._typed(name, alternative, found, depth)
            if isinstance(value, dict | list):
                with contextlib.suppress(NoFitError):
                    return self._fitter.fitted(value, schema)
            elif value is not _MISSING and self._fitter.fits(value, schema):
                return value
        return _MISSING

    def _typed(self, name: str, schema: Json, found: Values, depth: int) -> Any:
        kinds = _kinds(schema)
        raw = next((found.named[key] for key in _keys(name, schema) if key in found.named), None)
        if "object" in kinds:
            inner = self.object(schema, found, depth)
            return inner if any(value not in (None, "", [], {}) for value in inner.values()) else _MISSING
        if "array" in kinds:
            return self._array(name, schema, raw, found, depth)
        return _MISSING if raw is None else _scalar(raw, schema, kinds)

    def _array(self, name: str, schema: Json, raw: str | None, found: Values, depth: int) -> Any:
        item = self._resolved(schema.get("items", {}))
        if "object" in _kinds(item):
            return self._records(item, depth) or _MISSING
        parts = next((found.lists[key] for key in _keys(name, schema) if key in found.lists), None)
        if parts is None:
            parts = re.split(r"[,;]", raw) if raw is not None else self._column(name)
        made = [_scalar(part.strip(), item, _kinds(item)) for part in parts if part.strip()]
        return [value for value in made if value is not _MISSING] or _MISSING

    def _records(self, item: Json, depth: int) -> list[Json]:
        wanted = {fold(name) for name in item.get("properties", {})}
        table = max(self._rows, key=lambda rows: len(wanted & {*rows[0]}) if rows else 0, default=[])
        if not table or not wanted & {*table[0]}:
            return []
        return [self.object(item, Values(named=row), depth) for row in table]

    def _column(self, name: str) -> list[str]:
        return next(
            ([row[fold(name)] for row in rows] for rows in self._rows if rows and fold(name) in rows[0]), []
        )

    def _alternatives(self, schema: Json) -> list[Json]:
        schema = self._resolved(schema)
        options = schema.pop("anyOf", None) or schema.pop("oneOf", None)
        return [self._joined(schema, one) for one in options] if options else [schema]

    def _resolved(self, schema: Any) -> Json:
        """Follow references within the schema and join ``allOf``."""
        self._fitter.step()
        joined: Json = dict(schema) if isinstance(schema, dict) else {}
        for _ in range(MAX_DEPTH):
            if "$ref" not in joined:
                break
            target = self._fitter.target(joined.pop("$ref"))
            joined = {**(target if isinstance(target, dict) else {}), **joined}
        for part in joined.pop("allOf", []):
            joined = self._joined(joined, part)
        return joined

    def _joined(self, schema: Json, part: Any) -> Json:
        more = self._resolved(part)
        properties = {**schema.get("properties", {}), **more.get("properties", {})}
        needed = [*schema.get("required", []), *more.get("required", [])]
        joined = {**schema, **more, **({"properties": properties} if properties else {})}
        return {**joined, **({"required": needed} if needed else {})}


def _keys(name: str, schema: Json) -> list[str]:
    return [fold(name), *([fold(str(schema["title"]))] if "title" in schema else [])]


def _kinds(schema: Json) -> list[str]:
    kind = schema.get("type")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else []
    return [kind] if isinstance(kind, str) else [str(one) for one in kind]


def _scalar(raw: str, schema: Json, kinds: list[str]) -> Any:
    if "enum" in schema or "const" in schema:
        allowed = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
        return next((one for one in allowed if fold(str(one)) == fold(raw)), _MISSING)
    if "boolean" in kinds:
        return _boolean(raw)
    if "string" in kinds or not {"number", "integer"} & {*kinds}:
        return _written(raw, str(schema.get("format")))
    number = _number(raw)
    return int(number) if "integer" in kinds and number is not _MISSING else number


def readings(raw: str) -> list[Any]:
    """Return every value that a text can be taken for."""
    number = _number(raw)
    whole = _MISSING if number is _MISSING else int(number)
    moments = [_written(raw, form) for form in _WRITTEN if _MOMENT.search(raw)]
    return [one for one in (raw, number, whole, _boolean(raw), *moments) if one is not _MISSING]


def _boolean(raw: str) -> Any:
    return True if raw.casefold() in _YES else False if raw.casefold() in _NO else _MISSING


def _number(raw: str) -> Any:
    found = _NUMBER.search(raw)
    number = float(found.group().replace(",", "")) if found else math.inf
    return number if math.isfinite(number) else _MISSING  # JSON has no word for what is not


def _written(raw: str, form: str) -> str:
    """Return a text as its format wants it written, where it is a moment that is written otherwise."""
    wanted, known = _WRITTEN.get(form, ("", ""))
    for one in filter(None, known.split("|")):
        with contextlib.suppress(ValueError):
            return datetime.strptime(raw, one).strftime(wanted)
    return raw
