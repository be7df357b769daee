"""
Change the pure modules in one place at a time and see whether a test fails (mutmut does both).

Prints the score of each module and every change that no test noticed. Exits with 1 when one of them is not on the list
of those that cannot matter (``accepted.toml``), or when one on the list is no longer there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MUTANTS = Path("mutants")  # mutmut's folder, beside pyproject.toml
ACCEPTED = Path(__file__).with_name("accepted.toml")
PACKAGE = "airflow_provider_llamabatch"
KILLED = ("killed", "timeout", "segfault", "caught by type check")
UNCHECKED = ("not checked", "skipped")


@dataclass(frozen=True, order=True)
class Mutant:
    """A change of the code: in which function of which module, and the lines it puts in."""

    module: str
    function: str
    becomes: str


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--children", type=int, help="test runs side by side (one per processor)")
    parser.add_argument("--last", action="store_true", help="report on the last run, do not run anything")
    return parser.parse_args()


def run(children: int | None) -> None:
    """Make all mutants anew and run the tests against each."""
    shutil.rmtree(MUTANTS, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("mutmut")), "run"]
    subprocess.run([*command, *(["--max-children", str(children)] if children else [])], check=True)


def results() -> Iterator[tuple[str, str, Mutant | None]]:
    """Give module and status of each mutant of the last run, and the mutant where no test noticed it."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    for meta in sorted(MUTANTS.glob(f"{PACKAGE}/**/*.meta")):
        path = meta.relative_to(MUTANTS).with_suffix("")
        module = path.relative_to(PACKAGE).as_posix()
        for name, exit_code in json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            status = status_by_exit_code[exit_code]
            if status in KILLED or status in UNCHECKED:
                yield module, status, None
            else:
                yield module, status, described(module, name, get_diff_for_mutant(name, path=str(path)))


def described(module: str, name: str, diff: str) -> Mutant:
    """Return a mutant as it is listed: without its number, which changes with the code around it."""
    function = name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ")
    added = [line[1:].strip() for line in diff.splitlines() if line.startswith("+") and line[:3] != "+++"]
    return Mutant(module, function.replace("ǁ", "."), " ".join(added))


def accepted() -> Counter[Mutant]:
    """Return the mutants that cannot matter."""
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["mutant"]
    assert all(entry["because"] for entry in entries)
    return Counter(Mutant(entry["module"], entry["function"], entry["becomes"]) for entry in entries)


def report() -> int:
    """Print what the last run has found; returns the exit status."""
    counted: dict[str, Counter[str]] = {}
    survivors: Counter[Mutant] = Counter()
    for module, status, survivor in results():
        counts = counted.setdefault(module, Counter())
        counts["unchecked" if status in UNCHECKED else "killed" if status in KILLED else "survived"] += 1
        if survivor is not None:
            survivors[survivor] += 1

    print(f"\n{'module':30} {'killed':>6} {'all':>6}")
    for module, counts in counted.items():
        print(score(module, counts))
    total = sum(counted.values(), Counter[str]())
    print(score("all", total))
    new, gone = survivors - accepted(), accepted() - survivors
    show("No test noticed these, and why is known (accepted.toml):", survivors - new)
    show("No test noticed these:", new)
    show("Listed in accepted.toml, but noticed by a test or no longer made:", gone)
    if total["unchecked"]:
        print(f"\n{total['unchecked']} mutants were not run.")
    return 1 if new or gone or total["unchecked"] or not total["killed"] else 0


def score(name: str, counts: Counter[str]) -> str:
    """Return a line of the table."""
    run = counts["killed"] + counts["survived"]
    return f"{name:30} {counts['killed']:6} {run:6} {counts['killed'] / run if run else 0:7.1%}"


def show(title: str, mutants: Counter[Mutant]) -> None:
    """Print mutants, one a line."""
    if mutants:
        print(f"\n{title}")
    for mutant, times in sorted(mutants.items()):
        print(
            f"  {mutant.module} {mutant.function}: {mutant.becomes}{f' ({times} times)' if times > 1 else ''}"
        )


if __name__ == "__main__":
    asked = options()
    if not asked.last:
        run(asked.children)
    sys.exit(report())
