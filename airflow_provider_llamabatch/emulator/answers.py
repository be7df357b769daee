"""What a request is answered with: a value, or a refusal in the API's error form. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

SERVER_ERROR = 500


@dataclass(frozen=True)
class Answer:
    """A JSON value with its status, or raw bytes with their media type."""

    body: Any = None
    status: int = 200
    raw: bytes | None = None
    media_type: str = "application/json"


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - a refusal is an answer of the API, not an error of the emulator
    """A request is refused; ``detail`` is a sentence, an object, or the list form of validation errors."""

    status: int
    detail: Any


def not_found(kind: str, id_: str) -> Refusal:
    """Refuse an id that does not exist, was deleted or has expired."""
    return Refusal(404, f"{kind} {id_} not found")


def invalid(where: str, name: str, message: str, given: Any) -> Refusal:
    """Refuse one value that breaks the schema, in the list form of 422."""
    return Refusal(422, [{"type": "value_error", "loc": [where, name], "msg": message, "input": given}])


def invalid_all(where: str, error: ValidationError) -> Refusal:
    """Refuse everything a body or a query breaks, in the list form of 422."""
    found = error.errors(include_url=False, include_context=False)
    return Refusal(422, [{**one, "loc": [where, *one["loc"]]} for one in found])


def server_error_detail() -> str:
    """Return the sentence of a 5xx, with a new correlation id."""
    return f"An unexpected error occurred. Please contact support with correlation id {uuid.uuid4()}"


def with_unknown_fields(value: Any) -> Any:
    """Add fields that no client knows yet to an answer and to the objects in it that have a fixed shape."""
    if isinstance(value, list):
        return [with_unknown_fields(one) for one in value]
    if not isinstance(value, dict):
        return value
    grown = {
        name: with_unknown_fields(part)
        if name in {"items", "results", "job", "job_reference", "config"}
        else part
        for name, part in value.items()
    }
    return {**grown, "field_of_tomorrow": {"nested": [1, None, "new"]}}
