"""The emulated service: projects with their records, keys, settings, clock."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.faults.rules import FaultRules
from airflow_provider_llamabatch.emulator.state.blobs import Blobs
from airflow_provider_llamabatch.emulator.state.clock import Clock
from airflow_provider_llamabatch.emulator.state.ids import Ids
from airflow_provider_llamabatch.emulator.state.journal import Journal
from airflow_provider_llamabatch.emulator.state.records import Configuration
from airflow_provider_llamabatch.emulator.state.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_llamabatch.emulator.models.requests import JobType
    from airflow_provider_llamabatch.emulator.settings import Settings
    from airflow_provider_llamabatch.emulator.state.records import (
        Batch,
        Directory,
        DirectoryFile,
        Job,
        StoredFile,
        WebhookConfiguration,
    )
    from airflow_provider_llamabatch.emulator.webhooks import Watched

PRESET_ID = "cfg-PARSE_AGENTIC"
PRESET = {"product_type": "parse_v2", "tier": "agentic", "version": "latest"}
DEFAULT_PROJECT = "Default"


class Project:
    """A project and everything in it. Deleted directories and their files stay, as the API can still list them."""

    def __init__(self, id_: str, name: str, organization_id: str, *, is_default: bool) -> None:
        self.id = id_
        self.name = name
        self.organization_id = organization_id
        self.is_default = is_default
        self.files: Table[StoredFile] = Table()
        self.directories: Table[Directory] = Table()
        self.directory_files: dict[str, Table[DirectoryFile]] = {}
        self.configurations: Table[Configuration] = Table()
        self.webhooks: Table[WebhookConfiguration] = Table()
        self.batches: Table[Batch] = Table()
        self.batches_of: dict[str, Table[Batch]] = {}
        self.credits_of_deleted_jobs = 0.0
        self.jobs: dict[JobType, Table[Job]] = {"parse_v2": Table(), "extract_v2": Table()}

    def add_directory(self, directory: Directory) -> None:
        """Keep a new directory."""
        self.directories.add(directory)
        self.directory_files[directory.id] = Table()

    def add_batch(self, batch: Batch) -> None:
        """Keep a new batch."""
        self.batches.add(batch)
        self.batches_of.setdefault(batch.directory_id, Table()).add(batch)

    def live_files(self, directory_id: str) -> list[DirectoryFile]:
        """Return the files of a directory that are not deleted."""
        return [one for one in self.directory_files.get(directory_id, ()) if one.deleted_at is None]

    def all_jobs(self) -> Iterator[Job]:
        """Go through the jobs of all types."""
        for table in self.jobs.values():
            yield from table

    def uploads(self) -> Iterator[str]:
        """Go through the keys of the uploads that somebody can still ask for."""
        yield from (file.blob for file in self.files)
        yield from (file.blob for id_ in self.directory_files for file in self.live_files(id_))
        yield from (job.blob for job in self.all_jobs())


class EmulatorState:
    """
    Everything that the routes and the control share.

    Whoever reads or changes it holds ``lock``: requests are handled in the server's thread, the control is used from
    others. ``on_change`` is called when something may have become due before its time. ``under_way`` counts the
    requests that are being answered, ``held_back`` those whose answers a fault delays.
    """

    def __init__(
        self, settings: Settings, api_key: str, seed: int | None = None, start_time: float | None = None
    ) -> None:
        self._first = (settings, api_key, start_time)
        self.lock = threading.RLock()
        self.ids = Ids(seed)
        self.blobs = Blobs()
        self.on_change: Callable[[], None] = lambda: None
        self.under_way = 0
        self.held_back = 0
        self._first_ids = (self.ids.uuid(), self.ids.uuid())
        self.reset()

    def reset(self) -> None:
        """Forget everything: records, requests, faults, changed settings, projects, a changed key, a moved clock."""
        self.settings, api_key, start_time = self._first
        self.ids.restart()
        self.blobs.clear()
        self.clock = Clock(start_time)
        self.faults = FaultRules(self.ids.dice)
        self.journal = Journal()
        self.deliveries: deque[dict[str, Any]] = deque(maxlen=1000)
        self.watched: list[Watched] = []
        self.cancels_asked: Counter[str] = Counter()
        self.limits: dict[str, deque[float]] = {}
        self.orders = 0
        self.download_secret = self.ids.uuid().encode()
        self.projects: dict[str, Project] = {}
        self.keys: dict[str, Project] = {}
        self.default_key = api_key
        project_id, organization_id = self._first_ids
        self.keys[api_key] = self._new_project(project_id, DEFAULT_PROJECT, organization_id)

    @property
    def now(self) -> float:
        """The emulator's time."""
        return self.clock.now()

    def order(self) -> int:
        """Return the place of the next record."""
        self.orders += 1
        return self.orders

    def skip_orders(self, to: int) -> None:
        """Go on counting from a place."""
        self.orders = max(self.orders, to)

    def delete_uploads(self) -> None:
        """Delete the uploads that nobody can ask for any more."""
        self.blobs.keep_only({key for project in self.projects.values() for key in project.uploads()})

    def rotate_key(self, api_key: str) -> None:
        """Let a new key take the place of the first project's key. Raises ValueError for the key of another project."""
        if self.keys.get(api_key, self.keys[self.default_key]) is not self.keys[self.default_key]:
            raise ValueError("this is the key of another project")
        self.keys[api_key] = self.keys.pop(self.default_key)
        self.default_key = api_key

    def add_project(self, name: str, organization_id: str | None) -> tuple[Project, str]:
        """Make a project, in an organization of its own unless told otherwise, and return it with its key."""
        project = self._new_project(self.ids.uuid(), name, organization_id or self.ids.uuid())
        api_key = self.ids.new("llx")
        self.keys[api_key] = project
        return project, api_key

    def _new_project(self, id_: str, name: str, organization_id: str) -> Project:
        in_organization = (one.organization_id == organization_id for one in self.projects.values())
        project = Project(id_, name, organization_id, is_default=not any(in_organization))
        self.projects[id_] = project
        self.add_preset(project)
        return project

    def add_preset(self, project: Project) -> None:
        """Give a project the built-in configuration."""
        now = self.now
        preset = Configuration(PRESET_ID, self.order(), now, now, "PARSE_AGENTIC", PRESET, "2026-08-19")
        project.configurations.add(preset)
