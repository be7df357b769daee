"""``/api/v1/beta/directories``: create, list, get, change, delete."""

from typing import Annotated, Any

from fastapi import Query

from airflow_provider_llamabatch.emulator.errors import invalid
from airflow_provider_llamabatch.emulator.models.requests import (
    DirectoryChange,
    DirectoryCreate,
    DirectoryList,
)
from airflow_provider_llamabatch.emulator.models.responses import DirectoryResponse, Page
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, refuse_when
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state.clock import iso, iso_or_none
from airflow_provider_llamabatch.emulator.state.records import Directory

Json = dict[str, Any]

api = Api("/api/v1/beta/directories", "Directories")


@api.route("POST", "", DirectoryResponse, status=201, refusals=[409])
def create_directory(request: ApiRequest, body: DirectoryCreate) -> Json:
    """Create a directory; the server alone says when an ephemeral one expires."""
    service, settings, now = request.service, request.settings, request.now
    if body.expires_at is not None and settings.expires_at_in_create == "refuse":
        raise invalid("body", "expires_at", "Extra inputs are not permitted", body.expires_at)
    _check_subscription(request, body.connector_subscription_id)
    expires_at = now + settings.ephemeral_lifetime_seconds if body.type == "ephemeral" else None
    fields = body.model_dump(exclude={"expires_at"})
    directory = Directory(service.ids.new("dir"), service.order(), now, now, **fields, expires_at=expires_at)
    request.project.add_directory(directory)
    return _directory_json(request, directory)


@api.route("GET", "", Page[DirectoryResponse])
def list_directories(request: ApiRequest, query: Annotated[DirectoryList, Query()]) -> Json:
    """List directories, newest first."""
    types, now = {*query.types, *([query.type] if query.type else [])}, request.now

    def keep(directory: Directory) -> bool:
        return (
            (query.include_deleted or directory.is_live(now))
            and query.name in {None, directory.name}
            and (not types or directory.type in types)
        )

    def show(directory: Directory) -> Json:
        return _directory_json(request, directory)

    return newest_page(request.project.directories, query, request.settings, show, now=now, keep=keep)


@api.route("GET", "/{directory_id}", DirectoryResponse)
def get_directory(request: ApiRequest, directory_id: str) -> Json:
    """Show a directory."""
    return _directory_json(request, request.directory(directory_id))


@api.route("PATCH", "/{directory_id}", DirectoryResponse)
def change_directory(request: ApiRequest, directory_id: str, body: DirectoryChange) -> Json:
    """Change the name or the description."""
    directory = request.directory(directory_id)
    directory.name = body.name or directory.name
    if "description" in body.model_fields_set:
        directory.description = body.description
    directory.updated_at = request.now
    return _directory_json(request, directory)


@api.route("DELETE", "/{directory_id}", status=204)
def delete_directory(request: ApiRequest, directory_id: str) -> None:
    """Delete a directory and its files; batches made from it and their jobs stay."""
    directory = request.directory(directory_id)
    directory.deleted_at = request.now
    for file in request.project.live_files(directory.id):
        file.deleted_at = request.now


def _check_subscription(request: ApiRequest, subscription_id: str | None) -> None:
    if subscription_id is None:
        return
    for directory in request.project.directories:
        taken = directory.connector_subscription_id == subscription_id and directory.is_live(request.now)
        message = "A directory already exists for this subscription"
        refuse_when(taken, 409, {"message": message, "directory_id": directory.id})


def _directory_json(request: ApiRequest, directory: Directory) -> Json:
    return {
        "id": directory.id,
        "name": directory.name,
        "project_id": request.project.id,
        "type": directory.type,
        "description": directory.description,
        "connector_subscription_id": directory.connector_subscription_id,
        "system_metadata": directory.system_metadata,
        "expires_at": iso_or_none(directory.expires_at),
        "deleted_at": iso_or_none(directory.deleted_at),
        "created_at": iso(directory.created_at),
        "updated_at": iso(directory.updated_at),
    }
