"""What a schedule hands out: requests to send, and updates of waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.polling import PollResult
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.polling.entries import Entry
    from airflow_provider_llamabatch.polling.lanes import Lane
    from airflow_provider_llamabatch.polling.sweep import Sweep, Walk


@dataclass(frozen=True, slots=True)
class Update:
    """News of a wait: a new status, or how it ended."""

    entry: Entry
    status: str = ""
    result: PollResult | None = None


@dataclass(eq=False, slots=True)
class Ask:
    """A request to send: a page of a list, or a GET for one id."""

    call: Call[Any]
    key: str = ""
    walk: Walk | None = None
    sweep: Sweep | None = None
    lane: Lane | None = None


@dataclass(slots=True)
class Plan:
    """What to do now, and when to plan again unless a response comes first."""

    updates: list[Update]
    asks: list[Ask]
    wake_at: float
