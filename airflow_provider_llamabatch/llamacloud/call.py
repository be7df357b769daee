"""
A request to the API as a value, and the small rules every request shares: safe ids, query encoding, walking a list.

Nothing here does I/O; ``calls`` holds the endpoints, ``transport.py`` sends.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

from pydantic import TypeAdapter

from airflow_provider_llamabatch.defaults import (
    JOB_TYPES,
    MAX_LIST_ITEMS,
    MAX_LIST_SECONDS,
    MAX_PAGE_ITEMS,
    MAX_PAGES,
    MAX_RESPONSE_BYTES,
)
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, InvalidResponseError
from airflow_provider_llamabatch.llamacloud.reading import read_json
from airflow_provider_llamabatch.llamacloud.statuses import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.llamacloud.models import Page

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9_\-]{1,200}")
_KINDS = {
    "bat": "batch",
    "dir": "directory",
    "cfg": "configuration",
    "dfl": "directory file",
    "pjb": "job",
}  # by the prefix of the id; ids of other shapes tell nothing
_ARGUMENTS = {
    "batch_id": "batch",
    "directory_id": "directory",
    "source_directory_id": "directory",
    "target_directory_id": "directory",
    "configuration_id": "configuration",
    "retry_configuration_id": "configuration",
    "directory_file_id": "directory file",
    "directory_file_ids": "directory file",
    "job_id": "job",
    "job_ids": "job",
}
_RENDERED = "if it is templated, look at the task's rendered template"
NOTHING = " (nothing: what the task before returned is not there)"  # what None as an argument most likely is
_KEY = re.compile(r"(?:\s*|.*[^a-z0-9])llx-[a-z0-9]{16,}|\s*llx-", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Upload:
    """
    A file to send, and the form fields beside it.

    ``content`` holds its bytes, or is a function that opens it for reading: then it is read in pieces while it is
    sent, once per attempt, and closed. ``size`` is its length in bytes.
    """

    filename: str
    content: bytes | Callable[[], BinaryIO] = field(repr=False)
    size: int
    fields: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None  # guessed from the name where None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to the API. ``repeatable`` says that sending it twice does no harm."""

    method: str
    path: str
    response: Any  # what the response is validated as; None where it is empty or any JSON
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    upload: Upload | None = None
    repeatable: bool = True
    scope: tuple[str, ...] = ("project_id", "organization_id")  # which of the connection's ids it takes
    secrets: tuple[str, ...] = field(default=(), repr=False)  # redacted in every message about this call
    expected_id: str | None = None  # the id that the object in the response must have
    advice: str = ""  # what to do where the API refuses this request
    max_bytes: int = MAX_RESPONSE_BYTES

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parse(self, body: bytes) -> T:
        """Return the response's value; raises ``ValueError`` when it is not what the API documents."""
        if self.response is None:
            if body.strip():  # of no interest, but a page on the way has not done what was asked for
                read_json(_adapter(Any), body)
            return None  # type: ignore[return-value]  # T is None for these calls
        value: T = read_json(_adapter(self.response), body)
        if self.expected_id is not None and getattr(value, "id", None) != self.expected_id:
            raise ValueError(f"it is about another id than {self.expected_id}")
        return value

    def with_query(self, **values: Any) -> Call[T]:
        """Return this call with further query parameters; None and what is already set are left alone."""
        known = {name for name, _ in self.query}
        more = query_pairs({name: value for name, value in values.items() if name not in known})
        return replace(self, query=self.query + more) if more else self


def checked_id(argument: str, value: object) -> str:
    """Return an id that is safe in a path; raises ``InvalidInputError`` naming the argument otherwise."""
    if not isinstance(value, str):
        hint = NOTHING if value is None else ""
        if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
            hint = "; for a task per id, map it: .partial(...).expand(...)"
        raise InvalidInputError(argument, f"must be an id as a string, not {value!r}"[:200] + hint)
    if not value.strip():
        raise InvalidInputError(argument, f"is empty; {_RENDERED}")
    if value.strip() == "None":
        raise InvalidInputError(argument, f"is the text 'None', not an id; {_RENDERED}")
    check_kind(argument, value)
    if not _ID.fullmatch(value):
        raise InvalidInputError(
            argument,
            f"{value[:100]!r} is not an id: only letters, digits, '-' and '_' may be in it",
        )
    return value


def checked_ids(argument: str, value: object) -> list[str]:
    """Return the ids of an argument that takes one or several, none for None; raises as ``checked_id`` does."""
    if value is None:
        return []
    several: Iterable[object] = [value]
    # Not a list alone: what mapped tasks return is a lazy sequence.
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        several = value
    return [checked_id(argument, one) for one in several]


def refuse_nothing(argument: str, value: object) -> None:
    """Refuse None for an argument that was given."""
    if value is None:
        raise InvalidInputError(argument, f"must not be None{NOTHING}")


def check_kind(argument: str, value: str) -> None:
    """Refuse what is known to be no id for this argument: an API key, and an id of another kind."""
    if looks_like_key(value):
        raise InvalidInputError(
            argument, "holds an API key (llx-...), not an id; the key belongs into the connection's password"
        )
    wanted, kind = _ARGUMENTS.get(argument), kind_of(value)
    if wanted is not None and kind not in (None, wanted):
        raise InvalidInputError(argument, f"must be the id of a {wanted}, not of a {kind} ({value[:100]!r})")


def check_conn_id(argument: str, value: object) -> None:
    """Refuse an API key as the name of a connection; it is not shown."""
    if isinstance(value, str) and looks_like_key(value):
        raise InvalidInputError(
            argument,
            "holds an API key (llx-...), not the name of an Airflow connection; the key belongs into a connection's "
            "password, and should be replaced where others may have seen it",
        )


def check_job_type(value: object) -> None:
    """Refuse what no batch runs."""
    if value not in JOB_TYPES:
        raise InvalidInputError("job_type", f"must be one of {', '.join(JOB_TYPES)}, not {value!r}"[:200])


def kind_of(value: object) -> str | None:
    """Return what an id is one of, None where its shape does not tell."""
    if not isinstance(value, str):
        return None
    prefix, dash, _ = value.partition("-")
    return _KINDS.get(prefix) if dash else None


def looks_like_key(text: str) -> bool:
    """Say whether a text is, or holds, an API key of LlamaCloud (``llx-...``)."""
    return _KEY.match(text) is not None


def query_pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return query parameters as pairs: None left out, arrays repeated, dates in ISO 8601, booleans as JSON."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None:
            continue
        entries = value if isinstance(value, (list, tuple)) else (value,)
        pairs += [(name, _text(entry)) for entry in entries]
    return tuple(pairs)


def scoped(project_id: str | None, organization_id: str | None, **values: Any) -> tuple[tuple[str, str], ...]:
    """
    Return query parameters, with the ids of a project and an organization where they are given.

    What the lists have in common is checked: a status, dates, the length of a page.
    """
    for name, value in values.items():
        if value is not None and (expected := _EXPECTED.get(name)) and not expected[0](value):
            raise InvalidInputError(name, f"must be {expected[1]}, not {value!r:.100}")
    scope = {"project_id": project_id, "organization_id": organization_id}
    return query_pairs(
        {name: None if value is None else checked_id(name, value) for name, value in scope.items()} | values
    )


def _is_date(value: object) -> bool:
    """Say whether a value is a date, or the text of one."""
    try:
        return isinstance(value, date) or (isinstance(value, str) and bool(datetime.fromisoformat(value)))
    except ValueError:
        return False


def _is_page_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PAGE_ITEMS


_DATE = (_is_date, "a datetime or a text such as 2026-11-30T12:00:00Z")
_EXPECTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "status": (lambda value: value in tuple(BatchStatus), f"one of {', '.join(BatchStatus)}"),
    "created_at_on_or_after": _DATE,
    "created_at_on_or_before": _DATE,
    "page_size": (_is_page_size, f"a whole number from 1 to {MAX_PAGE_ITEMS}"),
}


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


@cache
def _adapter(response: Any) -> TypeAdapter[Any]:
    return TypeAdapter(response)


def page_after(call: Call[T], token: str | None, seen: set[str]) -> Call[T] | None:
    """Return the call for the page after this one, None at the end; ``seen`` holds the tokens met so far."""
    if not token:
        return None
    if token in seen:
        raise InvalidResponseError(f"{call} gave the same page token twice, so the list has no end")
    if len(seen) + 1 >= MAX_PAGES:
        raise InvalidResponseError(f"{call} has more than {MAX_PAGES} pages; the rest was not read")
    seen.add(token)
    first = tuple((name, value) for name, value in call.query if name != "page_token")
    return replace(call, query=(*first, ("page_token", token)))


class Walk(Generic[T]):
    """
    A walk through the pages of a list: ``call`` is the next one to send, None at the end.

    Bounded in pages, items and time: a list that never ends raises ``InvalidResponseError``. ``clock`` counts seconds.
    """

    def __init__(self, call: Call[Page[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self.call: Call[Page[T]] | None = call
        self._first = call
        self._tokens: set[str] = set()
        self._items = 0
        self._clock = clock
        self._until = clock() + MAX_LIST_SECONDS

    def items(self, page: Page[T]) -> list[T]:
        """Return the items of the page that ``call`` gave, and move on to the next page."""
        self._items += len(page.items)
        if self._items > MAX_LIST_ITEMS:
            raise InvalidResponseError(
                f"{self._first} has more than {MAX_LIST_ITEMS} items; the rest was not read"
            )
        self.call = page_after(self._first, page.next_page_token, self._tokens)
        if self.call is not None and self._clock() > self._until:
            raise InvalidResponseError(
                f"{self._first} went on for more than {MAX_LIST_SECONDS:.0f} s; the rest was not read"
            )
        return page.items
