"""``/api/v1/beta/files``: upload, list, get, content, delete."""

from __future__ import annotations

import mimetypes
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from airflow_provider_llamabatch.emulator.answers import Answer, Refusal, invalid
from airflow_provider_llamabatch.emulator.asking import Expand, Last, Paging, Word, Words
from airflow_provider_llamabatch.emulator.clock import iso
from airflow_provider_llamabatch.emulator.downloads import FILE, LIFETIME_SECONDS, presigned
from airflow_provider_llamabatch.emulator.paging import NEWEST_FIRST, Order, page
from airflow_provider_llamabatch.emulator.records import StoredFile
from airflow_provider_llamabatch.emulator.world import PROJECT_ID

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

ORDERS: dict[str, Order[StoredFile]] = {
    "name": Order(lambda file: (file.name, file.order), descending=False),
    "id": Order(lambda file: (file.id,), descending=False),
    "created_at": NEWEST_FIRST,
}
EXPANDABLE = frozenset({"download_url"})


class FileForm(BaseModel):
    """Text parts of an upload."""

    purpose: Annotated[str, Field(min_length=1)]
    external_file_id: str | None = None


class FileList(Paging, Expand):
    """Query of a list."""

    order_by: Word = None
    file_name: Word = None
    external_file_id: Word = None
    file_ids: Words = ()


class ContentQuery(BaseModel):
    """Query of the content call."""

    expires_at_seconds: Annotated[int, Last, Field(ge=0)] = LIFETIME_SECONDS


def create_file(world: World, ask: Ask) -> Answer:
    """Store an upload."""
    asked = ask.fields(FileForm)
    file = store_upload(world, ask, "file", purpose=asked.purpose, external_file_id=asked.external_file_id)
    if not file.blob.content:
        del world.store.files[file.id]
        raise Refusal(400, "The uploaded file is empty")
    return Answer(_file_json(world, ask, file), status=201)


def list_files(world: World, ask: Ask) -> Answer:
    """List files in the order asked for, newest first by default."""
    asked = ask.query(FileList)
    order = ORDERS.get(asked.order_by or "created_at", NEWEST_FIRST if world.settings.lenient_ids else None)
    if order is None:
        raise invalid("query", "order_by", f"Input should be one of {', '.join(ORDERS)}", asked.order_by)
    expand = world.check_expand(asked.expand, EXPANDABLE)
    found = (
        file
        for file in world.store.files.values()
        if asked.file_name in {None, file.name}
        and asked.external_file_id in {None, file.external_file_id}
        and (not asked.file_ids or file.id in asked.file_ids)
    )
    return Answer(
        page(found, asked, world.settings, lambda file: _file_json(world, ask, file, expand), order)
    )


def get_file(world: World, ask: Ask) -> Answer:
    """Show a file."""
    expand = world.check_expand(ask.query(Expand).expand, EXPANDABLE)
    return Answer(_file_json(world, ask, world.stored_file(ask.ids["file_id"]), expand))


def get_content(world: World, ask: Ask) -> Answer:
    """Return a download address."""
    seconds = ask.query(ContentQuery).expires_at_seconds
    return Answer(presigned(world, ask, FILE, world.stored_file(ask.ids["file_id"]).id, seconds))


def delete_file(world: World, ask: Ask) -> Answer:
    """Delete a file; directories that hold it keep it."""
    world.store.files.pop(world.stored_file(ask.ids["file_id"]).id, None)
    return Answer(status=204)


def store_upload(
    world: World, ask: Ask, part: str, *, purpose: str, external_file_id: str | None
) -> StoredFile:
    """Keep the file part of a form. Raises Refusal (422) when there is none."""
    upload = ask.uploads.get(part)
    if upload is None:
        raise invalid("body", part, "Field required", None)
    file = StoredFile(
        str(uuid.uuid4()),
        world.store.order(),
        world.now,
        upload.name,
        upload.blob,
        purpose,
        external_file_id,
        upload.content_type or mimetypes.guess_type(upload.name)[0],
    )
    world.store.files[file.id] = file
    return file


def _file_json(
    world: World, ask: Ask, file: StoredFile, expand: frozenset[str] = frozenset()
) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "project_id": PROJECT_ID,
        "external_file_id": file.external_file_id,
        "file_type": PurePosixPath(file.name).suffix.removeprefix(".") or None,
        "purpose": file.purpose,
        "expires_at": None,
        "last_modified_at": iso(file.created_at),
        "download_url": presigned(world, ask, FILE, file.id) if expand else None,
    }


ROUTES = [
    ("POST", "/api/v1/beta/files", create_file),
    ("GET", "/api/v1/beta/files", list_files),
    ("GET", "/api/v1/beta/files/{file_id}", get_file),
    ("GET", "/api/v1/beta/files/{file_id}/content", get_content),
    ("DELETE", "/api/v1/beta/files/{file_id}", delete_file),
]
