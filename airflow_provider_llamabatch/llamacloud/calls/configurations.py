"""Saved product configurations: ``/api/v1/beta/configurations``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, checked_id, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONFIGURATIONS = "/api/v1/beta/configurations"
_PRESET = re.compile("cfg-[A-Z][A-Z0-9_]*")


def create_configuration(
    *,
    name: str,
    parameters: Mapping[str, Any],
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Configuration]:
    """
    Save a configuration under a name; one of the same name and product type is replaced, so sending it twice is fine.

    ``parameters`` holds ``product_type`` (``parse_v2``, ``extract_v2``) and the product's options.
    """
    query, body = scoped(project_id, organization_id), {"name": name, "parameters": dict(parameters)}
    return Call("POST", _CONFIGURATIONS, models.Configuration, query, body=body)


def list_configurations(
    *,
    name: str | None = None,
    product_type: str | Sequence[str] | None = None,
    latest_only: bool | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Page[models.Configuration]]:
    """List saved configurations."""
    query = scoped(
        project_id,
        organization_id,
        latest_only=latest_only,
        name=name,
        page_size=page_size,
        product_type=product_type,
    )
    return Call("GET", _CONFIGURATIONS, models.Page[models.Configuration], query)


def is_preset(configuration_id: str) -> bool:
    """Say whether an id looks like a built-in preset's, of which ``cfg-PARSE_AGENTIC`` is the one that is known."""
    return _PRESET.fullmatch(configuration_id) is not None


def get_configuration(
    configuration_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.Configuration]:
    """Get one saved configuration; whether a built-in preset comes back under its own id is not documented."""
    query = scoped(project_id, organization_id)
    return Call("GET", _configuration_path(configuration_id), models.Configuration, query)


def delete_configuration(
    configuration_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[None]:
    """Delete a saved configuration."""
    query = scoped(project_id, organization_id)
    return Call("DELETE", _configuration_path(configuration_id), None, query)


def _configuration_path(configuration_id: str) -> str:
    return f"{_CONFIGURATIONS}/{checked_id('configuration_id', configuration_id)}"
