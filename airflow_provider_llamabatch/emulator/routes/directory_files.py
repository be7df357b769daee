"""``/api/v1/beta/directories/{id}/files``: upload, add, list, get, change, delete."""

from typing import Annotated, Any

from fastapi import File, Form, HTTPException, Query, UploadFile
from pydantic import ValidationError

from airflow_provider_llamabatch.emulator.errors import invalid, invalid_all
from airflow_provider_llamabatch.emulator.models.requests import (
    BulkDelete,
    DirectoryFileList,
    FileAdd,
    FileChange,
    FileEntry,
    Words,
    is_between,
    parse_json,
)
from airflow_provider_llamabatch.emulator.models.responses import DirectoryFileResponse, Page
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, answer
from airflow_provider_llamabatch.emulator.routes.downloads import FILE, presigned
from airflow_provider_llamabatch.emulator.routes.making import store_upload
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state.clock import iso, iso_or_none
from airflow_provider_llamabatch.emulator.state.records import DirectoryFile, StoredFile
from airflow_provider_llamabatch.emulator.state.tables import Table

Json = dict[str, Any]
Text = Annotated[str | None, Form()]

EXPANDABLE = frozenset({"download_url"})

api = Api("/api/v1/beta/directories/{directory_id}/files", "Directory files")


@api.route("POST", "/upload", DirectoryFileResponse, status=201, refusals=[402, 409])
async def upload_file(
    request: ApiRequest,
    directory_id: str,
    upload_file: Annotated[UploadFile, File()],
    display_name: Text = None,
    unique_id: Text = None,
    external_file_id: Text = None,
    metadata: Annotated[str | None, Form(description="A JSON object")] = None,
) -> Any:
    """Store an upload and put it into the directory."""
    entry = _entry(display_name, unique_id, metadata)
    with request.service.lock:
        request.directory(directory_id)
    stored = await store_upload(request, upload_file, "user_data", external_file_id)
    with request.service.lock:
        # Asked for again: it may have been deleted while the upload was read.
        return answer(request, _put(request, request.directory(directory_id).id, stored, entry), 201)


@api.route("POST", "/bulk-delete", status=204)
def delete_files(request: ApiRequest, directory_id: str, body: BulkDelete) -> None:
    """Delete several files of one directory, all or none."""
    for file in [request.directory_file(directory_id, id_) for id_ in body.directory_file_ids]:
        file.deleted_at = request.now
    request.service.delete_uploads()


@api.route("POST", "", DirectoryFileResponse, status=201, refusals=[409])
def add_file(request: ApiRequest, directory_id: str, body: FileAdd) -> Json:
    """Put a file of the files API into the directory."""
    request.directory(directory_id)
    return _put(request, directory_id, request.stored_file(body.file_id), body)


@api.route("GET", "", Page[DirectoryFileResponse])
def list_files(request: ApiRequest, directory_id: str, query: Annotated[DirectoryFileList, Query()]) -> Json:
    """List a directory's files, newest first."""
    files = request.project.directory_files[request.directory(directory_id).id]
    expand = request.expand(query.expand, EXPANDABLE)
    part = (query.display_name_contains or "").casefold()

    def keep(file: DirectoryFile) -> bool:
        return (
            (query.include_deleted or file.deleted_at is None)
            and query.display_name in {None, file.display_name}
            and part in file.display_name.casefold()
            and query.unique_id in {None, file.unique_id}
            and query.file_id in {None, file.file_id}
            and is_between(file.updated_at, query.updated_at_on_or_after, query.updated_at_on_or_before)
        )

    def show(file: DirectoryFile) -> Json:
        return _file_json(request, file, expand)

    return newest_page(files, query, request.settings, show, now=request.now, keep=keep)


@api.route("GET", "/{directory_file_id}", DirectoryFileResponse)
def get_file(
    request: ApiRequest,
    directory_id: str,
    directory_file_id: str,
    expand: Annotated[Words, Query()] = [],  # noqa: B006 - FastAPI copies it
) -> Json:
    """Show a file."""
    expanded = request.expand(expand, EXPANDABLE)
    return _file_json(request, request.directory_file(directory_id, directory_file_id), expanded)


@api.route("PATCH", "/{directory_file_id}", DirectoryFileResponse, refusals=[409])
def change_file(request: ApiRequest, directory_id: str, directory_file_id: str, body: FileChange) -> Json:
    """Rename a file, replace its metadata or move it to another directory."""
    file = request.directory_file(directory_id, directory_file_id)
    target_id = request.directory(body.target_directory_id or directory_id).id
    unique_id = body.unique_id or file.unique_id
    if (target_id, unique_id) != (file.directory_id, file.unique_id):
        _make_room(request, target_id, unique_id)
        _move(request, file, target_id)
    file.display_name = body.display_name or file.display_name
    file.unique_id = unique_id
    if "metadata" in body.model_fields_set:
        file.metadata = body.metadata
    file.updated_at = request.now
    return _file_json(request, file)


@api.route("DELETE", "/{directory_file_id}", status=204)
def delete_file(request: ApiRequest, directory_id: str, directory_file_id: str) -> None:
    """Delete a file; batches that took it stay as they are."""
    request.directory_file(directory_id, directory_file_id).deleted_at = request.now


def _entry(display_name: str | None, unique_id: str | None, metadata: str | None) -> FileEntry:
    try:
        read = parse_json(metadata) if metadata else None
        return FileEntry(display_name=display_name, unique_id=unique_id, metadata=read)
    except ValidationError as error:
        raise invalid_all(error, "body") from None
    except ValueError as error:
        raise invalid("body", "metadata", f"JSON decode error: {error}", metadata) from None


def _put(request: ApiRequest, directory_id: str, stored: StoredFile, entry: FileEntry) -> Json:
    service, now = request.service, request.now
    unique_id = entry.unique_id or stored.external_file_id or stored.name
    _make_room(request, directory_id, unique_id)
    file = DirectoryFile(
        service.ids.new("dfl"),
        service.order(),
        now,
        now,
        directory_id,
        entry.display_name or stored.name,
        unique_id,
        stored.id,
        stored.blob,
        entry.metadata,
    )
    request.project.directory_files[directory_id].add(file)
    return _file_json(request, file)


def _make_room(request: ApiRequest, directory_id: str, unique_id: str) -> None:
    policy = request.settings.duplicate_unique_id
    if policy == "add":
        return
    for file in request.project.live_files(directory_id):
        if file.unique_id == unique_id:
            if policy == "refuse":
                detail = f"A file with unique_id {unique_id!r} already exists in this directory"
                raise HTTPException(409, detail)
            file.deleted_at = request.now


def _move(request: ApiRequest, file: DirectoryFile, target_id: str) -> None:
    tables: dict[str, Table[DirectoryFile]] = request.project.directory_files
    tables[file.directory_id].remove(file.id)
    file.directory_id = target_id
    tables[target_id].add(file)


def _file_json(request: ApiRequest, file: DirectoryFile, expand: frozenset[str] = frozenset()) -> Json:
    return {
        "id": file.id,
        "directory_id": file.directory_id,
        "project_id": request.project.id,
        "display_name": file.display_name,
        "unique_id": file.unique_id,
        "file_id": file.file_id,
        "metadata": file.metadata or {},
        "download_url": presigned(request, FILE, file.file_id) if expand else None,
        "deleted_at": iso_or_none(file.deleted_at),
        "created_at": iso(file.created_at),
        "updated_at": iso(file.updated_at),
    }
