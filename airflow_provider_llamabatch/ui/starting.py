"""Starts a DAG run as the user: by Airflow's own API within the process, so with its rights, checks and audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_llamabatch.ui.access import Viewer

TOKEN_SECONDS = 60
EXISTS = 409


class RunRefusedError(Exception):
    """Airflow did not start the run; the message says why in Airflow's words."""


async def start_run(airflow: Any, viewer: Viewer, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
    """
    Start the run ``run_id`` of ``dag_id`` with this ``conf``, unless it was started before; raises ``RunRefusedError``.

    ``airflow`` is the ASGI application of the API server that this one is mounted in.
    """
    import httpx

    jwt = get_auth_manager().generate_jwt(viewer.user, expiration_time_in_seconds=TOKEN_SECONDS)
    transport = httpx.ASGITransport(app=airflow, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://airflow.invalid") as client:
        response = await client.post(
            f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns",
            json={"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)},
            headers={"Authorization": f"Bearer {jwt}"},
        )
    if response.is_success or response.status_code == EXISTS:
        return
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = "no reason was given"
    raise RunRefusedError(f"Airflow did not start a run of {dag_id} ({response.status_code}): {detail}")
