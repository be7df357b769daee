"""How the API says no: ``{"detail": ...}`` with a sentence, an object, or the list form of validation errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from airflow_provider_llamabatch.emulator.state.ids import Ids

SERVER_ERROR = 500


def not_found(kind: str, id_: str) -> HTTPException:
    """Refuse an id that does not exist, was deleted or has expired."""
    return HTTPException(404, f"{kind} {id_} not found")


def invalid(where: str, name: str, message: str, given: Any) -> RequestValidationError:
    """Refuse one value that breaks the schema, in the list form of 422."""
    return RequestValidationError(
        [{"type": "value_error", "loc": [where, name], "msg": message, "input": given}]
    )


def invalid_all(error: ValidationError, *where: str) -> RequestValidationError:
    """Refuse everything that breaks a model, in the list form of 422."""
    found = error.errors(include_url=False, include_context=False)
    return RequestValidationError([{**one, "loc": [*where, *one["loc"]]} for one in found])


def server_error_detail(ids: Ids) -> str:
    """Return the sentence of a 5xx, with a new correlation id."""
    return f"An unexpected error occurred. Please contact support with correlation id {ids.uuid()}"
