"""
The event a trigger sends when its wait is over: small, typed, and the only thing a resumed task relies on.

It carries no results and no secrets. Fields that a reader does not know are ignored and missing ones have defaults,
so that a triggerer and a worker one release apart understand each other; a reason that is not known is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.polling import PollResult, Reason
from airflow_provider_llamabatch.llamacloud.text import clean_text


class EventNotUnderstoodError(ValueError):
    """The task was resumed with something that is no event of this package's trigger."""


@dataclass(frozen=True, slots=True)
class WaitEvent:
    """``batch_id``, why the wait ended (a ``Reason``), what the service said, and the wait's deadline (epoch)."""

    batch_id: str
    reason: str
    message: str = ""
    deadline: float | None = None

    def to_payload(self) -> dict[str, Any]:
        """Return the event as plain JSON data that every database takes."""
        return {**asdict(self), "message": _clean(self.message)}

    @property
    def result(self) -> PollResult:
        """Return the end of the wait that the event tells of."""
        return PollResult(Reason(self.reason), self.message)


def read_event(payload: Any) -> WaitEvent:
    """Return the event in ``payload``; raises ``EventNotUnderstoodError`` for anything else."""
    if not isinstance(payload, Mapping):
        raise EventNotUnderstoodError(f"the trigger sent {payload!r:.200}, which is not an event")
    batch_id, reason, message = (payload.get(name) for name in ("batch_id", "reason", "message"))
    if not isinstance(batch_id, str) or not batch_id:
        raise EventNotUnderstoodError(f"the trigger sent an event without a batch_id: {dict(payload)!r:.200}")
    if reason not in list(Reason):
        raise EventNotUnderstoodError(
            f"the trigger sent the reason {reason!r:.50} for batch {batch_id}, which this version does not know; "
            "is the triggerer newer than the worker?"
        )
    return WaitEvent(
        batch_id, reason, _clean(message) if isinstance(message, str) else "", _time(payload.get("deadline"))
    )


def _clean(message: str) -> str:
    return clean_text(message, defaults.MAX_MESSAGE_CHARACTERS)


def _time(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 else None  # neither NaN nor what no float can hold
