"""``/api/v1/beta/files``: upload, list, get, content, delete."""

from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import File, Form, Query, UploadFile

from airflow_provider_llamabatch.emulator.models.requests import FileList, Purpose
from airflow_provider_llamabatch.emulator.models.responses import FileResponse, Page, PresignedUrl
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, answer, refuse_when
from airflow_provider_llamabatch.emulator.routes.downloads import FILE, LIFETIME_SECONDS, presigned
from airflow_provider_llamabatch.emulator.routes.making import store_upload
from airflow_provider_llamabatch.emulator.routes.paging import newest_page, sorted_page
from airflow_provider_llamabatch.emulator.state.clock import iso
from airflow_provider_llamabatch.emulator.state.records import StoredFile

Json = dict[str, Any]

EXPANDABLE = frozenset({"download_url"})
DEFAULT_PAGE = 50
MAX_EXPIRY = 7 * 24 * 3600

api = Api("/api/v1/beta/files", "Files")


@api.route("POST", "", FileResponse, status=201, refusals=[402])
async def create_file(
    request: ApiRequest,
    file: Annotated[UploadFile, File()],
    purpose: Annotated[Purpose, Form()],
    external_file_id: Annotated[str | None, Form()] = None,
) -> Any:
    """Store an upload."""
    refuse_when(file.size == 0, 400, "The uploaded file is empty")
    stored = await store_upload(request, file, purpose, external_file_id)
    return answer(request, _file_json(request, stored), 201)


@api.route("GET", "", Page[FileResponse])
def list_files(request: ApiRequest, query: Annotated[FileList, Query()]) -> Json:
    """List files in the order asked for, newest first by default."""
    expand, settings, files = (
        request.expand(query.expand, EXPANDABLE),
        request.settings,
        request.project.files,
    )
    longest, ids = settings.max_page_size_of_files, {*query.file_ids}
    if query.page_size is None:
        query.page_size = min(DEFAULT_PAGE, longest)

    def keep(file: StoredFile) -> bool:
        return (
            query.file_name in {None, file.name}
            and query.external_file_id in {None, file.external_file_id}
            and (not ids or file.id in ids)
        )

    def show(file: StoredFile) -> Json:
        return _file_json(request, file, expand)

    if query.order_by == "created_at":
        return newest_page(files, query, settings, show, now=request.now, keep=keep, longest=longest)
    by = str(query.order_by)
    key = (lambda file: file.name) if by == "name" else (lambda file: file.id)
    return sorted_page(filter(keep, files), query, settings, show, key=key, longest=longest)


@api.route("GET", "/{file_id}", FileResponse)
def get_file(request: ApiRequest, file_id: str, expand: Annotated[list[str], Query()] = []) -> Json:  # noqa: B006 - FastAPI copies it
    """Show a file."""
    return _file_json(request, request.stored_file(file_id), request.expand(expand, EXPANDABLE))


@api.route("GET", "/{file_id}/content", PresignedUrl)
def get_content(
    request: ApiRequest,
    file_id: str,
    expires_at_seconds: Annotated[int | None, Query(ge=0, le=MAX_EXPIRY)] = LIFETIME_SECONDS,
) -> Json:
    """Return a download address."""
    seconds = LIFETIME_SECONDS if expires_at_seconds is None else expires_at_seconds
    return presigned(request, FILE, request.stored_file(file_id).id, seconds)


@api.route("DELETE", "/{file_id}", status=204)
def delete_file(request: ApiRequest, file_id: str) -> None:
    """Delete a file; directories that hold it keep it."""
    request.project.files.remove(request.stored_file(file_id).id)


def _file_json(request: ApiRequest, file: StoredFile, expand: frozenset[str] = frozenset()) -> Json:
    return {
        "id": file.id,
        "name": file.name,
        "project_id": request.project.id,
        "external_file_id": file.external_file_id,
        "file_type": PurePosixPath(file.name).suffix.removeprefix(".") or None,
        "purpose": file.purpose,
        "expires_at": None,
        "last_modified_at": iso(file.created_at),
        "download_url": presigned(request, FILE, file.id) if expand else None,
    }
