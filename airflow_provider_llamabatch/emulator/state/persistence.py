"""The whole state in one file, to go on with later: a zip of the records as JSON and the uploads as they are."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

RECORDS = "records.json"


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
    now: float
    orders: int
    default_key: str
    projects: list[SavedProject]


_SAVED = TypeAdapter(Saved)


def save(service: EmulatorState, path: Path) -> None:
    """Write the state to a file, in place of what was there."""
    with service.lock:
        projects = [_saved(service, project) for project in service.projects.values()]
        saved = Saved(service.settings, service.now, service.order(), service.default_key, projects)
        aside = path.with_name(f"{path.name}.new")
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(RECORDS, _SAVED.dump_json(saved))
            for key in service.blobs.keys():  # noqa: SIM118 - not a mapping
                file.write(service.blobs.path(key), f"uploads/{key}")
        aside.replace(path)


def load(service: EmulatorState, path: Path) -> None:
    """Read what ``save`` wrote; the clock goes on from there. Raises ValueError for a file that is none."""
    try:
        _load(service, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(f"{path} holds no state of an emulator: {error}") from None


def _load(service: EmulatorState, path: Path) -> None:
    with service.lock, zipfile.ZipFile(path) as file:
        # pydantic's own reader refuses what lies some levels deeper here than in the request that it accepted.
        saved = _SAVED.validate_python(json.loads(file.read(RECORDS)))
        for name in file.namelist():
            if name.startswith("uploads/"):
                key = name.removeprefix("uploads/")
                service.blobs.path(key).write_bytes(file.read(name))
                service.blobs.read(key)
        service.settings = saved.settings
        service.clock.advance(max(0.0, saved.now - service.now))
        service.skip_orders(saved.orders)
        service.ids.go_on(saved.orders)
        service.default_key = saved.default_key
        service.projects.clear()
        service.keys.clear()
        for one in saved.projects:
            service.projects[one.id] = project = _loaded(one)
            service.add_preset(project)
            service.keys |= dict.fromkeys(one.keys, project)


def _saved(service: EmulatorState, project: Project) -> SavedProject:
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
