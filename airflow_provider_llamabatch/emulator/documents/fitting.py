"""Making a value fit a schema by the plainest change for each keyword that it breaks. Pure."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.schemas import resolver, text_of, validator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.exceptions import ValidationError

Json = dict[str, Any]

ROUNDS = 60
"""How often a value is changed: twice for each level of what is required in it, and more for rules that interfere."""
MANY, LONG, VARIANTS, TURNS = 1000, 10_000, 50, 10
"""How many items, and how many characters, are made for what is not in the document; how much is tried."""
STAND_INS = {
    "date": "1970-01-01",
    "time": "00:00:00Z",
    "date-time": "1970-01-01T00:00:00Z",
    "duration": "P0D",
    "email": "nobody@example.com",
    "hostname": "example.com",
    "idn-email": "nobody@example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "relative-json-pointer": "0",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class NoFitError(ValueError):
    """Nothing that validates against the schema could be made."""


class Fitter:
    """Holds values against a schema and its parts, and makes them fit."""

    def __init__(self, schema: Json, steps: int) -> None:
        self._validator = validator(schema)
        self._resolver = resolver(schema)
        self._left = steps

    def step(self) -> None:
        """Count one step of the work. Raises NoFitError after the last that is allowed."""
        self._left -= 1
        if self._left < 0:
            raise NoFitError("it describes more than there is in any document")

    def target(self, reference: str) -> Any:
        """Return the part of the schema that a reference names."""
        return self._resolver.lookup(reference).contents

    def fits(self, value: Any, schema: Any) -> bool:
        """Whether a value validates against a part of the schema."""
        self.step()
        return bool(self._validator.evolve(schema=schema).is_valid(value))

    def fitted(self, value: Any, schema: Any) -> Any:
        """Return the value, changed until it validates against a part of the schema. Raises NoFitError."""
        holder, broken = [value], _Broken()
        for _ in range(ROUNDS):
            if not holder:  # nothing at all may be here
                break
            self.step()
            errors = list(self._validator.evolve(schema=schema).iter_errors(holder[0]))
            if not errors:
                return holder[0]
            changed: set[tuple[str | int, ...]] = set()
            for error in errors:
                path = (0, *error.absolute_path)
                if changed.isdisjoint(path[:end] for end in range(len(path) + 1)):
                    parent: Any = holder
                    for name in path[:-1]:
                        parent = parent[name]
                    self._change(error, parent, path[-1], broken.at(path, error.schema))
                    changed.add(path[:-1] if error.validator is None else path)
        raise NoFitError("no result that validates against the data_schema could be made of this document")

    def _change(self, error: ValidationError, parent: Any, key: Any, known: Json) -> None:
        value, rule, schema = parent[key], error.validator_value, error.schema
        match error.validator:
            case None:  # nothing may be here
                del parent[key]
            case _ if isinstance(value, dict) and isinstance(error.instance, str):  # a name of propertyNames
                del value[error.instance]
            case "required" | "dependentRequired" | "minProperties":
                value |= dict.fromkeys(_missing(value, error.validator, rule, schema))
            case "minItems":
                value += [None] * min(rule - len(value), MANY)
            case "maxItems" | "maxProperties":
                _shorten(value, rule, schema)
            case "uniqueItems":
                parent[key] = self._unique(value, schema)
            case "contains" | "minContains":
                start, made = len(schema.get("prefixItems", [])), self.fitted(None, schema["contains"])
                value[start:start] = [made] * min(schema.get("minContains", 1), MANY)
            case "anyOf" | "oneOf":
                parent[key] = self._alternative(value, rule, schema)
            case "type":  # its other rules are held against it in the next round
                parent[key] = self._plain(known, {"type": rule})
            case keyword:
                parent[key] = self._plain(known, known, schema, {keyword: rule})

    def _plain(self, known: Json, *parts: Any) -> Any:
        """Return the plainest value that fits one of the parts, the first if there is one."""
        for part in parts:
            for value in _candidates(known):
                if self.fits(value, part):
                    return copy.deepcopy(value)
        raise NoFitError("no result that validates against the data_schema could be made of this document")

    def _alternative(self, value: Any, alternatives: list[Any], schema: Any) -> Any:
        made: list[Any] = []
        for part in alternatives:
            with contextlib.suppress(NoFitError):
                made.append(self.fitted(copy.deepcopy(value), part))
            made += _candidates(part) if isinstance(part, dict) else []
        if not made:
            raise NoFitError("the data_schema has an alternative that nothing fits")
        return next((one for one in made if self.fits(one, schema)), made[0])

    def _unique(self, items: list[Any], schema: Json) -> list[Any]:
        """Leave out what is equal to an item before it, and add others up to the least number of items."""
        item = schema.get("items", {})
        while "$ref" in item:
            item = self.target(item["$ref"])
        unique = [value for place, value in enumerate(items) if value not in items[:place]]
        for value in _candidates(item):
            if len(unique) >= min(len(items), schema.get("minItems", 0)):
                break
            if value not in unique and self.fits(value, item):
                unique.append(value)
        return unique


class _Broken:
    """What is known of the places that broke a rule: the parts of the schema that apply there."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | int, ...], Json] = {}

    def at(self, path: tuple[str | int, ...], schema: Any) -> Json:
        known = self._known.setdefault(path, {})
        if isinstance(schema, dict):
            known |= {name: rule for name, rule in schema.items() if not name.startswith("$")}
        return known


def _missing(value: Json, keyword: str, rule: Any, schema: Json) -> list[str]:
    """Return the names that a rule wants in an object and that are not in it."""
    if keyword == "minProperties":
        free = (name for name in _names(schema) if name not in value)
        return [*itertools.islice(free, min(rule - len(value), MANY))]
    needed = rule if keyword == "required" else [one for name in rule if name in value for one in rule[name]]
    return [name for name in needed if name not in value]


def _shorten(value: Any, most: int, schema: Json) -> None:
    required = schema.get("required", [])
    places = (
        range(len(value)) if isinstance(value, list) else sorted(value, key=lambda one: one not in required)
    )
    for place in reversed(places[most:]):
        del value[place]


def _names(schema: Json) -> Iterator[str]:
    yield from schema.get("properties", {})
    for pattern in schema.get("patternProperties", {}):
        yield from filter(None, (text_of(pattern, 1, turn) for turn in range(TURNS)))
    yield from (f"property_{number}" for number in itertools.count(1))


def _candidates(schema: Json) -> Iterator[Any]:
    """Give values to try, the plainest first."""
    yield from (schema[name] for name in ("default", "const") if name in schema)
    yield from (*schema.get("enum", []), *schema.get("examples", []))
    if schema.get("format") in STAND_INS:
        yield STAND_INS[schema["format"]]
    shortest = min(schema.get("minLength", 0), LONG)
    yield "x" * shortest
    if "pattern" in schema:
        yield from filter(None, (text_of(schema["pattern"], shortest, turn) for turn in range(TURNS)))
    yield from (False, True, 0, None, [], {})
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    start, step = low or high or 0, schema.get("multipleOf", 1)
    yield start
    for number in range(VARIANTS):
        yield math.ceil(start / step) * step + number * step
        yield math.floor(start / step) * step - number * step
    yield from (start + 0.5, start - 0.5, ((low or 0) + (high or 0)) / 2)
    yield from (str(number).rjust(shortest, "x") for number in range(1, VARIANTS))
