"""Records by id and in the order of their times."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Record(Protocol):
    """Anything with an id and a place in time."""

    id: str
    order: int

    @property
    def created_at(self) -> float:
        """When it was made."""


R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """Records of one kind. Listing the newest ones costs what is listed, not what is there."""

    def __init__(self) -> None:
        self._by_id: dict[str, R] = {}
        self._in_time: list[tuple[float, int, R]] = []

    def add(self, record: R) -> None:
        """Keep a record."""
        self._by_id[record.id] = record
        insort(self._in_time, (record.created_at, record.order, record))

    def get(self, id_: str) -> R | None:
        """Return the record with an id."""
        return self._by_id.get(id_)

    def remove(self, id_: str) -> None:
        """Forget a record, if it is there."""
        record = self._by_id.pop(id_, None)
        if record is not None:
            del self._in_time[bisect_left(self._in_time, (record.created_at, record.order))]

    def newest(self, before: tuple[float, int]) -> Iterator[R]:
        """Go through the records made before a moment (a time and an order), newest first."""
        for index in range(bisect_left(self._in_time, before) - 1, -1, -1):
            yield self._in_time[index][2]

    def __iter__(self) -> Iterator[R]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
