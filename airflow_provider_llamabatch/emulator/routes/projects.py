"""``/api/v1/projects`` and ``/api/v2/projects``: the projects of the key's organization."""

from typing import Annotated, Any

from fastapi import Query

from airflow_provider_llamabatch.emulator.errors import not_found
from airflow_provider_llamabatch.emulator.models.requests import ProjectList
from airflow_provider_llamabatch.emulator.models.responses import Page, ProjectResponse
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest
from airflow_provider_llamabatch.emulator.routes.paging import page_size
from airflow_provider_llamabatch.emulator.state.service import Project

Json = dict[str, Any]

api = Api("/api", "Projects")


@api.route("GET", "/v1/projects", list[ProjectResponse])
def list_projects_v1(request: ApiRequest, project_name: str | None = None) -> list[Json]:
    """List projects as a bare array."""
    return _projects(request, project_name)


@api.route("GET", "/v2/projects", Page[ProjectResponse])
def list_projects_v2(request: ApiRequest, query: Annotated[ProjectList, Query()]) -> Json:
    """List projects in one page: a key sees only its own."""
    page_size(query.page_size, request.settings, None)
    return {"items": _projects(request, query.name), "next_page_token": None, "total_size": None}


@api.route("GET", "/v1/projects/{project_id}", ProjectResponse)
def get_project_v1(request: ApiRequest, project_id: str) -> Json:
    """Show a project."""
    return _project(request, project_id)


@api.route("GET", "/v2/projects/{project_id}", ProjectResponse)
def get_project_v2(request: ApiRequest, project_id: str) -> Json:
    """Show a project."""
    return _project(request, project_id)


def _project(request: ApiRequest, id_: str) -> Json:
    if id_ != request.project.id:
        raise not_found("Project", id_)
    return _project_json(request.project)


def _projects(request: ApiRequest, wanted: str | None) -> list[Json]:
    project = request.project
    return [_project_json(project)] if wanted in {None, project.name} else []


def _project_json(project: Project) -> Json:
    return {
        "id": project.id,
        "name": project.name,
        "organization_id": project.organization_id,
        "is_default": project.is_default,
        "created_at": None,
        "updated_at": None,
    }
