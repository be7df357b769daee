"""Directories: ``/api/v1/beta/directories``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, checked_id, given, scoped

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRECTORIES = "/api/v1/beta/directories"


def directory_path(directory_id: str) -> str:
    """Return the path of one directory."""
    return f"{_DIRECTORIES}/{checked_id('directory_id', directory_id)}"


def create_directory(
    *,
    name: str,
    type: str | None = None,
    description: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Directory]:
    """Create a directory: ``user`` (kept) or ``ephemeral`` (cleaned up by the service)."""
    body = given(name=name, type=type, description=description)
    query = scoped(project_id, organization_id)
    return Call("POST", _DIRECTORIES, models.Directory, query, body=body, repeatable=False)


def list_directories(
    *,
    name: str | None = None,
    type: str | None = None,
    types: Sequence[str] | None = None,
    include_deleted: bool | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Page[models.Directory]]:
    """List directories."""
    query = scoped(
        project_id,
        organization_id,
        include_deleted=include_deleted,
        name=name,
        page_size=page_size,
        type=type,
        types=types,
    )
    return Call("GET", _DIRECTORIES, models.Page[models.Directory], query)


def get_directory(
    directory_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.Directory]:
    """Get one directory."""
    query = scoped(project_id, organization_id)
    return Call("GET", directory_path(directory_id), models.Directory, query, expected_id=directory_id)


def update_directory(
    directory_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Directory]:
    """Change the name or the description of a directory."""
    return Call(
        "PATCH",
        directory_path(directory_id),
        models.Directory,
        scoped(project_id, organization_id),
        body=given(name=name, description=description),
        expected_id=directory_id,
    )


def delete_directory(
    directory_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[None]:
    """Delete a directory for good."""
    return Call("DELETE", directory_path(directory_id), None, scoped(project_id, organization_id))
