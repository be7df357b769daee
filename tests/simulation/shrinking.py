"""Makes the record of a failing history shorter and more benign, as long as it breaks the same promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.history import Result, play

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PLAYS = 500


def shrink(seed: int, result: Result) -> list[int]:
    """Return the smallest record found that breaks the same promise as ``result``."""
    best, promise, plays = result.record, result.promise, 0
    improved = True
    while improved and plays < MAX_PLAYS:
        improved = False
        for candidate in _candidates(best):
            plays += 1
            played = play(seed, candidate)
            if played.promise == promise and _size(played.record) < _size(best):
                best, improved = played.record, True
                break
            if plays >= MAX_PLAYS:
                break
    return best


def _size(record: list[int]) -> tuple[int, int, int]:
    end = len(record)
    while end and not record[end - 1]:
        end -= 1
    return sum(value > 0 for value in record), end, sum(record)


def _candidates(record: list[int]) -> Iterator[list[int]]:
    """Give shorter and more benign records, the boldest first."""
    length = len(record)
    block = max(1, length // 2)
    while block:
        for start in range(0, length, block):
            if any(record[start : start + block]):
                yield [*record[:start], *[0] * len(record[start : start + block]), *record[start + block :]]
            if block <= 32:
                yield record[:start] + record[start + block :]
        block //= 2
    for at, value in enumerate(record):
        if value > 1:
            yield [*record[:at], value // 2, *record[at + 1 :]]
