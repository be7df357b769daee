"""The whole state in one file, to go on with later."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

from airflow_provider_llamabatch.emulator.settings import Settings
from airflow_provider_llamabatch.emulator.state.records import (
    Batch,
    Configuration,
    Directory,
    DirectoryFile,
    Job,
    StoredFile,
    WebhookConfiguration,
)
from airflow_provider_llamabatch.emulator.state.service import PRESET_ID, Project

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator.state.service import EmulatorState

SAVE_SECONDS, SHARE = 2.0, 0.05
"""How often the state is written, and how much of the time that may take: others wait meanwhile."""
APPLICATION_ID = 0x4C4C4D45
SCHEMA = f"""
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA auto_vacuum = FULL;
    CREATE TABLE uploads (key TEXT PRIMARY KEY, content BLOB, pages BLOB, found TEXT);
    CREATE TABLE state (id INTEGER PRIMARY KEY, now REAL, records TEXT);
"""

log = logging.getLogger(__name__)


@dataclass
class SavedProject:
    """A project as lists of records, and its keys."""

    id: str
    name: str
    organization_id: str
    is_default: bool
    credits_of_deleted_jobs: float = 0.0
    keys: list[str] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    directories: list[Directory] = field(default_factory=list)
    directory_files: list[DirectoryFile] = field(default_factory=list)
    configurations: list[Configuration] = field(default_factory=list)
    webhooks: list[WebhookConfiguration] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)


@dataclass
class Saved:
    """Everything but the uploads."""

    settings: Settings
    orders: int
    default_key: str
    projects: list[SavedProject]


_SAVED = TypeAdapter(Saved)


class StateFile:
    """
    The state in a SQLite database: the records as JSON, the uploads as they are, with what was read from them.

    While it is open no other process can open it. What changes is written every few seconds, more rarely where that
    takes long, and at the end, so that a process that is killed loses no more.
    """

    def __init__(self, service: EmulatorState, path: Path) -> None:
        self._service = service
        self._path = path
        self._written: set[str] = set()
        self._last: tuple[bytes, int] | None = None
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        """Go on from the file. Raises OSError where it cannot be used, ValueError where it holds no state."""
        try:
            self._open()
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise OSError(f"{self._path} is in use by another emulator") from None
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise ValueError(f"{self._path} holds no state of an emulator: {error}") from None
            raise OSError(f"{self._path} cannot be used: {error}") from None
        self._thread = threading.Thread(
            target=self._save_again, name="llamacloud-emulator-state", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the file a last time."""
        self._closing.set()
        self._thread.join()
        try:
            self.save()
        finally:
            self._file.close()

    def save(self) -> None:
        """Write what has changed."""
        service = self._service
        with self._file:
            written = self._with_uploads(self._written)  # most of the work, not yet with the lock
            with service.lock:
                written = self._with_uploads(written)
                gone = written.difference(service.blobs.keys())
                now, saved = service.now, _SAVED.dump_json(_saved(service))
            self._file.executemany("DELETE FROM uploads WHERE key = ?", [(key,) for key in gone])
            last = (saved, round(now - time.time()))
            if last != self._last:
                self._file.execute("REPLACE INTO state VALUES (1, ?, ?)", (now, saved))
        self._written, self._last = written - gone, last

    def _with_uploads(self, written: set[str]) -> set[str]:
        """Write the uploads that are new and return the keys of all."""
        blobs = self._service.blobs
        new = set()
        for key in {*blobs.keys()} - written:
            with contextlib.suppress(KeyError, FileNotFoundError):  # deleted just now
                self._file.execute("INSERT INTO uploads VALUES (?, ?, ?, ?)", (key, *blobs.dump(key)))
                new.add(key)
        return written | new

    def _save_again(self) -> None:
        pause = SAVE_SECONDS
        while not self._closing.wait(pause):
            began = time.monotonic()
            try:
                self.save()
            except (sqlite3.Error, OSError):
                log.exception("The emulator's state could not be written to %s", self._path)
            pause = max(SAVE_SECONDS, (time.monotonic() - began) / SHARE)

    def _open(self) -> None:
        self._file = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
        try:
            self._go_on()
        except BaseException:
            self._file.close()
            raise

    def _go_on(self) -> None:
        self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
        if self._file.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
            self._file.executescript(SCHEMA)
        if self._file.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise ValueError(f"{self._path} holds no state of an emulator")
        self._file.execute("BEGIN EXCLUSIVE")
        self._load()
        self.save()  # fails now where it would fail at the end

    def _load(self) -> None:
        for key, *upload in self._file.execute("SELECT * FROM uploads"):
            self._service.blobs.load(key, *upload)
            self._written.add(key)
        for now, records in self._file.execute("SELECT now, records FROM state"):
            # pydantic's own reader refuses what lies some levels deeper here than in the request that it accepted.
            _restore(self._service, now, _SAVED.validate_python(json.loads(records)))


def _restore(service: EmulatorState, now: float, saved: Saved) -> None:
    with service.lock:
        service.settings = saved.settings
        service.clock.advance(max(0.0, now - service.now))
        service.skip_orders(saved.orders)
        service.ids.go_on(saved.orders)
        service.default_key = saved.default_key
        service.projects.clear()
        service.keys.clear()
        for one in saved.projects:
            service.projects[one.id] = project = _loaded(one)
            service.add_preset(project)
            service.keys |= dict.fromkeys(one.keys, project)


def _saved(service: EmulatorState) -> Saved:
    projects = [_saved_project(service, project) for project in service.projects.values()]
    return Saved(service.settings, service.orders, service.default_key, projects)


def _saved_project(service: EmulatorState, project: Project) -> SavedProject:
    return SavedProject(
        project.id,
        project.name,
        project.organization_id,
        project.is_default,
        project.credits_of_deleted_jobs,
        [key for key, owner in service.keys.items() if owner is project],
        [*project.files],
        [*project.directories],
        [file for table in project.directory_files.values() for file in table],
        [one for one in project.configurations if one.id != PRESET_ID],
        [*project.webhooks],
        [*project.batches],
        [*project.all_jobs()],
    )


def _loaded(saved: SavedProject) -> Project:
    project = Project(saved.id, saved.name, saved.organization_id, is_default=saved.is_default)
    project.credits_of_deleted_jobs = saved.credits_of_deleted_jobs
    for directory in saved.directories:
        project.add_directory(directory)
    for entry in saved.directory_files:
        project.directory_files[entry.directory_id].add(entry)
    for file in saved.files:
        project.files.add(file)
    for configuration in saved.configurations:
        project.configurations.add(configuration)
    for webhook in saved.webhooks:
        project.webhooks.add(webhook)
    for batch in saved.batches:
        project.add_batch(batch)
    for job in saved.jobs:
        project.jobs[job.type].add(job)
    return project
