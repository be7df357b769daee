"""Projects: ``/api/v1/projects``."""

from __future__ import annotations

from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, scoped

_PROJECTS = "/api/v1/projects"


def list_projects(
    *, project_name: str | None = None, organization_id: str | None = None
) -> Call[models.Projects]:
    """List the projects that the key sees (not paged)."""
    query = scoped(None, organization_id, project_name=project_name)
    return Call("GET", _PROJECTS, models.Projects, query, scope=("organization_id",))
