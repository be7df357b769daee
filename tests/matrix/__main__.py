"""
Runs the unit and integration tests on every supported Airflow, and prints a table.

    python -m tests.matrix [--only NAME ...] [--dry-run] [-- PYTEST ARGUMENTS]

Each cell is an environment of its own below ``.venv-matrix``, made by uv from the package index alone: Airflow's
constraint files are not there, so a cell takes the packages of its Airflow's time (``--exclude-newer``). The cells
``lowest`` have the lowest versions that pyproject.toml allows, of what the package and its extras name. A cell whose
Python this machine does not have is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.matrix.pythons import find_python

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-matrix"
TESTS = ("tests/unit", "tests/integration")
UV = Path(sys.executable).parent / "uv"

# What the tests need is taken as it is today, and so is what this package needs of its own.
ALWAYS_NEW = (
    "llama-cloud",
    "hypothesis",
    "pytest",
    "pytest-asyncio",
    "pytest-xdist",
    "pytest-timeout",
    "moto",
    "respx",
)


@dataclass(frozen=True)
class Cell:
    """One environment: an Airflow, a Python, and the day whose packages it takes; None takes today's."""

    name: str
    airflow: str
    python: str
    day: str | None = None
    lowest: bool = False
    others: tuple[tuple[str, str], ...] = ()  # packages of another day
    floors: tuple[str, ...] = ()  # what this Airflow itself does not work below, though it does not say so


COMPAT = "apache-airflow-providers-common-compat"
CELLS = (
    Cell(
        *("2.11-lowest", "2.11.0", "3.11", "2026-02-10"),
        lowest=True,
        others=(("universal-pathlib", "2025-06-01"),),  # Airflow 2.11.0 makes later ones warn
    ),
    Cell("2.11", "2.11.2", "3.12", "2026-03-17"),
    Cell(
        "3.0", "3.0.6", "3.12", "2025-09-02", others=((COMPAT, "2026-02-20"),)
    ),  # it had none that is new enough
    Cell("3.1", "3.1.8", "3.13", "2026-03-14"),
    Cell("3.2", "3.2.1", "3.13", "2026-04-25"),
    Cell("3.3", "3.3.2", "3.13", "2026-09-18"),
    Cell(
        *("3.3-lowest", "3.3.0", "3.12", "2026-08-05"),
        lowest=True,
        floors=("pydantic>=2.12", "apache-airflow-providers-openlineage>=2.18"),
    ),
    Cell("newest", "3.3.2", "3.13"),
    Cell("newest-3.14", "3.3.2", "3.14"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    cell: Cell
    words: str
    passed: bool


def main() -> int:
    """Run the cells that are asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--only", nargs="+", choices=[cell.name for cell in CELLS], help="leave out the others"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="resolve each cell's packages, and install nothing"
    )
    arguments, pytest_arguments = parser.parse_known_args()
    pytest_arguments = [each for each in pytest_arguments if each != "--"]
    wanted = [cell for cell in CELLS if not arguments.only or cell.name in arguments.only]
    outcomes = [run(cell, pytest_arguments, dry_run=arguments.dry_run) for cell in wanted]
    print(table(outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def run(cell: Cell, pytest_arguments: list[str], *, dry_run: bool) -> Outcome:
    """Make a cell's environment and run the tests in it."""
    python = find_python(cell.python)
    if python is None:
        return Outcome(cell, f"left out: this machine has no Python {cell.python}", passed=True)
    print(f"\n== {cell.name}: Airflow {cell.airflow}, Python {cell.python}", flush=True)
    began = time.monotonic()
    try:
        environment = make(cell, python, dry_run=dry_run)
    except subprocess.CalledProcessError as error:
        return Outcome(cell, f"FAILED: no set of packages ({' '.join(error.cmd[:3])})", passed=False)
    if dry_run:
        return Outcome(cell, "resolved", passed=True)
    home = {"AIRFLOW_HOME": str(environment / "airflow")}
    command = [str(environment / "bin" / "python"), "-m", "pytest", "-q"]
    command += ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--hypothesis-profile", "brief"]
    done = subprocess.run(
        [*command, *TESTS, *pytest_arguments],
        cwd=ROOT,
        env={**os.environ, **home},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout, flush=True)
    words = f"{summary_of(done.stdout)} ({time.monotonic() - began:.0f} s with its installation)"
    return Outcome(cell, words, passed=done.returncode == 0)


def summary_of(printed: str) -> str:
    """Return pytest's last words: what an old Airflow says when its process ends comes after them."""
    found = re.findall(
        r"^=* ?(\d+ (?:passed|failed|error|skipped).* in [\d.]+s.*?)[ =]*$", printed, re.MULTILINE
    )
    return found[-1] if found else "FAILED: pytest did not run"


def make(cell: Cell, python: str, *, dry_run: bool) -> Path:
    """Make a cell's virtual environment; raises ``CalledProcessError`` where its packages do not fit together."""
    environment = ENVIRONMENTS / cell.name
    uv("venv", "--quiet", "--clear", "--python", python, str(environment))
    with TemporaryDirectory() as folder:
        pinned = Path(folder) / "constraints.txt"
        pinned.write_text("\n".join(lowest(cell, python)) if cell.lowest else "", encoding="utf-8")
        uv(
            *("pip", "install", "--quiet", "--python", str(environment / "bin" / "python")),
            *("--constraints", str(pinned), *as_of(cell)),
            *(["--dry-run"] if dry_run else []),
            *(f"apache-airflow=={cell.airflow}", "--group", "test", "-e", f".[{','.join(extras())}]"),
        )
    return environment


def lowest(cell: Cell, python: str) -> list[str]:
    """Return the lowest versions of what pyproject.toml names, as uv finds a set that fits the cell's Airflow."""
    compiled = uv(
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", python),
        *("--resolution", "lowest-direct", "--all-extras", "pyproject.toml"),
        *("--constraints", "-", *as_of(cell)),
        given="\n".join([f"apache-airflow=={cell.airflow}", *cell.floors]),
    )
    named = {name_of(line) for line in named_in_pyproject()}
    return [line for line in compiled.splitlines() if name_of(line) in named]


def as_of(cell: Cell) -> list[str]:
    """Return the options that make uv take the packages of a day."""
    if cell.day is None:
        return []
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 24 * 3600))
    exceptions = [*cell.others, *((package, today) for package in ALWAYS_NEW)]
    pairs = [f"--exclude-newer-package={package}={day}" for package, day in exceptions]
    return ["--exclude-newer", cell.day, *pairs]


def extras() -> list[str]:
    """Return the package's extras."""
    return list(project()["optional-dependencies"])


def named_in_pyproject() -> list[str]:
    """Return every requirement of the package and its extras."""
    more = [line for lines in project()["optional-dependencies"].values() for line in lines]
    return [*project()["dependencies"], *more]


def project() -> dict[str, dict[str, list[str]]]:
    """Return the table ``project`` of pyproject.toml."""
    found: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def name_of(requirement: str) -> str:
    """Return the name in a requirement."""
    for mark in "[=<>!~; ":
        requirement = requirement.split(mark, maxsplit=1)[0]
    return requirement.strip().lower()


def uv(*arguments: str, given: str | None = None) -> str:
    """Run uv and return what it prints; what it complains about is shown."""
    done = subprocess.run(
        [str(UV), *arguments], cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def table(outcomes: list[Outcome]) -> str:
    """Return the outcomes as a table."""
    lines = ["", "| cell | Airflow | Python | packages | result |", "| --- | --- | --- | --- | --- |"]
    for outcome in outcomes:
        cell = outcome.cell
        packages = f"of {cell.day}" if cell.day else "today's"
        packages += ", the lowest of its own" if cell.lowest else ""
        lines.append(f"| {cell.name} | {cell.airflow} | {cell.python} | {packages} | {outcome.words} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
