"""The picture beside the table: one panel per cost, a dot per subject, on logarithmic scales. Plain SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tests.bench.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.runs import Row

WIDTH, MARGIN = 980, 24
LABEL_WIDTH, ROW_HEIGHT, PANEL_HEAD, PANEL_GAP, TITLE_HEIGHT = 212, 26, 44, 26, 64
PLOT_LEFT, PLOT_RIGHT = LABEL_WIDTH + 12, 64
MOST_LABELS = 4

SUBTITLE = (
    "A poll every 5 s, answers after 50 ms, batches that end 20 to 40 s after the start. "
    "Logarithmic scales: each grid line is ten times the one before. Less is better."
)
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 18px; font-weight: 600; }
.head { font-weight: 600; }
.faint { fill: #57606a; font-size: 11px; }
.paper { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.stem { stroke: #8c959f; stroke-width: 2; }
.dot { fill: #8c959f; }
.ours .stem { stroke: #0969da; stroke-width: 3; }
.ours .dot { fill: #0969da; }
.ours text { font-weight: 600; fill: #0969da; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .faint { fill: #9198a1; } .paper { fill: #0d1117; } .grid { stroke: #3d444d; }
.stem { stroke: #9198a1; } .dot { fill: #9198a1; }
.ours .stem { stroke: #58a6ff; } .ours .dot { fill: #58a6ff; } .ours text { fill: #58a6ff; }
}
"""


@dataclass(frozen=True)
class Panel:
    """One cost: its heading, the field of a row it shows, its unit, the least value of the scale."""

    heading: str
    name: str
    unit: str
    least: float


PANELS = (
    Panel("CPU time of the process", "cpu", " s", 0.1),
    Panel("Memory added at the peak", "memory", " MB", 1.0),
    Panel("Requests sent", "requests", "", 1.0),
    Panel("TCP connections opened", "connections", "", 1.0),
    Panel("Event loop lag, 99th percentile", "lag_p99", " ms", 0.1),
    Panel("From a batch's end to the event, 99th percentile", "delay_p99", " s", 0.01),
)


def draw(rows: Sequence[Row], waits: int) -> str:
    """Return the SVG for the rows with ``waits`` waits."""
    shown = [row for row in rows if row.waits == waits]
    panel_height = PANEL_HEAD + ROW_HEIGHT * len(shown)
    panel_width = (WIDTH - 3 * MARGIN) / 2
    height = TITLE_HEIGHT + math.ceil(len(PANELS) / 2) * (panel_height + PANEL_GAP)
    panels = []
    for place, panel in enumerate(PANELS):
        left = MARGIN + (place % 2) * (panel_width + MARGIN)
        top = TITLE_HEIGHT + (place // 2) * (panel_height + PANEL_GAP)
        drawing = "\n".join(_panel(panel, shown, panel_width))
        panels.append(f'<g transform="translate({left:.0f} {top:.0f})">\n{drawing}\n</g>')
    title = f"What {waits:,} waiting batches cost one triggerer process"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<rect class="paper" width="100%" height="100%" rx="6"/>',
            f'<text class="title" x="{MARGIN}" y="32">{escape(title)}</text>',
            f'<text class="faint" x="{MARGIN}" y="50">{SUBTITLE}</text>',
            *panels,
            "</svg>",
            "",
        ]
    )


def _panel(panel: Panel, rows: Sequence[Row], width: float) -> Iterable[str]:
    values = [getattr(row, panel.name) for row in rows]
    decades = (math.floor(math.log10(panel.least)), math.ceil(math.log10(max([*values, panel.least * 10]))))
    bottom = PANEL_HEAD + ROW_HEIGHT * len(rows) - 8

    def across(value: float) -> float:
        share = (math.log10(max(value, panel.least)) - decades[0]) / (decades[1] - decades[0])
        return PLOT_LEFT + share * (width - PLOT_LEFT - PLOT_RIGHT)

    yield f'<text class="head" x="0" y="14">{escape(panel.heading)}</text>'
    every = 2 if decades[1] - decades[0] > MOST_LABELS else 1
    for decade in range(decades[0], decades[1] + 1):
        x = across(10.0**decade)
        yield f'<line class="grid" x1="{x:.1f}" y1="{PANEL_HEAD - 10}" x2="{x:.1f}" y2="{bottom}"/>'
        label = f"{10.0**decade:,g}" if (decade - decades[0]) % every == 0 else ""
        yield f'<text class="faint" x="{x:.1f}" y="{PANEL_HEAD - 14}" text-anchor="middle">{label}</text>'
    for line, (row, value) in enumerate(zip(rows, values, strict=True)):
        y = PANEL_HEAD + ROW_HEIGHT * line + 6
        x = across(value)
        kind = "ours" if row.subject == "llamabatch" else "other"
        yield f'<g class="{kind}">'
        title = escape(SUBJECTS[row.subject].title)
        yield f'<text x="{LABEL_WIDTH}" y="{y + 4}" text-anchor="end">{title}</text>'
        yield f'<line class="stem" x1="{across(panel.least):.1f}" y1="{y}" x2="{x:.1f}" y2="{y}"/>'
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="5"/>'
        yield f'<text x="{x + 10:.1f}" y="{y + 4}">{figure(value)}{panel.unit}</text>'
        yield "</g>"


def figure(value: float) -> str:
    """Return a number with two or three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{round(value, 2):.3g}"
