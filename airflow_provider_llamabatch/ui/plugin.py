"""
The plugin that brings the page; every component of Airflow imports it, so nothing heavy is imported here.

The application is an ASGI callable that builds the FastAPI application at the first request: FastAPI and Airflow's
security module take more than a second and 20 MB, which scheduler, DAG processor and triggerer never need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_llamabatch.airflow_compat import has_views

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/llamabatch"
AIRFLOW = "llamabatch.airflow"  # in the scope: the application this one is mounted in


class Page:
    """The application, built when it is first asked for."""

    def __init__(self) -> None:
        self._application: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._application is None:
            import asyncio

            self._application = await asyncio.to_thread(_built)
        scope[AIRFLOW] = scope.get("app")
        await self._application(scope, receive, send)


class LlamaBatchPlugin(AirflowPlugin):
    """An entry in the navigation of Airflow 3.1 and newer; on older versions an empty plugin."""

    name = "llamabatch"
    fastapi_apps = (  # Airflow's own spelling
        [{"name": "LlamaCloud batches", "app": Page(), "url_prefix": PREFIX}] if has_views() else []
    )
    external_views = (
        [
            {
                "name": "LlamaCloud",
                "href": f"{PREFIX.strip('/')}/",  # relative: an absolute one breaks under a URL prefix
                "destination": "nav",
                "url_route": "llamabatch",
            }
        ]
        if has_views()
        else []
    )


def _built() -> Any:
    from airflow_provider_llamabatch.ui.application import application

    return application()
