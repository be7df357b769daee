"""
Change the pure modules in one place at a time and see whether a test fails (mutmut does both).

Prints the score of each module and every change that no test noticed. Exits with 1 when one of them is not on the list
of those that cannot matter (``accepted.toml``), when one on the list is no longer there, or when the score of
all is below 95 %.

A second run tries again what no test noticed, and all of a module that has changed or whose tests have.
"""

from __future__ import annotations

import argparse
import hashlib
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
STATS = MUTANTS / "mutmut-stats.json"  # which tests reach which function
INPUTS = MUTANTS / "inputs.json"  # what the results of each module rest on, as a digest
ACCEPTED = Path(__file__).with_name("accepted.toml")
PACKAGE = "airflow_provider_llamabatch"
KILLED = ("killed", "timeout", "segfault", "caught by type check")
UNCHECKED = ("not checked", "skipped")
WANTED = 0.95


@dataclass(frozen=True, order=True)
class Mutant:
    """A change of the code: in which function of which module, and the lines it puts in."""

    module: str
    function: str
    becomes: str


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--children", type=int, default=2, help="test runs side by side (2)")
    parser.add_argument("--last", action="store_true", help="report on the last run, do not run anything")
    parser.add_argument("--fresh", action="store_true", help="run everything anew")
    parser.add_argument("modules", nargs="*", help="run these alone, such as batches/record.py")
    return parser.parse_args()


def run(children: int, modules: list[str], *, fresh: bool) -> None:
    """Make the mutants and run the tests against each whose result is not known."""
    if fresh:
        shutil.rmtree(MUTANTS, ignore_errors=True)
    forget_what_changed()
    command = [sys.executable, str(Path(__file__).with_name("session.py")), str(children)]
    command += [f"{PACKAGE}.{module.removesuffix('.py').replace('/', '.')}.*" for module in modules]
    subprocess.run(command, check=True)
    INPUTS.write_text(json.dumps(digests()), encoding="utf-8")


def forget_what_changed() -> None:
    """Drop the results that no test noticed, and all of a module that has changed or whose tests have."""
    from mutmut.stats import status_by_exit_code

    before, now = json.loads(INPUTS.read_text(encoding="utf-8")) if INPUTS.exists() else {}, digests()
    if STATS.exists():  # a test that has changed may reach other functions
        stats = json.loads(STATS.read_text(encoding="utf-8"))
        times = stats["duration_by_test"].items()
        same_tests = {test: time for test, time in times if is_same(test.partition("::")[0], before, now)}
        STATS.write_text(json.dumps({**stats, "duration_by_test": same_tests}, indent=4), encoding="utf-8")
    for meta in MUTANTS.glob(f"{PACKAGE}/**/*.meta"):
        held = json.loads(meta.read_text(encoding="utf-8"))
        module = ".".join(meta.relative_to(MUTANTS).with_suffix("").with_suffix("").parts)
        same = is_same(module, before, now)
        held["exit_code_by_key"] = {
            name: code if same and status_by_exit_code[code] in KILLED else None
            for name, code in held["exit_code_by_key"].items()
        }
        meta.write_text(json.dumps(held, indent=4), encoding="utf-8")


def is_same(name: str, before: dict[str, str], now: dict[str, str]) -> bool:
    """Say whether the digest of a module or a file of tests is the one of the last run."""
    return name in now and before.get(name) == now[name]


def digests() -> dict[str, str]:
    """
    Return digests of what results rest on, as far as the last run knows it.

    That is, by module: it and the files of the tests that reach it; and by file of tests.
    """
    if not STATS.exists():
        return {}
    files: dict[str, set[Path]] = {}
    reached = json.loads(STATS.read_text(encoding="utf-8"))["tests_by_mangled_function_name"]
    for function, tests in reached.items():
        module = function.rpartition(".")[0]
        source = Path(*module.split(".")).with_suffix(".py")
        paths = {Path(test.partition("::")[0]) for test in tests}
        files.setdefault(module, {source}).update(paths)
        files.update({path.as_posix(): {path} for path in paths})
    return {
        name: hashlib.sha256(
            b"".join(path.read_bytes() for path in sorted(paths) if path.exists())
        ).hexdigest()
        for name, paths in files.items()
    }


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
    if share(total) < WANTED:
        print(f"\nLess than {WANTED:.0%} were noticed.")
    return 1 if new or gone or total["unchecked"] or share(total) < WANTED else 0


def score(name: str, counts: Counter[str]) -> str:
    """Return a line of the table."""
    return f"{name:30} {counts['killed']:6} {counts['killed'] + counts['survived']:6} {share(counts):7.1%}"


def share(counts: Counter[str]) -> float:
    """Return the share of the changes that a test noticed, of those that were run."""
    return counts["killed"] / (counts["killed"] + counts["survived"] or 1)


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
        run(asked.children, asked.modules, fresh=asked.fresh)
    sys.exit(report())
