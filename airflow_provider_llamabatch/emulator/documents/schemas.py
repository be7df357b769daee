"""
JSON Schemas of users: checked, and validated against, in bounded time. Pure.

A small schema can ask for endless work: a pattern that backtracks, references that fan out. None of it may hold the
loop that answers everybody else.
"""

from __future__ import annotations

import contextlib
import json
import re
import string
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import regex
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]


MAX_CHARACTERS = 150_000
"""The documented bound of a schema's JSON."""
MAX_PATTERN, MAX_WRITTEN_OUT = 1000, 20_000
"""Characters of a pattern, and of the same with its counted repetitions written out: what compiles at once."""
PATTERN_SECONDS = 0.5
"""How long one search may take."""

_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)(?:,\d*)?\}|.", re.DOTALL)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_DEADLINE: ContextVar[float] = ContextVar("deadline")


class TooMuchError(ValueError):
    """More work than anybody's schema needs."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let validation within the block take so much of the processor's time: a busy machine changes nothing."""
    token = _DEADLINE.set(time.thread_time() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def check_schema(schema: Json) -> Json:
    """Return a JSON Schema of an object. Raises ValueError for what is none or could not be validated against."""
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        raise ValueError("no JSON Schema of an object with properties")
    try:
        size = len(json.dumps(schema))
        if size > MAX_CHARACTERS:
            raise ValueError(f"a JSON Schema of {size} characters: at most {MAX_CHARACTERS} are allowed")
        Draft202012Validator.check_schema(schema, format_checker=_PATTERNS)
        inside = resolver(of_one_dialect(schema))
        for reference in _references(schema):
            _check_reference(inside, reference)
    except SchemaError as error:
        reason = f": {error.cause}" if error.cause else ""
        raise ValueError(f"not a JSON Schema: {error.message[:200]}{reason}") from None
    except RecursionError:
        raise ValueError("not a JSON Schema: nested too deeply") from None
    return schema


def _check_reference(inside: Any, reference: str) -> None:
    try:
        found = isinstance(inside.lookup(reference).contents, dict | bool)
    except (Unresolvable, ValueError, TypeError):  # the latter two from steps into what is no schema
        found = False
    if not found:
        raise ValueError(f"not a JSON Schema: it holds nothing at the reference {reference[:200]!r}")


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict) and isinstance(part.get("$ref"), str):
        yield part["$ref"]
    if isinstance(part, dict | list):
        for one in part.values() if isinstance(part, dict) else part:
            yield from _references(one)


def validator(schema: Json) -> Any:
    """Return what validates against a schema and its parts, within a block of ``at_most``; follows no addresses."""
    return _Bounded(schema, registry=Registry(), format_checker=FORMATS)


def resolver(schema: Json) -> Any:
    """Return what looks up references within a schema; follows no addresses."""
    resource = DRAFT202012.create_resource(schema)
    base = resource.id() or ""
    return Registry().with_resource(base, resource).crawl().resolver(base)


def of_one_dialect(part: Any) -> Any:
    """Return a schema in which no part names a dialect: jsonschema would change over to its unbounded validator."""
    if isinstance(part, list):
        return [of_one_dialect(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        name: of_one_dialect(one)
        for name, one in part.items()
        if name != "$schema" or not isinstance(one, str)
    }


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN or _written_out(pattern) > MAX_WRITTEN_OUT:
        raise ValueError("the pattern is too long")
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _written_out(pattern: str) -> int:
    sizes, last = [0], 0
    for atom in _ATOM.finditer(pattern):
        if atom[0] == "(":
            sizes.append(0)
        elif atom[0] == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif atom[1]:
            last *= int(atom[1][:9])
            sizes[-1] += last
        else:
            last = 1
            sizes[-1] += last
    return sum(sizes)


@lru_cache(maxsize=1000)
def text_of(pattern: str, shortest: int, turn: int = 0) -> str | None:
    """Return a text that a pattern finds, another one at each turn, or None where none is found at once."""
    parts = [*dict.fromkeys([*"Aa0-", *re.findall(r"\w+|.", pattern), *string.printable.strip()])]
    text = ""
    while not _finds(pattern, text) or len(text) < shortest:
        start = (len(text) + turn) % len(
            parts[:3]
        )  # letters of both cases and digits, should it ask for all of them
        grown = [text + part for part in (*parts[start:3], *parts[:start], *parts[3:])]
        begun = [(one, match) for one in grown if (match := _begins(pattern, one))]
        if not begun or len(text) > shortest + MAX_PATTERN:
            return None
        text = next((one for one, match in begun if not match.partial), begun[0][0])
    return text


def _begins(pattern: str, text: str) -> Any:
    return _in_time(pattern, lambda compiled, seconds: compiled.match(text, partial=True, timeout=seconds))


def _finds(pattern: str, text: str) -> bool:
    found = _in_time(pattern, lambda compiled, seconds: compiled.search(text, timeout=seconds))
    return found is not None


def _in_time(pattern: str, search: Callable[[Any, float], Any]) -> Any:
    seconds = min(PATTERN_SECONDS, _DEADLINE.get() - time.thread_time())
    try:
        if seconds > 0:
            return search(_compiled(pattern), seconds)
    except TimeoutError:
        pass
    raise TooMuchError(f"the pattern {pattern[:100]!r} takes too long")


_PATTERNS = FormatChecker(formats=())


def _is_pattern(text: Any) -> bool:
    return not isinstance(text, str) or _compiled(text) is not None


_PATTERNS.checks("regex", raises=ValueError)(_is_pattern)

FORMATS = FormatChecker(formats=())
"""The formats that a result is held against: those jsonschema knows, and addresses."""
FORMATS.checkers = {**Draft202012Validator.FORMAT_CHECKER.checkers, **_PATTERNS.checkers}


def _is_uri(text: Any) -> bool:
    return not isinstance(text, str) or _URI.fullmatch(text) is not None


FORMATS.checks("uri")(_is_uri)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Json) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _finds(pattern, instance):
        yield ValidationError("does not match")


def _pattern_properties(
    validator: Any, patterns: Json, instance: Any, schema: Json
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name, value in instance.items():
            for pattern, part in patterns.items():
                if _finds(pattern, name):
                    yield from validator.descend(value, part, path=name)


def _additional_properties(
    validator: Any, additional: Any, instance: Any, schema: Json
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name, value in instance.items():
            patterns = schema.get("patternProperties", {})
            if name not in schema.get("properties", {}) and not any(_finds(one, name) for one in patterns):
                yield from validator.descend(value, additional, path=name)


def _unevaluated_properties(
    validator: Any, value: Any, instance: Any, schema: Json
) -> Iterator[ValidationError]:
    raise ValueError("unevaluatedProperties is not supported")


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Json) -> Iterator[ValidationError]:
    are_items = unique and validator.is_type(instance, "array")
    if are_items and len({_hashable(one) for one in instance}) < len(instance):
        yield ValidationError("has equal items")


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, _hashable(one)) for name, one in value.items())
    if isinstance(value, list):
        return tuple(_hashable(one) for one in value)
    return (type(value), value) if isinstance(value, bool) else value


def _timed(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: Json) -> Any:
        if time.thread_time() > _DEADLINE.get():
            raise TooMuchError("it takes too long")
        return keyword(validator, value, instance, schema)

    return check


_KEYWORDS = {
    **Draft202012Validator.VALIDATORS,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "unevaluatedProperties": _unevaluated_properties,
    "uniqueItems": _unique_items,
}
_Bounded = extend(Draft202012Validator, {name: _timed(keyword) for name, keyword in _KEYWORDS.items()})
