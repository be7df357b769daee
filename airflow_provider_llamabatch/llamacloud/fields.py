"""The types of the models' fields: what is taken of odd values, and how text is cleaned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from airflow_provider_llamabatch.defaults import MAX_NAME_CHARACTERS
from airflow_provider_llamabatch.llamacloud.text import (
    clean_content,
    clean_document,
    clean_metadata,
    clean_text,
    clean_word,
)


def _clean_name(value: str) -> str:
    return clean_text(value, MAX_NAME_CHARACTERS)


def _dateor_none(value: Any, validate: ValidatorFunctionWrapHandler) -> datetime | None:
    """Read a date; without a zone it is UTC, and one that is unreadable or from another age is None."""
    try:
        date: datetime | None = validate(value)
        if date is None or not 1970 < date.year < 9999:
            return None
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def without_malformed(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Read a list of rows; those that are malformed are left out, and do not spoil the others."""
    try:
        return validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        if not isinstance(value, list) or any(not problem["loc"] for problem in problems):
            raise
        bad = {problem["loc"][0] for problem in problems}
        return validate([row for number, row in enumerate(value) if number not in bad])


def _without_null(value: Any) -> Any:
    """Leave out the entries of a list that are null: they are no records."""
    return [one for one in value if one is not None] if isinstance(value, list) else value


def or_none(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Read what no decision needs; what is malformed is None, and does not spoil the rest."""
    try:
        return validate(value)
    except ValidationError:
        return None


Id: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]{1,200}$")]
Token: TypeAlias = Annotated[str, StringConstraints(max_length=4096)]  # it becomes part of a URL
Name: TypeAlias = Annotated[str, AfterValidator(_clean_name)]
Text: TypeAlias = Annotated[str, AfterValidator(clean_text)]
Word: TypeAlias = Annotated[str, AfterValidator(clean_word)]
Document: TypeAlias = Annotated[str, AfterValidator(clean_document)]
Metadata: TypeAlias = Annotated[dict[str, Any], AfterValidator(clean_metadata)]
Content: TypeAlias = Annotated[dict[str, Any], AfterValidator(clean_content)]
Extracted: TypeAlias = Annotated[
    dict[str, Any] | list[dict[str, Any]], BeforeValidator(_without_null), AfterValidator(clean_content)
]
Date: TypeAlias = Annotated[datetime | None, WrapValidator(_dateor_none)]
