"""
A request to the API as a value, and the small rules every request shares: safe ids, query encoding.

Nothing here does I/O; ``calls.py`` holds the endpoints, ``transport.py`` sends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter

from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, InvalidResponseError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9_\-]{1,200}")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send: its name, its bytes, and the form fields beside it."""

    filename: str
    content: bytes = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to the API. ``repeatable`` says that sending it twice does no harm."""

    method: str
    path: str
    answer: Any  # what the answer is validated as; None for an empty answer
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    upload: Upload | None = None
    repeatable: bool = True
    scope: tuple[str, ...] = ("project_id", "organization_id")  # which of the connection's ids it takes
    secrets: tuple[str, ...] = field(default=(), repr=False)  # redacted in every message about this call

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parse(self, body: bytes) -> T:
        """Return the answer's value; raises ``ValueError`` when it is not what the API documents."""
        if self.answer is None:
            return None  # type: ignore[return-value]  # T is None for these calls
        value: T = _adapter(self.answer).validate_json(body)
        return value

    def with_query(self, **values: Any) -> Call[T]:
        """Return this call with further query parameters; None and what is already set are left alone."""
        known = {name for name, _ in self.query}
        more = query_pairs({name: value for name, value in values.items() if name not in known})
        return replace(self, query=self.query + more) if more else self


def checked_id(argument: str, value: object) -> str:
    """Return an id that is safe in a path; raises ``InvalidInputError`` naming the argument otherwise."""
    if not isinstance(value, str):
        raise InvalidInputError(argument, f"must be an id as a string, not {value!r}"[:200])
    if not value.strip():
        raise InvalidInputError(
            argument, "is empty; if it is templated, look at the task's rendered template"
        )
    if not _ID.fullmatch(value):
        raise InvalidInputError(
            argument,
            f"{value[:100]!r} is not an id: only letters, digits, '-' and '_' may be in it",
        )
    return value


def query_pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return query parameters as pairs: None left out, arrays repeated, dates in ISO 8601, booleans as JSON."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None:
            continue
        entries = value if isinstance(value, (list, tuple)) else (value,)
        pairs += [(name, _text(entry)) for entry in entries]
    return tuple(pairs)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


@cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


def page_after(call: Call[T], token: str | None, seen: set[str]) -> Call[T] | None:
    """Return the call for the page after this one, None at the end; ``seen`` holds the tokens met so far."""
    if not token:
        return None
    if token in seen:
        raise InvalidResponseError(f"{call} gave the same page token twice, so the list has no end")
    seen.add(token)
    first = tuple((name, value) for name, value in call.query if name != "page_token")
    return replace(call, query=(*first, ("page_token", token)))
