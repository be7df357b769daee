"""
One batch per task instance: what to record before and after the submission, and what a later try does with it.

The API has no idempotency key, and each batch is billed. So a submission leaves two marks, an *intent* before the
POST and the batch's *id* after it, and every later try decides by them:

    no record, or another request's       submit
    an id       still running             rejoin it
                COMPLETED, retried        return it      (``max_tries`` is the same)
                COMPLETED, cleared        submit         (a person asked for it again: ``max_tries`` moved)
                FAILED, CANCELLED         submit
                gone                      submit         (the API said so twice, and the list does not show it)
                the same, and a POST before it was of unknown outcome: adopt what that made, unless it failed too
    an intent   a batch not seen before   adopt it, then as for an id (a Clear does not count: nobody has had it yet)
                none for a minute         submit, and keep in mind what was sent before
                nothing was sent          submit

Nothing here does I/O; ``submit_flow`` says in which order things happen, ``execution/submitting.py`` does them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.record import (
    MAX_HAD_CHARACTERS,
    MAX_SEEN_CHARACTERS,
    RECORD_KEY,
    Record,
    last_of,
)
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES, BatchStatus, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_llamabatch.llamacloud.models import Batch

# Seconds before each listing for the batch of a POST whose outcome is unknown: defaults.MAX_LIST_LAG in all, and once
# more, since one list may leave something out.
ADOPTION_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, defaults.CONFIRM_SECONDS)

_DAY = 86400.0
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC).timestamp()  # no batch is older; what says so has no usable date


class SubmissionUndecidedError(RuntimeError):
    """It cannot be told by now whether a batch must be submitted, so none is; another try may tell."""


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
    """What a task wants to submit: all of it that changes what is paid for, so no webhooks."""

    source_directory_id: str
    configuration_id: str
    job_type: str
    connection_id: str
    project_id: str | None = None
    organization_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """A digest that tells two requests apart."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()

    def matches(self, batch: Batch) -> bool:
        """
        Say whether a batch could be the result of this request.

        A directory is in one project, which LlamaCloud may write in another way than it was given.
        """
        return (
            batch.source_directory_id == self.source_directory_id
            and batch.config is not None
            and batch.config.job.type == self.job_type
            and batch.config.job.configuration_id == self.configuration_id
        )

    def may_be(self, batch: Batch) -> bool:
        """Say whether it cannot be told if a batch is the result of this request."""
        return not (self.matches(batch) or self.contradicts(batch))

    def contradicts(self, batch: Batch) -> bool:
        """
        Say whether a batch is of another request, by what is told of it.

        That a built-in preset comes back under its own id is not documented, so only another preset contradicts it.
        """
        from airflow_provider_llamabatch.llamacloud.calls import is_preset

        if batch.source_directory_id not in (None, self.source_directory_id):
            return True
        if (job := batch.config.job if batch.config else None) is None:
            return False
        is_other = job.configuration_id != self.configuration_id
        may_be_resolved = is_preset(self.configuration_id) and not is_preset(job.configuration_id)
        return (is_other and not may_be_resolved) or job.type != self.job_type


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """
    What Airflow says about the try that is running.

    ``nonce`` is this process's own random word. ``keeps_record`` says whether records survive the try (Airflow 3.3
    and newer), under ``record_key``. Only without them count ``run_started`` (epoch seconds) and ``cleared``.
    """

    try_number: int
    max_tries: int
    nonce: str
    keeps_record: bool
    fresh: bool = False
    run_started: float | None = None
    cleared: bool = False
    record_key: str = RECORD_KEY


@dataclass(frozen=True, slots=True)
class Submission:
    """
    The one batch of a task instance: its id, the batch as last read (None if it was not), and what was decided.

    ``recorded`` is what was decided about the batch that an earlier try had recorded, None if there was none.
    """

    batch_id: str
    batch: Batch | None
    decision: Decision
    recorded: Action | None = None


def created(batch: Batch, now: float) -> float | None:
    """Return when a batch was created in epoch seconds, None where the service's date cannot be true."""
    at = batch.created_at
    if at is None:
        return None
    try:
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
    return seconds if _EARLIEST <= seconds <= now + _DAY else None


def new_intent(
    request: Request, known: Iterable[Batch], task: TaskFacts, now: float, *, had: tuple[str, ...] = ()
) -> Record:
    """
    Return the intent to begin with.

    ``known`` are the directory's batches that exist already, as far as they were read, and ``had`` are those that
    this task knows of from before, of these the last ones. The intent's floor is the newest of ``known``, less the
    spread of the service's own clocks, so only the few ids from there on need to be kept. Should they be too many all
    the same, the floor rises to the oldest one that is kept.
    """
    dated = list({batch.id: (created(batch, now), batch.id) for batch in known}.values())
    newest = max((at for at, _ in dated if at is not None), default=None)
    floor = now - defaults.LISTED_SECONDS  # what is older was not listed, so it cannot be among the ids
    if newest is not None:
        floor = max(floor, newest - defaults.CREATED_AT_SPREAD)
    seen: list[str] = []
    characters = 0
    for at, batch_id in sorted(dated, key=_newest_first):
        if at is not None and at < floor:
            break
        characters += len(batch_id)
        if characters > MAX_SEEN_CHARACTERS:
            floor = floor if at is None else at + 1e-6
            break
        seen.append(batch_id)
    seen += last_of([batch_id for batch_id in had if batch_id not in seen], MAX_HAD_CHARACTERS)
    return Record(request.fingerprint, task.nonce, task.try_number, task.max_tries, now, floor, tuple(seen))


def decide_by_record(record: Record | None, request: Request) -> Decision:
    """Decide by what an earlier try recorded."""
    if record is None:
        return Decision(Action.SUBMIT, "no earlier submission is recorded")
    if record.fingerprint not in ("", request.fingerprint):
        which = f"batch {record.batch_id}" if record.batch_id else "an unconfirmed one"
        return Decision(Action.SUBMIT, f"the recorded submission ({which}) was for other arguments")
    if record.batch_id:
        return Decision(Action.LOOK_UP, "an earlier try submitted it", record.batch_id)
    if record.unknown:
        return Decision(Action.ADOPT, "an earlier try may have submitted a batch and never learnt its id")
    return Decision(Action.SUBMIT, "nothing that was sent before made a batch")


def decide_by_status(record: Record, status: str | None, *, max_tries: int, now: float) -> Decision:
    """Decide by the status of the recorded batch; None says that it is gone (404)."""
    batch_id = record.batch_id
    if status is None and now < record.posted_at + defaults.MISSING_GRACE:
        return Decision(Action.REJOIN, "submitted a moment ago, not readable yet", batch_id)
    if status is None:
        return Decision(Action.SUBMIT, f"the recorded batch {batch_id} no longer exists")
    if not is_terminal(status):
        return Decision(Action.REJOIN, f"it still runs ({status[:30]!r})", batch_id)
    if status != BatchStatus.COMPLETED:
        return Decision(Action.SUBMIT, f"the recorded batch {batch_id} ended as {status}")
    if record.max_tries != max_tries:
        return Decision(Action.SUBMIT, f"the task was cleared after batch {batch_id} completed")
    return Decision(Action.RETURN, "an earlier try submitted it and it completed", batch_id)


def came_to_nothing(decision: Decision, batch: Batch | None) -> bool:
    """Say whether another batch is wanted since the recorded one failed or is gone, not since a person asked again."""
    return decision.action is Action.SUBMIT and (batch is None or batch.status in FAILED_STATUSES)


def adoptable(record: Record, request: Request, listed: Iterable[Batch], now: float) -> list[Batch]:
    """
    Return the batches that can have come of the POSTs under a record, the earliest first.

    They match the request, were not there before the first POST, and were not created long after the last one: a
    submission that stayed unresolved for a day must not take today's batch of another run.
    """
    found = {batch.id: batch for batch in _new(record, listed, now) if request.matches(batch)}
    return sorted(found.values(), key=lambda batch: created(batch, now) or now)


def unclear(record: Record, request: Request, listed: Iterable[Batch], now: float) -> list[Batch]:
    """Return the batches that can have come of the POSTs under a record, but do not say surely what they run."""
    return [batch for batch in _new(record, listed, now) if request.may_be(batch)]


def not_told(batch: Batch) -> str:
    """Return what is said of a batch that may be of a request."""
    return f"Batch {batch.id} is listed without saying surely what it runs, so it may be of this submission"


def _new(record: Record, listed: Iterable[Batch], now: float) -> Iterator[Batch]:
    """Give the batches that were not there before the first POST, and were not made long after the last one."""
    latest = (
        record.posted_at + 2 * defaults.LISTED_SECONDS
    )  # two clocks, and a process that stood still at its POST
    seen = {*record.seen, record.batch_id}
    for batch in listed:
        at = created(batch, now)
        if batch.id not in seen and (at is None or record.floor <= at <= latest):
            yield batch


def answers(batch: Batch, request: Request, intent: Record) -> bool:
    """
    Say whether the batch that a POST under an intent was answered with can be what the POST made.

    When it was created says nothing: where no batch is listed the floor is by the worker's clock, which may be ahead.
    """
    return batch.id not in intent.seen and not request.contradicts(batch)


def rejoinable(request: Request, listed: Iterable[Batch], *, since: float, now: float) -> list[Batch]:
    """
    Return the batches that an earlier try of this run may have made, the newest first (Airflow below 3.3).

    ``since`` is the beginning of the run in epoch seconds. What has no usable date is none of them.
    """
    made = [(at, batch) for at, batch in _of_run(listed, since, now) if request.matches(batch)]
    return [batch for _, batch in sorted(made, key=lambda pair: pair[0], reverse=True)]


def unclear_of_run(request: Request, listed: Iterable[Batch], *, since: float, now: float) -> list[Batch]:
    """Return the batches of the time of this run that do not say surely what they run (Airflow below 3.3)."""
    return [batch for _, batch in _of_run(listed, since, now) if request.may_be(batch)]


def _of_run(listed: Iterable[Batch], since: float, now: float) -> Iterator[tuple[float, Batch]]:
    for batch in listed:
        at = created(batch, now)
        if at is not None and at >= since - defaults.RUN_START_MARGIN:
            yield at, batch


def goes_on(batch: Batch, *, cleared: bool) -> bool:
    """Say whether a batch without a record is taken up: it runs, or it completed and nobody asked for it again."""
    return not batch.is_terminal or (batch.status == BatchStatus.COMPLETED and not cleared)


def _newest_first(dated: tuple[float | None, str]) -> float:
    at, _ = dated
    return float("-inf") if at is None else -at
