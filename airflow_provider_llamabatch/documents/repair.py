"""Which documents get another attempt, and how attempts become one list of outcomes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.documents.manifest import COMPLETED, is_hopeless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FILE = "source_directory_file_id"


def merged(
    earlier: Iterable[Mapping[str, Any]],
    references: Iterable[Mapping[str, Any]],
    *,
    attempt: int,
    configuration: str,
    origin: Mapping[str, str],
) -> list[dict[str, Any]]:
    """
    Return the outcomes of earlier attempts with the jobs of a new one in the place of those they repeat.

    ``origin`` leads from the files of a follow-up directory to those they stand for, under whose ids they stay.
    """
    by_file = {outcome[FILE]: dict(outcome) for outcome in earlier}
    for reference in references:
        file_id = origin.get(reference[FILE], reference[FILE])
        if by_file.get(file_id, {}).get("status") == COMPLETED:
            continue  # it was late and came after all, when its further attempt was under way
        by_file[file_id] = {**reference, FILE: file_id, "attempt": attempt, "configuration": configuration}
    return [by_file[file_id] for file_id in sorted(by_file)]


def without_job(
    earlier: Iterable[Mapping[str, Any]],
    errors: Iterable[Mapping[str, Any]],
    references: Iterable[Mapping[str, Any]],
    *,
    origin: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return the files that no attempt so far has given a job, with the last reason."""
    by_file = {error[FILE]: dict(error) for error in earlier}
    for error in errors:
        file_id = origin.get(error[FILE], error[FILE])
        by_file[file_id] = {**error, FILE: file_id}
    have_one = {origin.get(reference[FILE], reference[FILE]) for reference in references}
    return [by_file[file_id] for file_id in sorted(by_file) if file_id not in have_one]


def to_repeat(
    outcomes: Sequence[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]], *, alike: bool
) -> list[str]:
    """
    Return the ids of the files that have no result: failed, cancelled, stuck at the deadline, or without a job.

    Where the next attempt is ``alike``, made with the same configuration, without those that it could not help.
    """
    failed = [
        outcome[FILE]
        for outcome in outcomes
        if outcome.get("status") != COMPLETED
        and not (alike and is_hopeless(str(outcome.get("status")), outcome.get("error_message")))
    ]
    return sorted({*failed, *(error[FILE] for error in errors)})
