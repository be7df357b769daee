"""``/api/v1/beta/directories/{id}/files``: upload, add, list, get, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, Json

from airflow_provider_llamabatch.emulator.answers import Answer, Refusal
from airflow_provider_llamabatch.emulator.asking import Expand, Flag, Moment, Paging, Word, is_between
from airflow_provider_llamabatch.emulator.clock import iso, iso_or_none
from airflow_provider_llamabatch.emulator.downloads import FILE, presigned
from airflow_provider_llamabatch.emulator.paging import page
from airflow_provider_llamabatch.emulator.records import DirectoryFile, StoredFile
from airflow_provider_llamabatch.emulator.routes_files import store_upload
from airflow_provider_llamabatch.emulator.store import new_id
from airflow_provider_llamabatch.emulator.world import PROJECT_ID

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

Metadata = dict[str, str | int | float | bool | list[str] | None]
MAX_BULK_DELETE = 100
EXPANDABLE = frozenset({"download_url"})


class FileUpload(BaseModel):
    """Text parts of an upload; the metadata come as JSON in a string."""

    display_name: str | None = None
    unique_id: str | None = None
    external_file_id: str | None = None
    metadata: Json[Metadata] | None = None


class FileAdd(BaseModel):
    """Body of an add: a file that was uploaded through the files API."""

    file_id: str
    display_name: str | None = None
    unique_id: str | None = None
    metadata: Metadata | None = None


class FileChange(BaseModel):
    """Body of a change; the metadata replace what was there."""

    display_name: str | None = None
    unique_id: str | None = None
    metadata: Metadata | None = None
    target_directory_id: str | None = None


class FileList(Paging, Expand):
    """Query of a list."""

    display_name: Word = None
    display_name_contains: Word = None
    unique_id: Word = None
    file_id: Word = None
    include_deleted: Flag = False
    updated_at_on_or_after: Moment = None
    updated_at_on_or_before: Moment = None

    def asks_for(self, file: DirectoryFile) -> bool:
        """Whether a file passes all filters."""
        return (
            (self.include_deleted or file.deleted_at is None)
            and self.display_name in {None, file.display_name}
            and (self.display_name_contains or "").casefold() in file.display_name.casefold()
            and self.unique_id in {None, file.unique_id}
            and self.file_id in {None, file.file.id}
            and is_between(file.updated_at, self.updated_at_on_or_after, self.updated_at_on_or_before)
        )


class BulkDelete(BaseModel):
    """Body of a bulk delete."""

    directory_file_ids: Annotated[list[str], Field(min_length=1, max_length=MAX_BULK_DELETE)]


def upload_file(world: World, ask: Ask) -> Answer:
    """Store an upload and put it into the directory."""
    directory = world.directory(ask.ids["directory_id"])
    asked = ask.fields(FileUpload)
    stored = store_upload(
        world, ask, "upload_file", purpose="user_data", external_file_id=asked.external_file_id
    )
    return _put(world, ask, directory.id, stored, asked)


def add_file(world: World, ask: Ask) -> Answer:
    """Put a file of the files API into the directory."""
    directory = world.directory(ask.ids["directory_id"])
    asked = ask.body(FileAdd)
    return _put(world, ask, directory.id, world.stored_file(asked.file_id), asked)


def list_files(world: World, ask: Ask) -> Answer:
    """List a directory's files, newest first."""
    directory = world.directory(ask.ids["directory_id"])
    asked = ask.query(FileList)
    expand = world.check_expand(asked.expand, EXPANDABLE)
    found = (
        file for file in world.store.directory_files.get(directory.id, {}).values() if asked.asks_for(file)
    )
    return Answer(page(found, asked, world.settings, lambda file: _file_json(world, ask, file, expand)))


def get_file(world: World, ask: Ask) -> Answer:
    """Show a file."""
    expand = world.check_expand(ask.query(Expand).expand, EXPANDABLE)
    file = world.directory_file(ask.ids["directory_id"], ask.ids["file_id"])
    return Answer(_file_json(world, ask, file, expand))


def change_file(world: World, ask: Ask) -> Answer:
    """Rename a file, replace its metadata or move it to another directory."""
    file = world.directory_file(ask.ids["directory_id"], ask.ids["file_id"])
    asked = ask.body(FileChange)
    if asked.target_directory_id:
        _move(world, file, world.directory(asked.target_directory_id).id)
    file.display_name = asked.display_name or file.display_name
    file.unique_id = asked.unique_id or file.unique_id
    if "metadata" in asked.model_fields_set:
        file.metadata = asked.metadata
    file.updated_at = world.now
    return Answer(_file_json(world, ask, file))


def delete_file(world: World, ask: Ask) -> Answer:
    """Delete a file; batches that took it stay as they are."""
    world.directory_file(ask.ids["directory_id"], ask.ids["file_id"]).deleted_at = world.now
    return Answer(status=204)


def delete_files(world: World, ask: Ask) -> Answer:
    """Delete several files of one directory, all or none."""
    asked = ask.body(BulkDelete)
    for file in [world.directory_file(ask.ids["directory_id"], id_) for id_ in asked.directory_file_ids]:
        file.deleted_at = world.now
    return Answer(status=204)


def _put(
    world: World, ask: Ask, directory_id: str, stored: StoredFile, asked: FileUpload | FileAdd
) -> Answer:
    unique_id = asked.unique_id or stored.external_file_id or stored.name
    _make_room(world, directory_id, unique_id)
    now = world.now
    file = DirectoryFile(
        new_id("dfl"),
        world.store.order(),
        now,
        now,
        directory_id,
        asked.display_name or stored.name,
        unique_id,
        stored,
        asked.metadata,
    )
    world.store.directory_files.setdefault(directory_id, {})[file.id] = file
    return Answer(_file_json(world, ask, file), status=201)


def _make_room(world: World, directory_id: str, unique_id: str) -> None:
    policy = world.settings.duplicate_unique_id
    if policy == "add":
        return
    for file in world.store.live_files(directory_id):
        if file.unique_id == unique_id:
            if policy == "refuse":
                raise Refusal(409, f"A file with unique_id {unique_id!r} already exists in this directory")
            file.deleted_at = world.now


def _move(world: World, file: DirectoryFile, target_id: str) -> None:
    files = world.store.directory_files
    files.get(file.directory_id, {}).pop(file.id, None)
    file.directory_id = target_id
    files.setdefault(target_id, {})[file.id] = file


def _file_json(
    world: World, ask: Ask, file: DirectoryFile, expand: frozenset[str] = frozenset()
) -> dict[str, Any]:
    return {
        "id": file.id,
        "directory_id": file.directory_id,
        "project_id": PROJECT_ID,
        "display_name": file.display_name,
        "unique_id": file.unique_id,
        "file_id": file.file.id,
        "metadata": file.metadata,
        "download_url": presigned(world, ask, FILE, file.file.id) if expand else None,
        "deleted_at": iso_or_none(file.deleted_at),
        "created_at": iso(file.created_at),
        "updated_at": iso(file.updated_at),
    }


_FILES = "/api/v1/beta/directories/{directory_id}/files"
ROUTES = [
    ("POST", f"{_FILES}/upload", upload_file),
    ("POST", f"{_FILES}/bulk-delete", delete_files),
    ("POST", _FILES, add_file),
    ("GET", _FILES, list_files),
    ("GET", f"{_FILES}/{{file_id}}", get_file),
    ("PATCH", f"{_FILES}/{{file_id}}", change_file),
    ("DELETE", f"{_FILES}/{{file_id}}", delete_file),
]
