"""Bars and charts as coordinates for SVG: the templates only draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.ui.views import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BAR_WIDTH = 100.0

CHART_WIDTH, CHART_HEIGHT = 640.0, 200.0
LEFT, BOTTOM, TOP = 48.0, 24.0, 12.0
COLOURS = 6  # that the style sheet has for the parts of a column; what is more is added up as the last


@dataclass(frozen=True, slots=True)
class Bar:
    """Files done, failed and still open, as lengths that add up to ``BAR_WIDTH``, and the same in words."""

    done: float
    failed: float
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of a chart; ``colour`` counts from 0."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A label at an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked columns with their axes and the names of their parts; ``is_empty`` says that every value is 0."""

    parts: Sequence[Part]
    x_marks: Sequence[Mark]
    y_marks: Sequence[Mark]
    legend: Sequence[tuple[int, str, str]]  # colour, name, total
    is_empty: bool


def bar(done: int, failed: int, total: int) -> Bar:
    """Return the bar of ``total`` files; a part that is not empty is always visible."""
    if total <= 0:
        return Bar(0.0, 0.0, "no files", "no files")
    failed_length = _visible(failed / total * BAR_WIDTH) if failed else 0.0
    done_length = min(_visible(done / total * BAR_WIDTH), BAR_WIDTH - failed_length) if done else 0.0
    open_files = max(0, total - done - failed)
    if open_files:
        done_length = min(done_length, BAR_WIDTH - failed_length - 2.0)
    label = f"{done:,} of {total:,}" + (f", {failed:,} failed" if failed else "")
    return Bar(
        round(max(0.0, done_length), 2),
        round(failed_length, 2),
        label,
        f"{done:,} done, {failed:,} failed, {open_files:,} open",
    )


def columns(days: Sequence[str], series: Mapping[str, Sequence[float]]) -> Chart:
    """Return a chart with a column per day, stacked from the series in their order; values are not negative."""
    named = _grouped(series)
    totals = [sum(values[day] for values in named.values()) for day in range(len(days))]
    top = _round_up(max(totals, default=0.0))
    plot_height = CHART_HEIGHT - TOP - BOTTOM
    step = (CHART_WIDTH - LEFT) / max(1, len(days))
    parts = []
    for day, label in enumerate(days):
        y = CHART_HEIGHT - BOTTOM
        for colour, (name, values) in enumerate(named.items()):
            height = values[day] / top * plot_height
            if height <= 0:
                continue
            y -= height
            title = f"{label}: {name} {words.number(values[day])}"
            parts.append(
                Part(
                    round(LEFT + day * step + step * 0.1, 2),
                    round(y, 2),
                    round(step * 0.8, 2),
                    round(height, 2),
                    colour,
                    title,
                )
            )
    every = max(1, -(-len(days) // 8))
    x_marks = [
        Mark(round(LEFT + (day + 0.5) * step, 2), label)
        for day, label in enumerate(days)
        if (len(days) - 1 - day) % every == 0
    ]
    y_marks = [
        Mark(round(CHART_HEIGHT - BOTTOM - share * plot_height, 2), words.number(top * share))
        for share in (0.0, 0.5, 1.0)
    ]
    legend = [
        (colour, name, words.number(sum(values))) for colour, (name, values) in enumerate(named.items())
    ]
    return Chart(parts, x_marks, y_marks, legend, is_empty=not any(totals))


def shares(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Return names with their counts and the lengths of their bars, the largest first."""
    largest = max(counts.values(), default=0)
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [
        (name, count, round(_visible(count / largest * BAR_WIDTH), 2)) for name, count in ordered if count
    ]


def _grouped(series: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    names = list(series)
    kept = names if len(names) <= COLOURS else names[: COLOURS - 1]
    grouped = {name: list(series[name]) for name in kept}
    if rest := names[len(kept) :]:
        columns_of_rest = zip(*(series[name] for name in rest), strict=True)
        grouped[f"{len(rest)} others"] = [sum(values) for values in columns_of_rest]
    return grouped


def _visible(length: float) -> float:
    return max(length, 2.0)


def _round_up(value: float) -> float:
    """Return the next number above that is good to read at an axis, so that half of it is too."""
    if value <= 2:
        return 2.0
    scale = 1.0
    while value > 10 * scale:
        scale *= 10
    return next(scale * step for step in (1, 2, 4, 6, 8, 10) if value <= scale * step)
