"""
One batch per task instance: what to record before and after the submission, and what a later try does with it.

The API has no idempotency key, and each batch is billed. So a submission leaves two marks, an *intent* before the
POST and the batch's *id* after it, and every later try decides by them:

    no record, or another request's       submit
    an id       still running             rejoin it
                COMPLETED, same try round return it      (an automatic retry)
                COMPLETED, cleared        submit         (a person asked for it again: ``max_tries`` moved)
                FAILED, CANCELLED, gone   submit
    an intent   a batch not seen before   adopt it, then as for an id
                none                      submit

Nothing here does I/O; ``operators/submitting.py`` carries the decisions out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud.models import BatchStatus, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_llamabatch.llamacloud.models import Batch

RECORD_KEY = "llamabatch_submission"
RECORD_VERSION = 1
LISTED_SECONDS = 3600.0  # how far back the directory's batches are listed: more than any clock skew
MOST_SEEN = 1000  # ids kept in a record, newest first: the task state store refuses values over 64 kB

# Seconds before each look for the batch of a submission whose answer was lost: the list may lag behind.
ADOPTION_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)

_MISSING_GRACE = 300.0  # seconds in which a batch whose id we hold may not be readable yet


class RecordUnreadableError(RuntimeError):
    """The record of an earlier submission cannot be read; submitting again could pay twice."""


class Action(StrEnum):
    """What to do about a submission."""

    SUBMIT = "submit"
    REJOIN = "rejoin"
    RETURN = "return"
    LOOK_UP = "look up"  # the record names a batch: its status decides
    ADOPT = "adopt"  # the record has no id: a batch that was not seen before may be it


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, the batch it is about (empty for a submission), and why, as one line of the log says it."""

    action: Action
    reason: str
    batch_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What a task wants to submit; ``fingerprint`` tells two requests apart without showing any secret."""

    source_directory_id: str
    configuration_id: str
    job_type: str
    fingerprint: str

    def matches(self, batch: Batch) -> bool:
        """Say whether a batch could be the result of this request."""
        return (
            batch.source_directory_id == self.source_directory_id
            and batch.config is not None
            and batch.config.job.type == self.job_type
            and batch.config.job.configuration_id == self.configuration_id
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept about a submission; without ``batch_id`` it is an intent."""

    fingerprint: str
    seen: tuple[str, ...]
    max_tries: int
    intended_at: float  # epoch seconds
    batch_id: str = ""

    def submitted(self, batch_id: str) -> Record:
        """Return the record with the batch that the submission made; what was seen is no longer needed."""
        return replace(self, batch_id=batch_id, seen=())

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON data for the task state store."""
        return {"version": RECORD_VERSION, **asdict(self), "seen": list(self.seen)}


def read_record(value: Any) -> Record | None:
    """Return the record in a stored value (None if nothing was stored); raises ``RecordUnreadableError``."""
    if value is None:
        return None
    try:
        record = Record(
            fingerprint=value["fingerprint"],
            seen=tuple(value["seen"]),
            max_tries=int(value["max_tries"]),
            intended_at=float(value["intended_at"]),
            batch_id=value["batch_id"],
        )
        if isinstance(record.fingerprint, str) and isinstance(record.batch_id, str):
            return record
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise RecordUnreadableError(
        f"The record of an earlier submission in the task state store (key {RECORD_KEY!r}) cannot be read, so it is "
        "unknown whether a batch was already paid for. Look for it in LlamaCloud, then delete the key, or run the "
        "task with fresh=True to submit a new batch regardless."
    )


def fingerprint(*, connection_id: str, **request: Any) -> str:
    """Return a digest of everything that makes a request what it is, webhook secrets included."""
    text = json.dumps({"connection_id": connection_id, **request}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def intent(request: Request, known: Iterable[Batch], *, max_tries: int, now: float) -> Record:
    """Return the record to keep before the POST: ``known`` are the directory's batches that exist already."""
    newest_first = sorted(known, key=_made_at, reverse=True)
    seen = tuple(batch.id for batch in newest_first[:MOST_SEEN])
    return Record(request.fingerprint, seen, max_tries, now)


def decide_by_record(record: Record | None, request: Request, *, fresh: bool) -> Decision:
    """Decide by what an earlier try recorded."""
    if fresh:
        return Decision(Action.SUBMIT, "fresh=True asks for a new batch")
    if record is None:
        return Decision(Action.SUBMIT, "no earlier submission is recorded")
    if record.fingerprint != request.fingerprint:
        which = f"batch {record.batch_id}" if record.batch_id else "an unconfirmed one"
        return Decision(Action.SUBMIT, f"the recorded submission ({which}) was for other arguments")
    if record.batch_id:
        return Decision(Action.LOOK_UP, "an earlier try submitted it", record.batch_id)
    return Decision(Action.ADOPT, "an earlier try may have submitted a batch and never learnt its id")


def decide_by_status(record: Record, status: str | None, *, max_tries: int, now: float) -> Decision:
    """Decide by the status of the recorded batch; None says that it is gone (404)."""
    batch_id = record.batch_id
    if status is None and now < record.intended_at + _MISSING_GRACE:
        return Decision(Action.REJOIN, "submitted a moment ago, not readable yet", batch_id)
    if status is None:
        return Decision(Action.SUBMIT, f"the recorded batch {batch_id} no longer exists")
    if not is_terminal(status):
        return Decision(Action.REJOIN, f"it still runs ({status})", batch_id)
    if status != BatchStatus.COMPLETED:
        return Decision(Action.SUBMIT, f"the recorded batch {batch_id} ended as {status}")
    if record.max_tries != max_tries:
        return Decision(Action.SUBMIT, f"the task was cleared after batch {batch_id} completed")
    return Decision(Action.RETURN, "an earlier try submitted it and it completed", batch_id)


def adoptable(record: Record, request: Request, listed: Iterable[Batch]) -> Batch | None:
    """Return the batch that a submission with a lost answer made: the earliest match that was not there before."""
    unseen = [batch for batch in listed if batch.id not in record.seen and request.matches(batch)]
    return min(unseen, key=_made_at, default=None)


def rejoinable(request: Request, listed: Iterable[Batch], *, since: datetime, cleared: bool) -> Batch | None:
    """
    Return the batch that an earlier try of this run made, where no record is kept (Airflow below 3.3).

    That is the newest batch of the same directory and configuration made since the run began which still runs, or
    which completed while nobody cleared the task.
    """
    wanted = [
        batch
        for batch in listed
        if request.matches(batch)
        and _made_at(batch) >= since
        and (not batch.is_terminal or (batch.status == BatchStatus.COMPLETED and not cleared))
    ]
    return max(wanted, key=_made_at, default=None)


def _made_at(batch: Batch) -> datetime:
    made_at = batch.created_at or datetime.max
    return made_at if made_at.tzinfo else made_at.replace(tzinfo=UTC)
