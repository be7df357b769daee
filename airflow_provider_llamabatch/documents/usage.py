"""What became of a task's files and what they cost, small enough for an XCom. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.documents.manifest import COMPLETED
from airflow_provider_llamabatch.xcom import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_llamabatch.documents.manifest import Row

MAX_REASONS = 20
MAX_DIRECTORIES = 200
MAX_REASON_CHARACTERS = 80
OTHER = "other"

_DIGITS = re.compile(r"\d+")


def of_outcomes(outcomes: Sequence[Mapping[str, Any]], file_errors: Sequence[Mapping[str, Any]]) -> Usage:
    """Return the usage of a wait for jobs; files without a job have failed."""
    failed = [outcome for outcome in outcomes if outcome.get("status") != COMPLETED]
    known = [outcome["credits"] for outcome in outcomes if outcome.get("credits") is not None]
    return Usage(
        source="jobs",
        files=len(outcomes) + len(file_errors),
        failed=len(failed) + len(file_errors),
        reasons=reasons_of(
            [
                *(outcome.get("error_message") or str(outcome.get("status")) for outcome in failed),
                *(error.get("error_message") or "no job was made" for error in file_errors),
            ]
        ),
        credits=sum(known) if known else None,
        credits_by_directory={},
    )


def of_rows(documents: Sequence[Row], failed: Sequence[Row]) -> Usage:
    """Return the usage of a save: what it reused from an earlier run counts for nothing."""
    new = [row for row in documents if not row.reused]
    credits: defaultdict[str, float] = defaultdict(float)
    for row in new:
        if row.credits is not None:
            credits[row.directory_id or ""] += row.credits
    return Usage(
        source="results",
        files=len(new),
        failed=len(failed),
        reasons=reasons_of(row.error or row.status for row in failed),
        credits=sum(credits.values()) if credits else None,
        credits_by_directory={name: credits[name] for name in sorted(credits)[:MAX_DIRECTORIES] if name},
    )


def reasons_of(errors: Iterable[str]) -> dict[str, int]:
    """Count errors by their first words: numbers are left out, so that `page 3` and `page 4` are one reason."""
    counted = Counter(_reason(error) for error in errors).most_common()
    reasons = dict(counted[:MAX_REASONS])
    if more := sum(count for _, count in counted[MAX_REASONS:]):
        reasons[OTHER] = reasons.get(OTHER, 0) + more
    return reasons


def _reason(error: str) -> str:
    first = error.strip().split("\n", 1)[0].split(": ", 1)[0]
    return _DIGITS.sub("#", first)[:MAX_REASON_CHARACTERS] or OTHER
