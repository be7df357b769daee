"""
Builds the package, and checks that what was built can be released.

    python -m tests.release build          wheel, sdist and bill of materials into dist/
    python -m tests.release check          all of the checks below, in a temporary folder

Two builds from the same commit are the same, byte by byte; the metadata is what PyPI and Airflow's schema want; the
wheel alone works in a new environment, where Airflow finds the provider and every module can be imported; the sdist's
unit tests pass against the wheel; mypy and pyright accept a user's file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TOOLS = Path(sys.executable).parent
BEGAN = time.monotonic()
AIRFLOW = os.environ.get("AIRFLOW", "3.3.2")
UNIT_TESTS = ("tests/unit", "-m", "not long", "-q", "-n", "2", "--dist", "loadfile", "--timeout", "600")


def main() -> int:
    """Do what the command line says; returns the exit code."""
    if sys.argv[1:] == ["build"]:
        dist = ROOT / "dist"
        shutil.rmtree(dist, ignore_errors=True)
        build(dist)
        bill_of_materials(dist)
        for path in sorted(dist.iterdir()):
            print(f"{sha256(path)}  {path.relative_to(ROOT)}")
        return 0
    if sys.argv[1:] == ["check"]:
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            check(Path(folder))
        print("\nWhat would be released is well.")
        return 0
    print(__doc__)
    return 2


def check(folder: Path) -> None:
    """Carry out every check; the first one that fails raises."""
    step("two builds are the same")
    built = build(folder / "dist")
    again = build(folder / "again")
    for one, other in zip(built, again, strict=True):
        assert sha256(one) == sha256(other), f"{one.name} differs from one build to the next"
    [wheel] = (path for path in built if path.suffix == ".whl")
    [sdist] = (path for path in built if path.suffix == ".gz")

    step("the metadata is what PyPI wants")
    run(TOOLS / "twine", "check", "--strict", *built)

    step(f"the wheel alone, in a new environment with Airflow {AIRFLOW}")
    python = environment(folder / "alone", f"apache-airflow=={AIRFLOW}", wheel)
    run(python, HERE / "in_a_new_environment.py", cwd=folder)

    step("what it brings along")
    bill_of_materials(folder, python)

    step("the sdist's unit tests against the wheel")
    source = unpacked(sdist, folder / "sdist")
    shutil.rmtree(source / "airflow_provider_llamabatch")  # so that the wheel's is imported
    extras = f"{wheel}[emulator,openlineage,parquet,pages]"
    tested = environment(folder / "tested", f"apache-airflow=={AIRFLOW}", extras, *test_requirements())
    run(tested, "-m", "pytest", *UNIT_TESTS, cwd=source)

    step("mypy and pyright on a user's file")
    typed = environment(folder / "alone", f"apache-airflow=={AIRFLOW}", wheel, "mypy", "pyright")
    shutil.copy(HERE / "users_dag.py", folder)
    run(typed, "-m", "mypy", "--strict", "users_dag.py", cwd=folder)
    run(typed, "-m", "pyright", "--pythonpath", typed, "users_dag.py", cwd=folder)


def build(dist: Path) -> list[Path]:
    """Build sdist and wheel into a folder; the time in them is that of the last commit."""
    run(TOOLS / "uv", "build", "--quiet", "--out-dir", dist, ROOT, SOURCE_DATE_EPOCH=last_commit())
    return sorted(path for path in dist.iterdir() if path.suffix in {".whl", ".gz"})


def bill_of_materials(dist: Path, python: Path | None = None) -> None:
    """Write a CycloneDX bill of all that the package installs, made in an environment with nothing else."""
    with tempfile.TemporaryDirectory(prefix="sbom-") as folder:
        [wheel] = dist.rglob("airflow_provider_llamabatch-*.whl") if python is None else (None,)
        if python is None:
            python = environment(Path(folder) / "environment", f"apache-airflow=={AIRFLOW}", str(wheel))
        output = dist / "airflow-provider-llamabatch.cdx.json"
        options = ("--output-reproducible", "--pyproject", ROOT / "pyproject.toml", "--output-file", output)
        run(TOOLS / "cyclonedx-py", "environment", *options, python)
        assert output.read_text(encoding="utf-8").count('"purl"') > 50, "the bill of materials is empty"


def environment(folder: Path, *requirements: str | Path) -> Path:
    """Make a virtual environment, or add to one that is there; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        run(TOOLS / "uv", "venv", "--quiet", "--python", sys.executable, folder)
    run(TOOLS / "uv", "pip", "install", "--quiet", "--python", python, *requirements)
    return python


def test_requirements() -> list[str]:
    """Return the arguments for the test group; uv reads it from pyproject.toml, without the project itself."""
    return ["--group", f"{ROOT / 'pyproject.toml'}:test"]


def unpacked(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist and return its one folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = folder.iterdir()
    return unpacked.rename(
        folder / "source"
    )  # a test takes files below the package's name for the package's own


def last_commit() -> str:
    """Return the time of the last commit in seconds, as SOURCE_DATE_EPOCH; what is set already wins."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def sha256(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def step(words: str) -> None:
    """Say what comes next."""
    print(f"\n== {words} ({time.monotonic() - BEGAN:.0f} s)", flush=True)


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> None:
    """Run a command to its end; one that fails ends everything."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    subprocess.run([str(each) for each in command], cwd=cwd, env={**inherited, **variables}, check=True)


if __name__ == "__main__":
    sys.exit(main())
