"""``/api/v1/beta/directories``: create, list, get, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from airflow_provider_llamabatch.emulator.answers import Answer, invalid
from airflow_provider_llamabatch.emulator.asking import Flag, Last, Paging, Word, Words
from airflow_provider_llamabatch.emulator.clock import iso, iso_or_none
from airflow_provider_llamabatch.emulator.paging import page
from airflow_provider_llamabatch.emulator.records import Directory
from airflow_provider_llamabatch.emulator.store import new_id
from airflow_provider_llamabatch.emulator.world import PROJECT_ID

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

DirectoryType = Literal["user", "index", "ephemeral"]


class DirectoryCreate(BaseModel):
    """Body of a create."""

    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    type: Literal["user", "ephemeral"] = "user"
    connector_subscription_id: str | None = None
    system_metadata: dict[str, Any] | None = None
    expires_at: Any = None


class DirectoryChange(BaseModel):
    """Body of a change."""

    name: Annotated[str, Field(min_length=1)] | None = None
    description: str | None = None


class DirectoryList(Paging):
    """Query of a list."""

    name: Word = None
    type: Annotated[DirectoryType | None, Last] = None
    types: Words = ()
    include_deleted: Flag = False


def create_directory(world: World, ask: Ask) -> Answer:
    """Create a directory; the server alone says when an ephemeral one expires."""
    asked = ask.body(DirectoryCreate)
    if asked.expires_at is not None and world.settings.expires_at_in_create == "refuse":
        raise invalid("body", "expires_at", "Extra inputs are not permitted", asked.expires_at)
    _check_subscription(world, asked.connector_subscription_id)
    now = world.now
    expires_at = now + world.settings.ephemeral_lifetime_seconds if asked.type == "ephemeral" else None
    fields = asked.model_dump(exclude={"expires_at"})
    directory = Directory(new_id("dir"), world.store.order(), now, now, **fields, expires_at=expires_at)
    world.store.add_directory(directory)
    return Answer(_directory_json(directory), status=201)


def list_directories(world: World, ask: Ask) -> Answer:
    """List directories, newest first."""
    asked = ask.query(DirectoryList)
    types = {*asked.types, *([asked.type] if asked.type else [])}
    found = (
        directory
        for directory in world.store.directories.values()
        if (asked.include_deleted or directory.is_live(world.now))
        and asked.name in {None, directory.name}
        and (not types or directory.type in types)
    )
    return Answer(page(found, asked, world.settings, _directory_json))


def get_directory(world: World, ask: Ask) -> Answer:
    """Show a directory."""
    return Answer(_directory_json(world.directory(ask.ids["directory_id"])))


def change_directory(world: World, ask: Ask) -> Answer:
    """Change the name or the description."""
    directory = world.directory(ask.ids["directory_id"])
    asked = ask.body(DirectoryChange)
    directory.name = asked.name or directory.name
    if "description" in asked.model_fields_set:
        directory.description = asked.description
    directory.updated_at = world.now
    return Answer(_directory_json(directory))


def delete_directory(world: World, ask: Ask) -> Answer:
    """Delete a directory and its files; batches made from it and their jobs stay."""
    directory = world.directory(ask.ids["directory_id"])
    directory.deleted_at = world.now
    for file in world.store.live_files(directory.id):
        file.deleted_at = world.now
    return Answer(status=204)


def _check_subscription(world: World, subscription_id: str | None) -> None:
    if subscription_id is None:
        return
    for directory in world.store.directories.values():
        if directory.connector_subscription_id == subscription_id and directory.is_live(world.now):
            detail = {
                "message": "A directory already exists for this subscription",
                "directory_id": directory.id,
            }
            world.refuse_when(True, 409, detail)


def _directory_json(directory: Directory) -> dict[str, Any]:
    return {
        "id": directory.id,
        "name": directory.name,
        "project_id": PROJECT_ID,
        "type": directory.type,
        "description": directory.description,
        "connector_subscription_id": directory.connector_subscription_id,
        "system_metadata": directory.system_metadata,
        "expires_at": iso_or_none(directory.expires_at),
        "deleted_at": iso_or_none(directory.deleted_at),
        "created_at": iso(directory.created_at),
        "updated_at": iso(directory.updated_at),
    }


ROUTES = [
    ("POST", "/api/v1/beta/directories", create_directory),
    ("GET", "/api/v1/beta/directories", list_directories),
    ("GET", "/api/v1/beta/directories/{directory_id}", get_directory),
    ("PATCH", "/api/v1/beta/directories/{directory_id}", change_directory),
    ("DELETE", "/api/v1/beta/directories/{directory_id}", delete_directory),
]
