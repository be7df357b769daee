"""A load's figures as text, table and picture."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tests.scale.load import share
from tests.scale.page import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.scale.load import LoadResult

WIDTH, LEFT, TOP, BOTTOM = 760, 150, 56, 14
BAR = 15
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; } .title { font-size: 16px; font-weight: 600; }
.faint { fill: #57606a; font-size: 11px; } .paper { fill: #ffffff; } .bar { fill: #0969da; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .faint { fill: #9198a1; } .paper { fill: #0d1117; } .bar { fill: #58a6ff; }
}
"""
SIZES = ("xcom", "trigger", "task_state_store", "task_instance")


def text(result: LoadResult, machine: str, picture: str) -> str:
    """Return the part of the page about the load."""
    plan = result.plan
    parts = [
        f"{plan.runs} runs of `process_directory`, {plan.large} of them with {plan.files:,} files and the others "
        f"with 3; each batch runs for {plan.batch_seconds / 60:.3g} minutes. {machine}",
        f"![CPU of each process]({picture})",
        table(("what", "measured"), _figures(result)),
        table(("process", "CPU s", "memory MB"), _processes(result)),
        table(("rows", "while most wait", "kB", "in the end", "kB"), _sizes(result)),
    ]
    if result.outcome.problems:
        parts.append("Not as wanted:\n\n" + "\n".join(f"- {problem}" for problem in result.outcome.problems))
    return "\n\n".join(parts)


def submissions_per_minute(times: Sequence[float]) -> float:
    """Return the rate between the first and the last of these times."""
    seconds = times[-1] - times[0] if len(times) > 1 else 0.0
    return (len(times) - 1) * 60 / seconds if seconds else float("nan")


def _figures(result: LoadResult) -> list[tuple[str, object]]:
    outcome, after = result.outcome, result.downstream_after
    waiting = ", ".join(str(count) for _, count in sorted(result.waits.items()))
    requests = [
        (f"requests to the service from {'both workers' if name == 'workers' else f'the {name}'}", count)
        for name, count in result.requests.items()
    ]
    return [
        ("batches made / wanted", f"{outcome.made} / {outcome.wanted}"),
        ("files saved / wanted", f"{outcome.files_saved:,} / {outcome.files_wanted:,}"),
        ("tries beyond the first", outcome.retries),
        ("tasks waiting at once", result.waiting_at_once),
        ("of them in each triggerer", waiting or "-"),
        ("submissions per minute", submissions_per_minute(result.submitted_at)),
        ("batch's end to the start of the next task, p50, s", share(after, 0.5)),
        ("batch's end to the start of the next task, p99, s", share(after, 0.99)),
        *requests,
        ("minutes in all", result.seconds / 60),
    ]


def _processes(result: LoadResult) -> list[tuple[str, float, float]]:
    return [(name, usage.cpu_seconds, usage.memory_mb) for name, usage in result.usages.items()]


def _sizes(result: LoadResult) -> list[tuple[object, ...]]:
    rows = []
    for name in SIZES:
        waiting, end = result.sizes_waiting.get(name), result.sizes_end[name]
        shown = (waiting.rows, waiting.bytes / 1e3) if waiting else ("-", "-")
        rows.append((name, *shown, end.rows, end.bytes / 1e3))
    return rows


def draw(result: LoadResult) -> str:
    """Return an SVG with a bar per process: its CPU seconds, and beside it its memory."""
    usages = sorted(result.usages.items(), key=lambda item: -item[1].cpu_seconds)
    height = TOP + BOTTOM + len(usages) * (BAR + 8)
    most = max((usage.cpu_seconds for _, usage in usages), default=1.0) or 1.0
    bars = []
    for line, (name, usage) in enumerate(usages):
        y, width = TOP + line * (BAR + 8), usage.cpu_seconds / most * (WIDTH - LEFT - 170)
        label = f"{usage.cpu_seconds:,.0f} s CPU, {usage.memory_mb:,.0f} MB"
        bars.append(
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar" x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="2"/>'
            f'<text class="faint" x="{LEFT + max(width, 1) + 6:.1f}" y="{y + 12}">{label}</text>'
        )
    title = f"What {result.plan.runs} runs of the pipeline took from each process"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<rect class="paper" width="100%" height="100%" rx="6"/>',
            f'<text class="title" x="20" y="30">{escape(title)}</text>',
            *bars,
            "</svg>",
            "",
        ]
    )
