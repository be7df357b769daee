"""Cursor pages: ``{"items", "next_page_token", "total_size"}`` with opaque tokens."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastapi import HTTPException

from airflow_provider_llamabatch.emulator.errors import invalid
from airflow_provider_llamabatch.emulator.models.requests import Paging, parse_json
from airflow_provider_llamabatch.emulator.settings import Settings
from airflow_provider_llamabatch.emulator.state.tables import Record, Table

R = TypeVar("R", bound=Record)

Json = dict[str, Any]
LATEST_ORDER = 2**63


def newest_page(
    table: Table[R],
    asked: Paging,
    settings: Settings,
    show: Callable[[R], Json],
    *,
    now: float,
    keep: Callable[[R], bool] = lambda _: True,
    longest: int | None = None,
) -> Json:
    """
    Cut one page of the records made until ``now``, newest first; a token says after which record it begins.

    Records made while somebody pages through a list therefore neither shift nor repeat what is still to come.
    Refuses a page size out of bounds (422) and a token that is none, or that of another list (400).
    """
    size = page_size(asked.page_size, settings, longest)
    start = (now, LATEST_ORDER)
    if asked.page_token:
        start = min(start, _position(asked, float))
    shown: list[R] = []
    for record in table.newest(start):
        if keep(record):
            if len(shown) == size:
                return _page(asked, shown, show, (shown[-1].created_at, shown[-1].order))
            shown.append(record)
    return _page(asked, shown, show, None)


def sorted_page(
    records: Iterable[R],
    asked: Paging,
    settings: Settings,
    show: Callable[[R], Json],
    *,
    key: Callable[[R], str],
    longest: int,
) -> Json:
    """Cut one page of records in the order of a text."""
    size = page_size(asked.page_size, settings, longest)
    rest = sorted(records, key=lambda record: (key(record), record.order))
    if asked.page_token:
        start = _position(asked, str)
        rest = [record for record in rest if (key(record), record.order) > start]
    shown = rest[:size]
    return _page(asked, shown, show, (key(shown[-1]), shown[-1].order) if len(rest) > size else None)


def page_size(asked: int | None, settings: Settings, longest: int | None) -> int:
    """Return how many records a page holds, or refuse (422)."""
    longest = longest or settings.max_page_size
    if asked is None:
        return min(settings.default_page_size, longest)
    if 1 <= asked <= longest:
        return asked
    raise invalid("query", "page_size", f"Input should be between 1 and {longest}", asked)


def _page(
    asked: Paging, shown: list[R], show: Callable[[R], Json], last: tuple[float | str, int] | None
) -> Json:
    token = None
    if last is not None:
        token = base64.urlsafe_b64encode(json.dumps([_list_of(asked), *last]).encode()).decode()
    return {"items": [show(record) for record in shown], "next_page_token": token, "total_size": None}


def _position(asked: Paging, kind: type) -> Any:
    try:
        given = base64.b64decode(asked.page_token or "", altchars=b"-_", validate=True)
        list_, place, order = parse_json(given)
        if list_ != _list_of(asked) or not isinstance(order, int) or not isinstance(place, kind):
            raise TypeError  # noqa: TRY301 - every way in which a token can be wrong ends the same
    except (ValueError, TypeError):
        raise HTTPException(400, "Invalid page token") from None
    return place, order


def _list_of(asked: Paging) -> str:
    """Name the list, with its order, that a query is for: each has a query of its own."""
    return f"{type(asked).__name__} {getattr(asked, 'order_by', '')}"
