"""The web application: all routes, and the one place where a handler meets HTTP."""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from airflow_provider_llamabatch.emulator import (
    downloads,
    routes_batches,
    routes_configurations,
    routes_control,
    routes_directories,
    routes_directory_files,
    routes_extract,
    routes_extract_schema,
    routes_files,
    routes_parse,
    routes_projects,
)
from airflow_provider_llamabatch.emulator.answers import (
    SERVER_ERROR,
    Answer,
    Refusal,
    server_error_detail,
    with_unknown_fields,
)
from airflow_provider_llamabatch.emulator.asking import Ask, Upload
from airflow_provider_llamabatch.emulator.middleware import CONTROL_PREFIX, TOO_MANY_REQUESTS, FaultMiddleware

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Scope

    from airflow_provider_llamabatch.emulator.world import World

    Handler = Callable[[World, Ask], Answer]
    Table = list[tuple[str, str, Handler]]

log = logging.getLogger(__name__)

# First match wins: what needs no key stands before the paths with ids that would swallow it.
OPEN: Table = [*routes_parse.OPEN_ROUTES, *routes_control.ROUTES, *downloads.ROUTES]
GUARDED: Table = [
    *routes_batches.ROUTES,
    *routes_directories.ROUTES,
    *routes_directory_files.ROUTES,
    *routes_files.ROUTES,
    *routes_parse.ROUTES,
    *routes_extract.ROUTES,
    *routes_extract_schema.ROUTES,
    *routes_configurations.ROUTES,
    *routes_projects.ROUTES,
]


def build(world: World, stopping: threading.Event) -> ASGIApp:
    """Return the application; ``stopping`` ends delays that are under way."""
    routes = [
        *(
            Route(path, _endpoint(world, handler, guarded=False), methods=[method])
            for method, path, handler in OPEN
        ),
        *(
            Route(path, _endpoint(world, handler, guarded=True), methods=[method])
            for method, path, handler in GUARDED
        ),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_routed})

    def route_of(scope: Scope) -> str:
        return next((route.path for route in routes if route.matches(scope)[0] is Match.FULL), "unknown")

    return FaultMiddleware(app, world, route_of, stopping)


def _endpoint(world: World, handler: Handler, *, guarded: bool) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            if guarded:
                _check_access(world, request)
            ask = await _ask(world, request)
            with world.lock:
                answer = handler(world, ask)
            return _response(world, request, answer)
        except Refusal as refusal:
            return _refused(world, refusal)
        except Exception:
            log.exception("The emulator failed on %s %s", request.method, request.url.path)
            return _refused(world, Refusal(SERVER_ERROR, server_error_detail()))

    return endpoint


def _check_access(world: World, request: Request) -> None:
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {world.api_key}".encode()):
        raise Refusal(401, "Invalid API key. Check that the key belongs to the region of this host")
    world.check_scope(request.query_params.get("project_id"), request.query_params.get("organization_id"))


async def _ask(world: World, request: Request) -> Ask:
    base_url = str(request.base_url).rstrip("/")
    ids = {name: str(value) for name, value in request.path_params.items()}
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return Ask(ids, request.query_params, await request.body(), base_url)
    fields: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    async with request.form() as form:
        for name, part in form.items():
            if isinstance(part, UploadFile):
                uploads[name] = await _upload(world, part)
            else:
                fields[name] = part
    return Ask(ids, request.query_params, b"", base_url, fields, uploads)


async def _upload(world: World, part: UploadFile) -> Upload:
    content, name = await part.read(), part.filename or ""
    # Reading a large PDF takes seconds: not on the loop, and not while holding the lock.
    blob = await run_in_threadpool(world.store.blob, name, content)
    return Upload(name, part.content_type, blob)


def _response(world: World, request: Request, answer: Answer) -> Response:
    if answer.raw is not None:
        return Response(answer.raw, answer.status, media_type=answer.media_type)
    if answer.body is None:
        return Response(status_code=answer.status)
    grown = world.settings.extra_fields and not request.url.path.startswith(CONTROL_PREFIX)
    return JSONResponse(with_unknown_fields(answer.body) if grown else answer.body, answer.status)


def _refused(world: World, refusal: Refusal) -> Response:
    retry_after = world.settings.retry_after_seconds
    headers = {}
    if refusal.status == TOO_MANY_REQUESTS and retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers)


async def _not_routed(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else SERVER_ERROR
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"detail": detail}, status)
