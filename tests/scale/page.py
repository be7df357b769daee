"""What the parts of the page in docs/ are made of."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "scale.md"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> str:
    """Return a Markdown table; the first ``texts`` columns are on the left, the others are numbers."""
    rules = [":---" if column < texts else "---:" for column in range(len(heads))]
    lines = [list(heads), rules, *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(load_before: float, seconds: float) -> str:
    """Say where, when and at what load this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y}: {os.cpu_count()} cores, {memory:.0f} GB, "
        f"Airflow {version('apache-airflow')}, Celery provider {version('apache-airflow-providers-celery')}, "
        f"Python {platform.python_version()}; load average before the start {load_before:.1f}; "
        f"{seconds / 60:.0f} minutes."
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
