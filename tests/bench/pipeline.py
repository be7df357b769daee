"""The pipeline's figures in words, and the bounds that this package sets itself for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench import folders, transfers
from tests.bench.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MODULES = ("transfers", "folders", "gigabyte")

LEAST_OF_LOOP = 5.0  # times as fast as the official client's plain loop
LEAST_OF_IDEAL = 0.9  # of the speed of httpx alone
MOST_TASKS = 8
MOST_OF_BEFORE = 0.2  # of the CPU of a mapped task per file
MOST_MEMORY = 150.0  # MB


def pipeline_targets(found: dict[str, Any]) -> list[Target]:
    """Return every target that the figures are there for."""
    chosen = []
    seconds = _seconds(found)
    for kind in transfers.KINDS if seconds else ():
        of_loop, of_ideal = (seconds[kind, subject] / seconds[kind, "ours"] for subject in ("loop", "ideal"))
        loops = f"{kind}: times as fast as the official client's loop"
        chosen.append(Target(loops, of_loop, LEAST_OF_LOOP, at_least=True))
        chosen.append(Target(f"{kind}: of the speed of httpx alone", of_ideal, LEAST_OF_IDEAL, at_least=True))
    costs = _costs(found)
    if costs:
        before, after = costs[folders.BEFORE], costs[folders.AFTER]
        chosen += [
            Target("1,000 files: task instances", after["tasks"], MOST_TASKS),
            Target(
                "1,000 files: CPU, of that of a mapped task per file",
                after["cpu"] / before["cpu"],
                MOST_OF_BEFORE,
            ),
        ]
    for name in ("upload", "save"):
        if "gigabyte" in found:
            chosen.append(
                Target(f"1 GB, {name}: memory added, MB", found["gigabyte"][f"{name}_mb"], MOST_MEMORY)
            )
    return chosen


def pipeline_text(
    found: dict[str, Any], table: Callable[[Sequence[str], Iterable[Sequence[str]]], str]
) -> str:
    """Return the section of the report."""
    parts = []
    if "transfers" in found:
        parts.append(_transfers_text(found, table))
    if "folders" in found:
        parts.append(_folders_text(found, table))
    if "gigabyte" in found:
        figures = found["gigabyte"]
        parts.append(
            f"{figures['gigabytes']:.0f} GB in files of 50 MB, eight at once, from S3 (moto's server) to LlamaCloud, "
            f"and their results to S3: uploading adds {figures['upload_mb']:.0f} MB to what the worker holds at most, "
            f"saving {figures['save_mb']:.0f} MB."
        )
    return "\n\n".join(parts)


def _transfers_text(found: dict[str, Any], table: Callable[..., str]) -> str:
    figures, seconds = found["transfers"], _seconds(found)
    cpu = {(one["kind"], one["subject"]): one["cpu"] for one in figures["took"]}
    lines = [
        [
            what,
            transfers.SUBJECTS[subject],
            f"{seconds[kind, subject]:.2f}",
            f"{seconds[kind, subject] / seconds[kind, 'ours']:.2f}x",
            f"{cpu[kind, subject]:.2f}",
        ]
        for kind, what in transfers.KINDS.items()
        for subject in transfers.SUBJECTS
    ]
    heads = ["what", "subject", "seconds", "times ours", "CPU s"]
    return (
        f"{figures['files']} small files against the emulator, which answers {transfers.LATENCY * 1000:.0f} ms late; "
        f"all subjects in turns, medians of {figures['rounds']} rounds. Ours are the operators as a worker runs them, "
        "with all that they check, look for and record.\n\n" + table(heads, lines)
    )


def _folders_text(found: dict[str, Any], table: Callable[..., str]) -> str:
    costs = _costs(found)
    lines = [
        [
            title,
            f"{costs[dag_id]['tasks']:,}",
            f"{costs[dag_id]['cpu']:.0f}",
            f"{costs[dag_id]['seconds']:.0f}",
        ]
        for dag_id, title in folders.TITLES.items()
    ]
    heads = ["a thousand files", "task instances", "CPU s of all of Airflow", "seconds"]
    idle = found["folders"]["idle_cpu_per_second"]
    return (
        "A thousand small files in a real Airflow (LocalExecutor, SQLite) against the emulator, from trigger to "
        f"end. An idle Airflow's {idle:.2f} CPU s per second are taken off.\n\n" + table(heads, lines)
    )


def _seconds(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    took = found.get("transfers", {}).get("took", ())
    return {(one["kind"], one["subject"]): one["seconds"] for one in took}


def _costs(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cost["dag_id"]: cost for cost in found.get("folders", {}).get("costs", ())}
