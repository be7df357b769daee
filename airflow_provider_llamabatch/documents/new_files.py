"""
Only what is new in a directory that others keep filling: a follow-up directory per run, each file paid for once.

What was processed is kept in an Airflow Variable, one per task and directory, on every Airflow version: the version of
each file that got a job, and what was about to be submitted, since when, and has not been seen to end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.defaults import LISTED_SECONDS, MAX_FILES_PER_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_llamabatch.llamacloud.models import DirectoryFile


@dataclass(slots=True)
class Processed:
    """
    What is known of a directory. ``done`` holds the version of each file that got a job, by the file's id.

    ``pending`` holds, by follow-up directory, the versions of files whose batch was not yet seen to end, and
    ``taken_at`` when that was noted, in epoch seconds by the worker's clock. ``refused`` holds the version in which a
    file last got no job.
    """

    done: dict[str, str] = field(default_factory=dict)
    pending: dict[str, dict[str, str]] = field(default_factory=dict)
    taken_at: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | None) -> Processed:
        """Read what ``to_json`` wrote; nothing is an empty state, anything else is a ``ValueError``."""
        if not text:
            return cls()
        try:
            value = json.loads(text)
            done, pending = value["done"], value.get("pending") or {}
            taken_at, refused = value.get("taken_at") or {}, value.get("refused") or {}
            versions = [version for files in (done, refused, *pending.values()) for version in files.values()]
            are_times = all(isinstance(time, (int, float)) for time in taken_at.values())
            if are_times and all(isinstance(version, str) for version in versions):
                return cls(done, pending, taken_at, refused)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass
        raise ValueError(f"holds {text!r:.100}, which is not what was processed of a directory")

    def to_json(self) -> str:
        """Return it as text."""
        value: dict[str, Any] = {"done": self.done, "pending": self.pending}
        value |= {name: held for name in ("taken_at", "refused") if (held := getattr(self, name))}
        return json.dumps(value, separators=(",", ":"))

    def new(self, files: Iterable[DirectoryFile]) -> list[DirectoryFile]:
        """
        Return the files that no run has processed in their present version, at most 1,000.

        The oldest come first, but those that got no job last, or a thousand of them would keep out all others for ever.
        """
        under_way = {(id_, version) for batch in self.pending.values() for id_, version in batch.items()}
        new = [
            file
            for file in files
            if self.done.get(file.id) != version_of(file) and (file.id, version_of(file)) not in under_way
        ]
        new.sort(
            key=lambda file: (self.refused.get(file.id) == version_of(file), str(file.updated_at), file.id)
        )
        return new[:MAX_FILES_PER_DIRECTORY]

    def take(self, directory_id: str, files: Iterable[DirectoryFile], *, at: float | None = None) -> None:
        """
        Note, before a batch is submitted over a follow-up directory, which files in which version it holds.

        A batch of an earlier run that still holds one of them says nothing of it any more, however late it ends.
        """
        versions = {file.id: version_of(file) for file in files}
        for others in self.pending.values():
            for id_ in versions:
                others.pop(id_, None)
        self.pending[directory_id] = versions
        if at is not None:
            self.taken_at[directory_id] = at

    def may_be_unlisted(self, directory_id: str, now: float) -> bool:
        """Say whether the batch over a follow-up directory may be so young, by any worker's clock, that lists lag."""
        return now - self.taken_at.get(directory_id, now) < LISTED_SECONDS

    def let_go(self, directory_id: str) -> dict[str, str]:
        """Forget that a batch was about to be submitted; return the versions of its files, none if it was not."""
        self.taken_at.pop(directory_id, None)
        return self.pending.pop(directory_id, {})

    def ended(self, directory_id: str, with_job: Iterable[str] | None) -> None:
        """Take in that a batch has ended: files ``with_job`` (None: all of them) are done, the others are new again."""
        versions = self.let_go(directory_id)
        ids = set(versions) if with_job is None else set(with_job)
        self.done.update({id_: version for id_, version in versions.items() if id_ in ids})
        self.refused.update({id_: version for id_, version in versions.items() if id_ not in ids})

    def missing(self, files: Sequence[DirectoryFile]) -> list[str]:
        """Return the ids that are known and not among a directory's files: deleted, if the list is whole."""
        return sorted({*self.done, *self.refused} - {file.id for file in files})

    def prune(self, gone: Iterable[str]) -> None:
        """Let go of files that the directory no longer has, and of refusals that are history."""
        for id_ in gone:
            self.done.pop(id_, None)
            self.refused.pop(id_, None)
        self.refused = {
            id_: version for id_, version in self.refused.items() if self.done.get(id_) != version
        }


def version_of(file: DirectoryFile) -> str:
    """Return what changes when a file does."""
    return f"{file.file_id}@{file.updated_at.isoformat() if file.updated_at else ''}"


def variable_of(identity: str) -> str:
    """Return the name of the Variable for a task and directory."""
    return f"llamabatch_processed_{identity}"
