"""
What is kept about a submission in Airflow's task state store: an intent before the POST, the batch's id after it.

Nothing here does I/O. Whatever stands under the key, reading it gives a ``Record`` or a ``RecordUnreadableError``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

RECORD_KEY = "llamabatch_submission"
DIRECTORY_KEY = "llamabatch_directory"  # of the follow-up directory that a batch is over
RECORD_VERSION = 2
MAX_SEEN_CHARACTERS = 30_000  # of all ids in one record: Airflow warns of values over 64 kB
MAX_HAD_CHARACTERS = 2000  # of ids from before: a list may leave them out now and show them later

_ID = re.compile(r"[A-Za-z0-9_\-]{1,200}")
_MAX_FIELD_CHARACTERS = 200
_MAX_TIME = 1e11  # epoch seconds; later ones are no dates
_UNREADABLE = (
    "The record of an earlier submission in the task state store (key {key!r}) cannot be read, "
    "so it is unknown whether a batch was already paid for. Look for it in LlamaCloud, then delete the key, or run "
    "the task with fresh=True to submit a new batch regardless. What is wrong with it: {problem}."
)


class RecordUnreadableError(RuntimeError):
    """The record of an earlier submission cannot be read; submitting again could pay twice."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    What is kept about a submission; without ``batch_id`` it is an intent. All times are epoch seconds.

    ``fingerprint`` names the request (empty in a record of version 1, whose fingerprint counted webhooks too).
    ``nonce`` and ``try_number`` name the process that wrote the record (0 in version 1). ``unknown`` counts the POSTs
    whose outcome is not known.
    ``seen`` and ``floor`` tell a new batch from an older one: it is not among the ids, and not created before the
    floor, by the service's clock. ``posted_at`` is when the last POST was about to be sent, by the worker's clock.
    """

    fingerprint: str
    nonce: str
    try_number: int
    max_tries: int
    posted_at: float
    floor: float
    seen: tuple[str, ...] = ()
    unknown: int = 0
    batch_id: str = ""

    def submitted(self, batch_id: str, *, unknown: int, max_tries: int) -> Record:
        """
        Return the record with the submission's batch.

        ``unknown`` POSTs may have made another one; without any, what was seen is needed only for what comes after a
        Clear, when a list may leave out what was there before.
        """
        seen = self.seen if unknown else last_of(self.seen, MAX_HAD_CHARACTERS)
        return replace(self, batch_id=batch_id, unknown=unknown, max_tries=max_tries, seen=seen)

    @property
    def known(self) -> tuple[str, ...]:
        """Return all batches that a record tells of, its own last."""
        return (*self.seen, self.batch_id) if self.batch_id else self.seen

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON data for the task state store."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"version": RECORD_VERSION, **values, "seen": list(self.seen)}


def last_of(ids: Sequence[str], characters: int) -> tuple[str, ...]:
    """Return as many of the last ids as take no more characters than these together."""
    start = len(ids)
    while start and len(ids[start - 1]) <= characters:
        start -= 1
        characters -= len(ids[start])
    return tuple(ids[start:])


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_of_batch(id_: str) -> bool:
    from airflow_provider_llamabatch.llamacloud.call import checked_id
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    try:
        checked_id("batch_id", id_)
    except InvalidInputError:  # it names an argument, and nobody gave one
        return False
    return True


def read_record(value: Any, *, listed_seconds: float, key: str = RECORD_KEY) -> Record | None:
    """
    Return the record in what is stored under ``key``, None if nothing is; raises ``RecordUnreadableError``.

    A record of version 1 has no floor: ``listed_seconds`` before its intent stands in.
    """
    if value is None:
        return None
    try:
        return _read(value, listed_seconds)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordUnreadableError(_UNREADABLE.format(key=key, problem=_problem(error))) from None


def _read(value: Any, listed_seconds: float) -> Record:
    if type(value) is not dict:
        raise TypeError("it is no object")
    version = value.get("version")
    if type(version) is not int or version not in (1, RECORD_VERSION):
        raise ValueError("its version is unknown to this version of the provider")
    batch_id = value["batch_id"]
    if batch_id != "" and not _is_id(batch_id):
        raise ValueError("batch_id is no id")
    if batch_id != "" and not _is_of_batch(batch_id):
        raise ValueError("batch_id is no id of a batch")
    common: dict[str, Any] = {
        "max_tries": _count(value, "max_tries"),
        "seen": _ids(value["seen"]),
        "batch_id": batch_id,
    }
    fingerprint = _text(value, "fingerprint")
    if version == 1:
        intended_at = _time(value, "intended_at")
        unknown = 0 if batch_id else 1
        floor = intended_at - listed_seconds
        return Record("", "", 0, posted_at=intended_at, floor=floor, unknown=unknown, **common)
    return Record(
        fingerprint,
        _text(value, "nonce"),
        _count(value, "try_number"),
        posted_at=_time(value, "posted_at"),
        floor=_time(value, "floor"),
        unknown=_count(value, "unknown"),
        **common,
    )


def _text(value: dict[str, Any], name: str) -> str:
    text = value[name]
    if not isinstance(text, str) or len(text) > _MAX_FIELD_CHARACTERS:
        raise TypeError(f"{name} is no short text")
    return text


def _count(value: dict[str, Any], name: str) -> int:
    count = value[name]
    if type(count) is not int or not 0 <= count < 2**31:
        raise TypeError(f"{name} is no count")
    return count


def _time(value: dict[str, Any], name: str) -> float:
    """Return a time; JSON knows numbers that are no times (NaN, 1e300, an integer of 400 digits)."""
    seconds = value[name]
    if type(seconds) not in (int, float) or not -_MAX_TIME <= seconds <= _MAX_TIME or math.isnan(seconds):
        raise TypeError(f"{name} is no time")
    return float(seconds)


def _ids(value: Any) -> tuple[str, ...]:
    if type(value) is not list or not all(_is_id(entry) for entry in value):
        raise TypeError("seen is no list of ids")
    if sum(map(len, value)) > 2 * MAX_SEEN_CHARACTERS:
        raise ValueError("seen is too long")
    return tuple(value)


def _problem(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
