"""A request as a value: what the handlers read. Bodies and queries become pydantic models or a 422."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from airflow_provider_llamabatch.emulator.answers import Refusal, invalid_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import QueryParams

    from airflow_provider_llamabatch.emulator.records import Blob

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """A file part of a multipart form, already read."""

    name: str
    content_type: str | None
    blob: Blob


@dataclass(frozen=True)
class Ask:
    """One request. ``ids`` are the parts of the path, ``form`` the text parts of a multipart form."""

    ids: dict[str, str]
    params: QueryParams
    raw: bytes
    base_url: str
    form: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def query(self, model: type[Model]) -> Model:
        """Read the query string. Raises Refusal (422)."""
        repeated = {name: self.params.getlist(name) for name in self.params}
        return _checked("query", lambda: model.model_validate(repeated))

    def body(self, model: type[Model]) -> Model:
        """Read the JSON body. Raises Refusal (422)."""
        value = _json(self.raw)
        return _checked("body", lambda: model.model_validate(value))

    def fields(self, model: type[Model]) -> Model:
        """Read the text parts of the form. Raises Refusal (422)."""
        return _checked("body", lambda: model.model_validate(self.form))


def _checked(where: str, read: Callable[[], Model]) -> Model:
    try:
        return read()
    except ValidationError as error:
        raise invalid_all(where, error) from None


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except ValueError as error:
        problem = {
            "type": "json_invalid",
            "loc": ["body", 0],
            "msg": f"JSON decode error: {error}",
            "input": {},
        }
        raise Refusal(422, [problem]) from None


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _last(values: Any) -> Any:
    return values[-1] if isinstance(values, list) else values


def _split(values: Any) -> Any:
    return [part for value in values for part in value.split(",") if part]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


Last = BeforeValidator(_last)
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list given as ``?a=x&a=y``, as ``?a=x,y`` or as a mix."""
Word = Annotated[str | None, Last]
Flag = Annotated[bool, Last]
Moment = Annotated[datetime | None, Last, AfterValidator(_utc)]


class Paging(BaseModel):
    """The query of every list. Sizes and tokens are checked where the page is cut."""

    page_size: Annotated[int | None, Last] = None
    page_token: Word = None


class CreatedBetween(Paging):
    """The query of lists that can be limited to a time; both ends are inclusive."""

    created_at_on_or_after: Moment = None
    created_at_on_or_before: Moment = None

    def holds(self, created_at: float) -> bool:
        """Whether a record of this time is asked for."""
        return is_between(created_at, self.created_at_on_or_after, self.created_at_on_or_before)


class Expand(BaseModel):
    """The query of calls that can show more when asked."""

    expand: Words = ()


JobStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
BatchStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]


def is_between(moment: float, after: datetime | None, before: datetime | None) -> bool:
    """Whether a time lies within two inclusive limits, each of which may be missing."""
    return (after is None or moment >= after.timestamp()) and (before is None or moment <= before.timestamp())
