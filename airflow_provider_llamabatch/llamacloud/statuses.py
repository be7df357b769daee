"""The statuses of batches and jobs. Apart from the models, so that reading a DAG file builds none of those."""

from __future__ import annotations

from enum import StrEnum


class BatchStatus(StrEnum):
    """The documented statuses of a batch."""

    PENDING = "PENDING"
    THROTTLED = "THROTTLED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FAILED_STATUSES = (BatchStatus.FAILED, BatchStatus.CANCELLED)
TERMINAL_STATUSES = frozenset({BatchStatus.COMPLETED, *FAILED_STATUSES})


def is_terminal(status: str) -> bool:
    """Say whether a batch or job with this status has ended; a word nobody knows is still running."""
    return status in TERMINAL_STATUSES
