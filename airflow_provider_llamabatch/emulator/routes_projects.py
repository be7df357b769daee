"""``/api/v1/projects`` and ``/api/v2/projects``: the key's one project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from airflow_provider_llamabatch.emulator.answers import Answer, not_found
from airflow_provider_llamabatch.emulator.asking import Word
from airflow_provider_llamabatch.emulator.world import ORGANIZATION_ID, PROJECT_ID

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

NAME = "Default"


class ProjectList(BaseModel):
    """Query of a list; the two versions of the call name the filter differently."""

    project_name: Word = None
    name: Word = None


def list_projects_v1(_world: World, ask: Ask) -> Answer:
    """List projects as a bare array."""
    return Answer(_projects(ask))


def list_projects_v2(_world: World, ask: Ask) -> Answer:
    """List projects as the one page there is."""
    return Answer({"items": _projects(ask), "next_page_token": None, "total_size": None})


def get_project(world: World, ask: Ask) -> Answer:
    """Show a project."""
    project_id = ask.ids["project_id"]
    if project_id != PROJECT_ID and not world.settings.lenient_ids:
        raise not_found("Project", project_id)
    return Answer(_project_json(project_id))


def _projects(ask: Ask) -> list[dict[str, Any]]:
    asked = ask.query(ProjectList)
    wanted = asked.project_name or asked.name
    return [_project_json(PROJECT_ID)] if wanted in {None, NAME} else []


def _project_json(project_id: str) -> dict[str, Any]:
    return {
        "id": project_id,
        "name": NAME,
        "organization_id": ORGANIZATION_ID,
        "is_default": True,
        "created_at": None,
        "updated_at": None,
    }


ROUTES = [
    ("GET", "/api/v1/projects", list_projects_v1),
    ("GET", "/api/v1/projects/{project_id}", get_project),
    ("GET", "/api/v2/projects", list_projects_v2),
    ("GET", "/api/v2/projects/{project_id}", get_project),
]
