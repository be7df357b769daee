"""What waiting for batches costs, beside other providers' triggers. See ``python -m tests.bench --help``."""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import adverse, imports, page, pipeline
from tests.bench.picture import draw
from tests.bench.report import Report, largest_shared, part_text
from tests.bench.runs import SIDE_BY_SIDE, Run, life_phases, medians, phases, side_by_side
from tests.bench.scenarios import Scenario
from tests.bench.server import running_server
from tests.bench.subjects import SUBJECTS
from tests.bench.targets import targets
from tests.support.measured import write_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.runs import Phase, Row

PARTS = ("waits", "peers", "adverse", "imports", "workers", "pipeline", "page")
SIZES = (1, 100, 1000, 10_000)
QUICK = replace(Scenario(0), first_end=6.0, last_end=12.0)
WARM_UP = replace(Scenario(0), first_end=0.0, last_end=0.5)
OURS = ("empty", "llamabatch")
REPEATS = 3  # of the large runs of ours and the empty loop, whose ratio is the finest figure; the others take minutes


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="1 and 100 waits, batches that end after 6 to 12 s"
    )
    parser.add_argument("--only-ours", action="store_true", help="this package and the empty loop alone")
    parser.add_argument("--only", choices=PARTS, help="one part alone; `waits` are the waits as in life")
    parser.add_argument("--subjects", nargs="+", choices=sorted(SUBJECTS), help="measure these alone")
    parser.add_argument("--sizes", nargs="+", type=int, help="numbers of waits")
    parser.add_argument(
        "--repeat",
        type=int,
        help=f"how often waits run ({REPEATS} times; beside the others once, but large runs of ours {REPEATS} times)",
    )
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the page and its picture are")
    return parser.parse_args()


def main() -> None:
    """Measure part by part, and print each and write it into the page as soon as it is measured."""
    asked = options()
    narrowed = asked.quick or asked.only_ours or asked.subjects or asked.sizes
    with tempfile.TemporaryDirectory() as home, running_server() as control:
        os.environ["AIRFLOW_HOME"] = home  # the clients' Airflow writes its settings there
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is not compiled on every start
        for part in [asked.only] if asked.only else ["peers"] if narrowed else PARTS:
            report, began = Report(), time.monotonic()
            measure(part, asked, control, report)
            report.targets = [
                *targets([*report.rows, *report.life]),
                *pipeline.pipeline_targets(report.pipeline),
                *page.page_targets(report.page),
            ]
            report.minutes = (time.monotonic() - began) / 60
            text = part_text(report)
            sys.stdout.write(text)
            if not narrowed:
                write(part, text, report, asked.docs)


def measure(part: str, asked: argparse.Namespace, control: str, report: Report) -> None:
    """Measure one part."""
    say(f"part: {part}")
    if part == "peers":
        measure_beside_others(asked, control, report)
    elif part == "waits":
        report.life = measure_life(control, asked.repeat or REPEATS)
    elif part == "adverse":
        report.trials = try_adverse_servers(control)
    elif part == "imports":
        report.imports = from_process("tests.bench.imports", *imports.OURS, *imports.PEERS)
        report.results = from_process("tests.bench.results")
    elif part == "workers":
        report.workers = from_process("tests.bench.workers")
    elif part == "pipeline":
        for module in pipeline.MODULES:
            say(module)
            report.pipeline[module] = from_process(f"tests.bench.{module}")
    else:
        report.page = from_process("tests.bench.page")


def measure_beside_others(asked: argparse.Namespace, control: str, report: Report) -> None:
    """Run every subject at every size, all waits going on at once."""
    named = asked.subjects or (list(OURS) if asked.only_ours else [])
    subjects = named or list(SUBJECTS)
    missing = [name for name in subjects if not SUBJECTS[name].installed()]
    if missing:
        sys.exit(
            f"not installed: {', '.join(missing)}; see tests/bench/requirements-peers.txt or use --only-ours"
        )
    sizes = asked.sizes or (SIZES[:2] if asked.quick else SIZES)
    names_of = functools.partial(taking_part, named)
    scenario = QUICK if asked.quick else Scenario(0)
    report.first_end, report.last_end = scenario.first_end, scenario.last_end
    say("a short run of each, so that all is compiled")
    side_by_side(control, [Run(name, replace(WARM_UP, count=1)) for name in subjects])
    rows = []
    for seed, phase in rounds(asked, list(phases(names_of, sizes))):
        say(", ".join(f"{subject} with {size:,} waits" for subject, size in phase))
        runs = [Run(subject, replace(scenario, count=size, seed=seed)) for subject, size in phase]
        rows += side_by_side(control, runs)
    report.rows = medians(rows)


def measure_life(control: str, repeats: int) -> list[Row]:
    """Run ours and the empty loop with waits that begin at their own times."""
    rows = []
    for seed in range(1, repeats + 1):
        for runs in life_phases(seed):
            say(", ".join(f"{run.subject} {run.name}" for run in runs))
            rows += side_by_side(control, runs)
    return medians(rows)


def rounds(asked: argparse.Namespace, phases: list[Phase]) -> Iterator[tuple[int, Phase]]:
    """Yield what runs side by side and with which seed: all as often as asked, our large runs more often."""
    for seed in range(1, max(asked.repeat or 1, REPEATS) + 1):
        for phase in phases:
            again = [run for run in phase if run[0] in OURS and run[1] > SIDE_BY_SIDE]
            if chosen := phase if seed <= (asked.repeat or 1) else again:
                yield seed, chosen


def try_adverse_servers(control: str) -> list[adverse.Trial]:
    """Try the fake server and the emulator at the same time."""
    with running_server("tests.bench.emulated") as emulators, ThreadPoolExecutor() as threads:
        trials = threads.map(adverse.try_all, ("fake", "emulator"), (control, emulators))
        return [trial for of_server in trials for trial in of_server]


def taking_part(named: list[str], size: int) -> list[str]:
    """Return who runs with ``size`` waits: those named, or else all that can bear it."""
    return named or [name for name, subject in SUBJECTS.items() if subject.most_waits >= size]


def from_process(module: str, *arguments: str) -> Any:
    """Run a module of the benchmark in a fresh process and return the JSON it prints."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write(part: str, text: str, report: Report, docs: Path) -> None:
    """Write a part into the page, and its picture beside it."""
    if report.rows:
        (docs / "benchmarks.svg").write_text(draw(report.rows, largest_shared(report.rows)))
    write_part(docs / "benchmarks.md", part, text)
    say(f"wrote the part {part} of {docs / 'benchmarks.md'}")


def say(text: str) -> None:
    """Tell on standard error how far the run is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    main()
