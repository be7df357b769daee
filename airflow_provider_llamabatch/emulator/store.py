"""Everything the emulator keeps, in memory. No rules here, only what belongs together."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections import Counter
from pathlib import PurePosixPath

from airflow_provider_llamabatch.emulator import documents
from airflow_provider_llamabatch.emulator.records import (
    Batch,
    Blob,
    Configuration,
    Directory,
    DirectoryFile,
    Job,
    StoredFile,
)

PRESET_ID = "cfg-PARSE_AGENTIC"
JOB_PREFIXES = {"parse_v2": "pjb", "extract_v2": "ext"}


class Store:
    """Records by id. Deleted directories and their files stay, marked as deleted, as the API can still list them."""

    def __init__(self, now: float) -> None:
        self._orders = itertools.count()
        self._blobs: dict[tuple[str, str], Blob] = {}
        self.files: dict[str, StoredFile] = {}
        self.directories: dict[str, Directory] = {}
        self.directory_files: dict[str, dict[str, DirectoryFile]] = {}
        self.configurations: dict[str, Configuration] = {PRESET_ID: self._preset(now)}
        self.batches: dict[str, Batch] = {}
        self.batches_of: dict[str, list[Batch]] = {}
        self.jobs: dict[str, Job] = {}
        self.cancels_asked: Counter[str] = Counter()

    def order(self) -> int:
        """Return the place of the next record."""
        return next(self._orders)

    def blob(self, name: str, content: bytes) -> Blob:
        """Read an upload, or return what was read from the same bytes before. Safe without the lock."""
        key = (PurePosixPath(name).suffix.lower(), hashlib.sha256(content).hexdigest())
        if key not in self._blobs:
            self._blobs[key] = Blob(content, documents.read(name, content))
        return self._blobs[key]

    def add_directory(self, directory: Directory) -> None:
        """Keep a new directory."""
        self.directories[directory.id] = directory
        self.directory_files[directory.id] = {}

    def add_batch(self, batch: Batch, jobs: list[Job]) -> None:
        """Keep a new batch with the jobs it makes."""
        self.batches[batch.id] = batch
        self.batches_of.setdefault(batch.directory_id, []).append(batch)
        self.jobs.update({job.id: job for job in jobs})

    def live_files(self, directory_id: str) -> list[DirectoryFile]:
        """Return the files of a directory that are not deleted."""
        return [one for one in self.directory_files.get(directory_id, {}).values() if one.deleted_at is None]

    def _preset(self, now: float) -> Configuration:
        parameters = {"product_type": "parse_v2", "tier": "agentic", "version": "latest"}
        return Configuration(PRESET_ID, self.order(), now, now, "PARSE_AGENTIC", parameters, "2026-10-16")


def new_id(prefix: str) -> str:
    """Return a new id of a kind, such as ``bat-...``."""
    return f"{prefix}-{uuid.uuid4()}"
