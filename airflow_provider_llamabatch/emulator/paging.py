"""Cursor pages: ``{"items", "next_page_token", "total_size"}`` with opaque tokens. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from airflow_provider_llamabatch.emulator.answers import Refusal, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_llamabatch.emulator.asking import Paging
    from airflow_provider_llamabatch.emulator.settings import Settings


class Record(Protocol):
    """Anything with a place in time."""

    order: int

    @property
    def created_at(self) -> float:
        """When it was made."""


R = TypeVar("R", bound=Record)
R_contra = TypeVar("R_contra", bound=Record, contravariant=True)


@dataclass(frozen=True)
class Order(Generic[R_contra]):
    """How a list is sorted. ``key`` must be different for every record and consist of JSON values."""

    key: Callable[[R_contra], tuple[Any, ...]]
    descending: bool


NEWEST_FIRST = Order[Record](lambda record: (record.created_at, record.order), descending=True)


def page(
    records: Iterable[R],
    asked: Paging,
    settings: Settings,
    show: Callable[[R], Any],
    order: Order[R] = NEWEST_FIRST,
) -> dict[str, Any]:
    """
    Cut one page; a token says after which record it begins.

    Records made while somebody pages through a list therefore neither shift nor repeat what is still to come.
    Raises Refusal for a page size out of bounds (422) and for a token that is none (400), unless ids are lenient.
    """
    size = _size(asked.page_size, settings)
    rest = sorted(records, key=order.key, reverse=order.descending)
    after = _position(asked.page_token, settings)
    if after is not None:
        rest = [
            one for one in rest if (order.key(one) < after if order.descending else order.key(one) > after)
        ]
    shown = rest[:size]
    token = _token(order.key(shown[-1])) if len(rest) > size else None
    return {"items": [show(one) for one in shown], "next_page_token": token, "total_size": None}


def _size(asked: int | None, settings: Settings) -> int:
    if asked is None:
        return settings.default_page_size
    if 1 <= asked <= settings.max_page_size:
        return asked
    if settings.lenient_ids:
        return settings.default_page_size
    raise invalid("query", "page_size", f"Input should be between 1 and {settings.max_page_size}", asked)


def _token(position: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(token: str | None, settings: Settings) -> tuple[Any, ...] | None:
    if not token:
        return None
    try:
        return tuple(json.loads(base64.urlsafe_b64decode(token)))
    except (ValueError, TypeError):
        if settings.lenient_ids:
            return None
        raise Refusal(400, "Invalid page token") from None
