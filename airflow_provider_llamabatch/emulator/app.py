"""The web application: all routes, the document, and how errors are answered."""

from __future__ import annotations

import copy
import functools
import json
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from airflow_provider_llamabatch.emulator.faults.middleware import FaultMiddleware
from airflow_provider_llamabatch.emulator.routes import (
    batches,
    configurations,
    control,
    directories,
    directory_files,
    downloads,
    extract,
    files,
    parse,
    projects,
    webhook_configs,
)
from airflow_provider_llamabatch.emulator.routes.access import Guard, RouteTable, retry_after
from airflow_provider_llamabatch.emulator.routes.base import CONTROL_PREFIX, KEY_SCHEME

if TYPE_CHECKING:
    import threading

    from starlette.types import ASGIApp

    from airflow_provider_llamabatch.emulator.state.service import EmulatorState

RESOURCES = (
    batches,
    directory_files,
    directories,
    files,
    parse,
    extract,
    configurations,
    projects,
    webhook_configs,
    control,
    downloads,
)
DOCUMENT_PATH = f"{CONTROL_PREFIX}openapi.json"
SCOPE = [
    {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
    for name in ("project_id", "organization_id")
]


def build(service: EmulatorState, stopping: threading.Event) -> ASGIApp:
    """Return the application; ``stopping`` ends delays that are under way."""
    app = api()
    routes: RouteTable = app.state.routes
    return FaultMiddleware(Guard(app, service, routes), service, routes, stopping)


class _Documented(FastAPI):
    """An application whose document says how the key and the project are sent."""

    def openapi(self) -> dict[str, Any]:
        """Return the whole document, with the control."""
        if self.openapi_schema is None:
            found = super().openapi()
            found["components"]["securitySchemes"] = {KEY_SCHEME: {"type": "http", "scheme": "bearer"}}
            for operations in found["paths"].values():
                for operation in operations.values():
                    if "security" in operation:
                        _add_scope(operation)
        return super().openapi()


def _add_scope(operation: dict[str, Any]) -> None:
    named = {parameter["name"] for parameter in operation.get("parameters", [])}
    operation.setdefault("parameters", []).extend(one for one in SCOPE if one["name"] not in named)


@functools.cache  # a tenth of a second, which tests with an emulator of their own would pay each
def api() -> FastAPI:
    """Return the application without what stands before it; the emulators of a process share it."""
    app = _Documented(title="LlamaCloud emulator", version="2", openapi_url=DOCUMENT_PATH, docs_url=None)
    app.router.redirect_slashes = False
    for resource in RESOURCES:
        app.include_router(resource.api.router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    routes = (route for one in RESOURCES for route in one.api.router.routes)
    app.state.routes = RouteTable([*app.routes, *routes])
    return app


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the emulated API, without the control."""
    found = copy.deepcopy(api().openapi())
    for path in [path for path in found["paths"] if path.startswith(CONTROL_PREFIX)]:
        del found["paths"][path]
    return found


def _json(body: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {
        **(error.headers or {}),
        **retry_after(request.scope["state"]["service"].settings, error.status_code),
    }
    if error.status_code == 405:
        headers = {"allow": ", ".join(request.app.state.routes.methods(request.url.path))}
    return _json({"detail": error.detail}, error.status_code, headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        {"type": one["type"], "loc": [*one["loc"]], "msg": one["msg"], "input": _shown(one.get("input"))}
        for one in error.errors()
    ]
    return _json({"detail": problems}, 422)


def _shown(given: Any) -> Any:
    """Show what was given, if it can be shown."""
    try:
        json.dumps(given, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return str(given)[:200]
    return given
