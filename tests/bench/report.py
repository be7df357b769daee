"""The benchmark's figures as Markdown."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.adverse import MOST_REQUESTS, Trial
from tests.bench.page import page_text
from tests.bench.pipeline import pipeline_text
from tests.bench.scenarios import Scenario, spread_of
from tests.bench.subjects import SUBJECTS
from tests.bench.workers import FORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.runs import Row
    from tests.bench.targets import Target

VERSIONS = (
    "apache-airflow",
    "airflow-provider-llamabatch",
    "apache-airflow-providers-anthropic",
    "apache-airflow-providers-openai",
    "apache-airflow-providers-dbt-cloud",
    "httpx",
    "pydantic",
)


@dataclass
class Report:
    """Everything one run of the benchmark found out."""

    rows: list[Row] = field(default_factory=list)  # beside the others
    life: list[Row] = field(default_factory=list)  # waits as in life
    trials: list[Trial] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    imports: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, float] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)
    pipeline: dict[str, Any] = field(default_factory=dict)
    page: dict[str, Any] = field(default_factory=dict)
    minutes: float = 0.0
    first_end: float = Scenario.first_end
    last_end: float = Scenario.last_end
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])


def part_text(report: Report) -> str:
    """Return what one part of the benchmark has found out, as it stands on the page."""
    sections: list[tuple[str, Sequence[Any], Callable[[Report], str]]] = [
        ("Waits as in life", report.life, life_table),
        ("Beside the others", report.rows, waiting_table),
        ("Times ours", ratios(report.rows), ratio_table),
        ("Adverse servers", report.trials, adverse_table),
        ("Import time", report.imports, import_table),
        ("From the answer to the XCom", list(report.results), results_text),
        ("Worker seconds per batch", list(report.workers), worker_table),
        ("The pipeline", list(report.pipeline), lambda report: pipeline_text(report.pipeline, table)),
        ("The page in Airflow's UI", list(report.page), lambda report: page_text(report.page, table)),
    ]
    texts = [f"## {title}\n\n{text(report)}" for title, content, text in sections if content]
    if report.targets:
        texts.append(target_table(report))
    return "\n\n".join([*texts, machine(report)]) + "\n"


LIFE_TEXT = """\
Each wait begins at a random time within what the scenario says ("together" is one second) by creating its batch.
As the operators do it, the trigger is told when its batch was created and polls first 10 to 13 s later. Batches
end at random, or in the order they were created, over 20 s that begin 30 s after the start (80 s where waits begin
within 60 s); those of others are created and end like those waited for. The empty loop begins and ends its waits
at the same times. Runs of a thousand waits that begin alike go side by side, the larger ones have the machine to
themselves."""

RESTART_TEXT = """\
All waits go on in the same instant, as after a triggerer's restart, poll at once and know no `created_at`. Batches end
at random {ends} after the start. Runs of 1 and 100 waits go side by side, so their largest lag is that of a crowded
machine; larger runs have the machine to themselves. The dbt Cloud hook insists on HTTPS and is patched to HTTP."""


def machine(report: Report) -> str:
    """Describe where and when this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ", ".join(f"{name} {_version(name)}" for name in VERSIONS)
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y}: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {packages}. "
        f"Load average at the start {report.load_before:.1f}; the run took {report.minutes:.1f} minutes."
    )


def waiting_table(report: Report) -> str:
    """Return the main table."""
    ends = f"{report.first_end:g} to {report.last_end:g} s"
    empty = {row.waits: row for row in report.rows if row.subject == "empty"}
    heads = [
        "subject", "waits", "runs", "CPU s", "of the empty loop", "memory MB", "above the empty loop MB",
        "requests", "TCP connections", "at once", "loop lag p50 / p99 / max ms",
        "found after p50 / p99 / max s", "failures",
    ]  # fmt: skip
    lines = []
    for row in report.rows:
        floor = empty.get(row.waits)
        lines.append(
            [
                SUBJECTS[row.subject].title,
                f"{row.waits:,}",
                str(row.runs),
                f"{row.cpu:.2f}",
                f"{row.cpu / floor.cpu:.1f}x" if floor else "",
                f"{row.memory:.1f}",
                f"{row.memory - floor.memory:.1f}" if floor else "",
                f"{row.requests:,.0f}",
                f"{row.connections:,.0f}",
                f"{row.peak:,.0f}",
                *lag_delay_failures(row),
            ]
        )
    picture = f"![Costs of {largest_shared(report.rows):,} waits, by subject](benchmarks.svg)"
    return f"{RESTART_TEXT.format(ends=ends)}\n\n{picture}\n\n{table(heads, lines)}"


def ratio_table(report: Report) -> str:
    """Return what the others need in units of what this package needs."""
    heads = ["subject", "waits", "CPU", "memory", "requests", "TCP connections", "found after p99"]
    names = ("cpu", "memory", "requests", "connections", "delay_p99")
    lines = [
        [SUBJECTS[row.subject].title, f"{row.waits:,}", *(_times(row, ours, name) for name in names)]
        for row, ours in ratios(report.rows)
    ]
    return "Times what airflow-provider-llamabatch needs for as many waits.\n\n" + table(heads, lines)


def target_table(report: Report) -> str:
    """Return the bounds this package sets itself and whether this run kept them."""
    lines = [
        [target.what, target.bound_text, f"{target.measured:.4g}", "yes" if target.kept else "**no**"]
        for target in report.targets
    ]
    return table(["what", "target", "measured", "met"], lines)


def life_table(report: Report) -> str:
    """Return what waits that begin at their own times cost, beside the empty loop of the same spread."""
    empty = {row.scenario: row for row in report.life if row.subject == "empty"}
    heads = [
        "waits", "scenario", "subject", "runs", "CPU s", "of the empty loop", "above the empty loop MB",
        "requests", "of which lists", "loop lag p50 / p99 / max ms", "found after p50 / p99 / max s", "failures",
    ]  # fmt: skip
    lines = []
    for row in report.life:
        floor = empty.get(spread_of(row.scenario))
        lines.append(
            [
                f"{row.waits:,}",
                row.scenario,
                SUBJECTS[row.subject].title,
                str(row.runs),
                f"{row.cpu:.2f}",
                f"{row.cpu / floor.cpu:.2f}x" if floor else "",
                f"{row.memory - floor.memory:.1f}" if floor else "",
                f"{row.requests:,.0f}",
                f"{row.lists:,.0f}",
                *lag_delay_failures(row),
            ]
        )
    return f"{LIFE_TEXT}\n\n{table(heads, lines)}"


def lag_delay_failures(row: Row) -> list[str]:
    """Return the last three cells of a row of waits."""
    return [
        f"{row.lag_p50:.1f} / {row.lag_p99:.1f} / {row.lag_max:,.0f}",
        f"{row.delay_p50:.2f} / {row.delay_p99:.2f} / {row.delay_max:.2f}",
        f"{row.failures:.0f}" + (f" ({row.first_failure:.60})" if row.first_failure else ""),
    ]


def adverse_table(report: Report) -> str:
    """Return how our trigger does where the list is of little use."""
    heads = [
        "what the server does", "server", "requests", "of which lists", "a GET per batch", "times those",
        "found after p50 / p99 / max s", "failures", "passed",
    ]  # fmt: skip
    lines = [
        [
            trial.name,
            trial.server,
            f"{trial.row.requests:,.0f}",
            f"{trial.row.lists:,.0f}",
            f"{trial.plain_requests:,.0f}",
            f"{trial.ratio:.2f}x",
            f"{trial.row.delay_p50:.2f} / {trial.row.delay_p99:.2f} / {trial.row.delay_max:.2f}",
            f"{trial.row.failures:.0f}",
            "yes" if trial.passed else "**no**",
        ]
        for trial in report.trials
    ]
    text = (
        f"{report.trials[0].row.waits} waits of airflow-provider-llamabatch against servers whose list is of little "
        'use. "A GET per batch" is what a plain loop sent there; '
        f"{MOST_REQUESTS} times as many are allowed."
    )
    return f"{text}\n\n{table(heads, lines)}"


def import_table(report: Report) -> str:
    """Return what the operator modules add to Airflow's own."""
    lines = [[f"`{row['module']}`", f"{row['ms']:.0f}", str(row["modules"])] for row in report.imports]
    return (
        "Added to a process that holds `airflow.sdk` and the standard provider's Python operator; median of "
        "7 fresh processes.\n\n" + table(["module", "ms", "modules loaded"], lines)
    )


def results_text(report: Report) -> str:
    """Say how long the results of a full batch take."""
    took = report.results
    return (
        f"The answer for a finished batch of {took['files']:,.0f} files ({took['kilobytes']:.0f} kB) becomes job "
        f"references and file errors in {took['median_ms']:.1f} ms; the first time in a process, when the models "
        f"are built, it takes {took['first_ms']:.1f} ms."
    )


def worker_table(report: Report) -> str:
    """Return what a batch costs the workers in each of the ways to run one."""
    workers = report.workers
    heads = [
        "how a DAG runs the batch",
        "stays on a worker",
        "worker seconds",
        "last task ended after the batch, s",
    ]
    lines = [
        [FORMS[cost["form"]], f"{cost['stays']:.0f}", f"{cost['seconds']:.1f}", f"{cost['late']:.1f}"]
        for cost in workers["forms"]
    ]
    return (
        f"A real Airflow (scheduler, LocalExecutor, triggerer) runs a batch of {workers['batch_seconds']} s against "
        f"the emulator in each way, {workers['rounds']} times in turns; medians per batch, from the submission to the "
        "references in XCom. A stay is one start of the task on a worker; its seconds are those the executor logs, "
        "Airflow's own start included. The executor notices the end of some stays only at its next heartbeat, which "
        "adds up to 1 s here and up to 5 s with Airflow's defaults. Only the seconds on a worker that waits, and the "
        "stays of a rescheduled sensor, grow with the length of the batch.\n\n" + table(heads, lines)
    )


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; every column but the first is set right."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def largest_shared(rows: Iterable[Row]) -> int:
    """Return the largest number of waits that a subject other than ours and the empty loop ran with."""
    return max((row.waits for row in rows if row.subject not in ("empty", "llamabatch")), default=0)


def ratios(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return each row of another subject with ours of as many waits."""
    ours = {row.waits: row for row in rows if row.subject == "llamabatch"}
    others = (row for row in rows if row.subject not in ("empty", "llamabatch"))
    return [(row, ours[row.waits]) for row in others if row.waits in ours]


def _times(row: Row, ours: Row, name: str) -> str:
    mine, theirs = getattr(ours, name), getattr(row, name)
    return f"{theirs / mine:,.1f}x" if mine > 0 else "-"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
