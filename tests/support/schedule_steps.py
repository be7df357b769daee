"""A schedule to be taken step by step: its waits, and what it is answered with."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.entries import Entry
from airflow_provider_llamabatch.polling.schedule import TOGETHER, Schedule
from airflow_provider_llamabatch.polling.sources import Batches

if TYPE_CHECKING:
    from airflow_provider_llamabatch.polling.plan import Ask

FIRST = TOGETHER  # the first tick of waits that begin at 0
DOWN = e.UnavailableError("503", status_code=503)


def a_schedule(*, lists: bool = True) -> Schedule:
    no_list_before = 0.0 if lists else 1e9
    return Schedule(Batches(), origin=0.0, random=lambda: 0.5, no_list_before=no_list_before)


def an_entry(key: str = "bat-1", *, created_at: float = 0.0, first_poll: float = 0.0, **state: Any) -> Entry:
    values = {"deadline": 1e9, "poll_interval": 5.0, "since": 0.0, "next_poll": first_poll, **state}
    return Entry(PollState(key, **values), created_at=created_at, listed_from=created_at)


def row(key: str, status: str = "RUNNING", *, created_at: float = 0.0) -> Any:
    return SimpleNamespace(id=key, status=status, created_at=datetime.fromtimestamp(created_at, UTC))


def page(*rows: Any, token: str | None = None) -> Any:
    return SimpleNamespace(items=list(rows), next_page_token=token)


def keys(asks: list[Ask]) -> list[str]:
    return [ask.key for ask in asks]


def swept(count: int) -> tuple[Schedule, list[Entry], list[Ask]]:
    """Return a schedule whose waits are asked for by lists at the first tick, and what it asks then."""
    schedule, entries = a_schedule(), [an_entry(f"bat-{number}") for number in range(count)]
    for entry in entries:
        schedule.add(entry, 0.0)
    return schedule, entries, schedule.plan(FIRST).asks
