"""The table: what was broken, how often, and how many batches came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COLUMNS = ("fault", "by", "runs", "struck", "wanted", "made", "lost", "duplicated", "cancelled")
HEADS = {"struck": "times it struck", "wanted": "batches wanted", "made": "batches made"}
TEXTS = 2  # columns on the left; the others are numbers


@dataclass(frozen=True)
class Run:
    """One submission or wait: the directory it was for, and the batch it ended with, None if it did not end right."""

    directory_id: str
    batch_id: str | None


@dataclass(frozen=True)
class Row:
    """
    One fault. ``struck`` counts how often it happened.

    ``lost`` are runs that did not end right with a batch of their own, ``duplicated`` batches that nobody wanted,
    ``cancelled`` the cancels that the service was asked for.
    """

    fault: str
    by: str
    runs: int
    struck: int
    wanted: int
    made: int
    lost: int
    duplicated: int
    cancelled: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether the fault struck and cost nothing."""
        nothing_wrong = not (self.lost or self.duplicated or self.cancelled)
        return self.struck > 0 and self.made == self.wanted and nothing_wrong

    @property
    def for_comparison(self) -> bool:
        """Whether the row is about somebody else's code."""
        return self.by.startswith("llama-cloud ")


def row_of(
    fault: str,
    by: str,
    struck: int,
    runs: Sequence[Run],
    made: Mapping[str, Sequence[str]],
    cancelled: int = 0,
) -> Row:
    """Compare runs with the batches ``made`` for each directory; every run wants one batch of its own."""
    wanted = Counter(run.directory_id for run in runs)
    extra = sum(max(0, len(made.get(directory_id, ())) - count) for directory_id, count in wanted.items())
    held = {run.batch_id for run in runs if run.batch_id in made.get(run.directory_id, ())}
    total = sum(len(batches) for batches in made.values())
    return Row(fault, by, len(runs), struck, len(runs), total, len(runs) - len(held), extra, cancelled)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table that is aligned for a terminal as well."""
    lines = [[HEADS.get(column, column) for column in COLUMNS], *(_cells(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    rules = [f":{'-' * (width - 1)}" for width in widths[:TEXTS]] + [
        f"{'-' * (width - 1)}:" for width in widths[TEXTS:]
    ]
    return "\n".join(_aligned(line, widths) for line in (lines[0], rules, *lines[1:]))


def _cells(row: Row) -> list[str]:
    values = [getattr(row, column) for column in COLUMNS]
    return [f"{value:,}" if isinstance(value, int) else value for value in values]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(cells[:TEXTS], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[TEXTS:], widths[TEXTS:], strict=True)]
    return f"| {' | '.join([*texts, *numbers])} |"
