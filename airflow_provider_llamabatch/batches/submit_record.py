"""How a submission reads and writes its record, as flows, while another try of the same task may still be alive."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.flow import LoadRecord, SaveRecord, Sleep
from airflow_provider_llamabatch.batches.record import Record, RecordUnreadableError, read_record
from airflow_provider_llamabatch.batches.submission import SubmissionUndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from airflow.sdk.types import Logger as TaskLogger

    from airflow_provider_llamabatch.batches.flow import Flow
    from airflow_provider_llamabatch.batches.submission import Request, TaskFacts

_UNREAD = object()
OVERTAKEN = "A later try of this task has taken over, so this one submits nothing and returns nothing."


@dataclass(slots=True)
class RecordKeeper:
    """
    The record of one submission.

    ``own`` is this process's intent, more exact than the stored one: which of its POSTs made nothing is known here.
    """

    request: Request
    task: TaskFacts
    clock: Callable[[], float]
    log: Logger | TaskLogger
    began: float
    try_began: float
    own: Record | None = None
    overtaken: bool = False  # a later try has written a record, so this process has been given up
    stood_still: bool = False  # it may have written over the record of a later try
    _loaded: object = None  # the mark of the stored value that was decided by
    _found: object = _UNREAD  # the mark of the one that was there at first
    _loaded_at: float = 0.0

    def load(self) -> Flow[Record | None]:
        """
        Load the record that counts; with ``fresh`` only one that this process has written.

        A higher number says that a later try has taken over. With ``fresh`` a record that was there already, and dates
        from before this try began, says nothing: no later try can have written it.

        Raises ``RecordUnreadableError``.
        """
        self._loaded_at = self.clock()
        value = yield LoadRecord()
        self._loaded = _mark(value)
        if self._found is _UNREAD:
            self._found = self._loaded
        try:
            record = read_record(value, listed_seconds=defaults.LISTED_SECONDS, key=self.task.record_key)
        except RecordUnreadableError:
            if not self.task.fresh:
                raise
            record = None
        self.overtaken = (
            record is not None
            and record.try_number > self.task.try_number
            and not (self.task.fresh and self._loaded == self._found and record.posted_at < self.try_began)
        )
        if self.task.fresh and record is not None and record.nonce != self.task.nonce:
            record = None
        own = self.own
        if own is None or (record is not None and record.batch_id):
            return record
        if record is None or record.nonce == own.nonce:
            return own
        # Another try wrote over this one's intent, whose POSTs may have made something all the same.
        earlier = min(record, own, key=lambda intent: intent.floor)
        return replace(
            record,
            posted_at=max(record.posted_at, own.posted_at),
            floor=earlier.floor,
            seen=earlier.seen,
            unknown=max(record.unknown, own.unknown),
        )

    def save_intent(self, base: Record, *, may_have_rivals: bool) -> Flow[Record | None]:
        """
        Save the intent, counted as a POST already, and return it; None if another try has acted or time has passed.

        A later try may have a forerunner that is still alive, and a first one that took long so far a successor. Such
        a try lets some time pass between writing and reading again: of two the one that wrote last goes on, and one
        that took longer than that to write does not.
        """
        careful = may_have_rivals or self.clock() - self.began > defaults.RETRY_SETTLE_SECONDS
        began = self.clock()
        if _mark((yield LoadRecord())) != self._loaded:
            return None
        intent = replace(
            base,
            fingerprint=self.request.fingerprint,
            nonce=self.task.nonce,
            try_number=self.task.try_number,
            max_tries=self.task.max_tries,
            posted_at=self.clock(),
            unknown=base.unknown + 1,
        )
        yield SaveRecord(intent.to_json())
        late = self.clock() - began > defaults.RETRY_SETTLE_SECONDS
        if careful:
            yield Sleep(defaults.RETRY_SETTLE_SECONDS)
        if _mark((yield LoadRecord())) != _mark(intent.to_json()):
            return None
        if late or self.clock() - began > defaults.MAX_INTENT_AGE:
            yield from self._doubt(intent)
            return None
        return intent

    def take_back(self, intent: Record, unknown: int) -> Flow[None]:
        """
        Record that the intent's last POST made nothing: it is resolved once no other one is ``unknown``.

        It is not deleted, so that an earlier try that is still alive sees that there was a later one.
        """
        if _mark((yield LoadRecord())) == _mark(intent.to_json()):
            yield SaveRecord(replace(intent, unknown=unknown).to_json())

    def _doubt(self, intent: Record) -> Flow[None]:
        """Save an intent that may have gone over the record of another try, whose batch is as new as this moment."""
        self.own, self.stood_still = replace(intent, posted_at=self.clock()), True
        yield SaveRecord(self.own.to_json())

    def take_over(self, record: Record) -> Flow[bool]:
        """
        Put this try's name on another one's intent, so that the other submits nothing more under it.

        False says that this took so long that it must be decided anew.
        """
        task = self.task
        if record.nonce == task.nonce:
            return True
        taken = replace(record, nonce=task.nonce, try_number=task.try_number, max_tries=task.max_tries)
        yield SaveRecord(taken.to_json())
        self._loaded = _mark(taken.to_json())
        if self.own is not None:
            self.own = taken
        if self.clock() - self._loaded_at > defaults.RETRY_SETTLE_SECONDS:
            yield from self._doubt(taken)
            return False
        return True

    def own_again(self, record: Record) -> Flow[None]:
        """Let a cleared task that rejoins its batch own it from here on, retries included."""
        if not self.overtaken and _mark((yield LoadRecord())) == self._loaded:
            task = self.task
            owned = replace(record, try_number=task.try_number, max_tries=task.max_tries)
            yield SaveRecord(owned.to_json())

    def keep_id(self, record: Record) -> Flow[str]:
        """
        Record the batch's id and return it, or the id that another process of this try or an earlier one has recorded.

        A later try's record is left as it is: raises ``SubmissionUndecidedError`` unless it has the same id. That try
        lists what was made.
        """
        try:
            other = _read((yield LoadRecord()))
        except RecordUnreadableError:
            other = None
            self.log.warning("The record was overwritten with something unreadable while this try submitted")
        if other is not None and other.try_number > self.task.try_number:
            if other.batch_id == record.batch_id:
                return record.batch_id
            self.log.warning(
                "Batch %s was made by a try that has been taken over by a later one", record.batch_id
            )
            raise SubmissionUndecidedError(OVERTAKEN)
        if (
            other is not None
            and not self.task.fresh
            and other.batch_id not in ("", record.batch_id)
            and other.nonce != self.task.nonce
            and other.fingerprint == record.fingerprint
        ):
            self.log.warning(
                "Two tries of this task were alive at once: batch %s is recorded and kept, batch %s may have been paid "
                "for as well",
                other.batch_id,
                record.batch_id,
            )
            return other.batch_id
        yield SaveRecord(record.to_json())
        return record.batch_id


def _read(value: Any) -> Record | None:
    return read_record(value, listed_seconds=defaults.LISTED_SECONDS)


def _mark(value: Any) -> object:
    """Return what tells one stored value from the next; a store may give numbers back in another form."""
    try:
        record = _read(value)
    except RecordUnreadableError:
        return json.dumps(value, sort_keys=True, default=str)
    if record is None:
        return None
    return record.fingerprint, record.nonce, record.max_tries, record.unknown, record.batch_id
