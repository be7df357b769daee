"""The files of a directory: ``/api/v1/beta/directories/{directory_id}/files``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_llamabatch.defaults import MAX_BULK_DELETE
from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, Upload, checked_id, given, scoped
from airflow_provider_llamabatch.llamacloud.calls.directories import directory_path
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime


def upload_directory_file(
    directory_id: str,
    file: Path | str | bytes | Callable[[], BinaryIO],
    *,
    size: int | None = None,
    content_type: str | None = None,
    display_name: str | None = None,
    unique_id: str | None = None,
    external_file_id: str | None = None,
    metadata: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.DirectoryFile]:
    """
    Upload a file into a directory.

    ``file`` is a path, bytes, or a function that opens the file for reading, called once per attempt; then ``size``,
    in bytes, is needed, and with bytes or a function ``display_name`` names the file. What comes from a path or a
    function is read in pieces while it is sent. ``content_type`` is guessed from the name where it is None;
    ``metadata`` is a JSON object as a string. Not repeatable: what a second upload of a file does is not documented.
    Raises ``OSError`` for a path whose size cannot be looked up, and ``InvalidInputError``.
    """
    fields = given(
        display_name=display_name, external_file_id=external_file_id, metadata=metadata, unique_id=unique_id
    )
    path = f"{directory_path(directory_id)}/files/upload"
    upload = _upload(file, size, content_type, display_name, fields)
    query = scoped(project_id, organization_id)
    return Call("POST", path, models.DirectoryFile, query, upload=upload, repeatable=False)


def add_directory_file(
    directory_id: str,
    *,
    file_id: str,
    display_name: str | None = None,
    unique_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.DirectoryFile]:
    """Add a file that was uploaded before to a directory. Not repeatable, as an upload."""
    return Call(
        "POST",
        f"{directory_path(directory_id)}/files",
        models.DirectoryFile,
        scoped(project_id, organization_id),
        body=given(
            display_name=display_name,
            file_id=checked_id("file_id", file_id),
            metadata=metadata,
            unique_id=unique_id,
        ),
        repeatable=False,
    )


def list_directory_files(
    directory_id: str,
    *,
    display_name: str | None = None,
    display_name_contains: str | None = None,
    unique_id: str | None = None,
    file_id: str | None = None,
    include_deleted: bool | None = None,
    expand: Sequence[str] | None = None,
    updated_at_on_or_after: datetime | str | None = None,
    updated_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Page[models.DirectoryFile]]:
    """List the files of a directory; ``expand`` may hold ``download_url``."""
    query = scoped(
        project_id,
        organization_id,
        display_name=display_name,
        display_name_contains=display_name_contains,
        expand=expand,
        file_id=file_id,
        include_deleted=include_deleted,
        page_size=page_size,
        unique_id=unique_id,
        updated_at_on_or_after=updated_at_on_or_after,
        updated_at_on_or_before=updated_at_on_or_before,
    )
    return Call("GET", f"{directory_path(directory_id)}/files", models.Page[models.DirectoryFile], query)


def get_directory_file(
    directory_id: str,
    directory_file_id: str,
    *,
    expand: Sequence[str] | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.DirectoryFile]:
    """Get one file of a directory; ``expand`` may hold ``download_url``."""
    query = scoped(project_id, organization_id, expand=expand)
    path = _file_path(directory_id, directory_file_id)
    return Call("GET", path, models.DirectoryFile, query, expected_id=directory_file_id)


def update_directory_file(
    directory_id: str,
    directory_file_id: str,
    *,
    display_name: str | None = None,
    unique_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    target_directory_id: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.DirectoryFile]:
    """Change a file's names, replace its metadata, or move it to another directory."""
    if target_directory_id is not None:
        checked_id("target_directory_id", target_directory_id)
    return Call(
        "PATCH",
        _file_path(directory_id, directory_file_id),
        models.DirectoryFile,
        scoped(project_id, organization_id),
        body=given(
            display_name=display_name,
            metadata=metadata,
            target_directory_id=target_directory_id,
            unique_id=unique_id,
        ),
    )


def delete_directory_file(
    directory_id: str,
    directory_file_id: str,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[None]:
    """Delete one file of a directory."""
    path = _file_path(directory_id, directory_file_id)
    return Call("DELETE", path, None, scoped(project_id, organization_id))


def bulk_delete_directory_files(
    directory_id: str,
    *,
    directory_file_ids: Sequence[str],
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[None]:
    """Delete 1 to 100 files of a directory."""
    ids = [checked_id("directory_file_ids", value) for value in directory_file_ids]
    if not 1 <= len(ids) <= MAX_BULK_DELETE:
        raise InvalidInputError("directory_file_ids", f"must be 1 to {MAX_BULK_DELETE} ids, not {len(ids)}")
    path = f"{directory_path(directory_id)}/files/bulk-delete"
    return Call("POST", path, None, scoped(project_id, organization_id), body={"directory_file_ids": ids})


def _file_path(directory_id: str, directory_file_id: str) -> str:
    return f"{directory_path(directory_id)}/files/{checked_id('directory_file_id', directory_file_id)}"


def _upload(
    file: Path | str | bytes | Callable[[], BinaryIO],
    size: int | None,
    content_type: str | None,
    display_name: str | None,
    fields: dict[str, str],
) -> Upload:
    if isinstance(file, (str, Path)):
        path = Path(file)
        return Upload(path.name, partial(_open, path), path.stat().st_size, fields, content_type)
    if not display_name:
        raise InvalidInputError("display_name", "is needed when the file is not given as a path")
    if isinstance(file, bytes):
        return Upload(display_name, file, len(file), fields, content_type)
    if size is None:
        raise InvalidInputError("size", "is needed, in bytes, when the file is given as a function")
    return Upload(display_name, file, size, fields, content_type)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
