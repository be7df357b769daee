"""Who may ask for what: the key, the project it belongs to, rates, sizes. Checked before a body is read."""

import json
import re
from collections import deque
from urllib.parse import parse_qs

from fastapi import HTTPException
from fastapi.routing import APIRoute
from starlette.formparsers import MultiPartException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_llamabatch.emulator.settings import Settings
from airflow_provider_llamabatch.emulator.state.service import EmulatorState, Project

NO_KEY = "Invalid API key. Check that the key belongs to the region of this host"
TOO_LARGE = "The request body is too large"
CUT_OFF = "The client went away"
NO_HOST = "Invalid host header"
HOST = re.compile(rb"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")
"""A name or an address, and perhaps a port: addresses in answers are made of it."""
FORM_SLACK = 64 * 1024
"""What a form may add to the file in it."""
MAX_JSON_BYTES = 10 * 1024 * 1024
"""What is no form is read in one go, while everybody else waits."""


class RouteTable:
    """Finds the route of a request by its path alone."""

    def __init__(self, routes: list[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, APIRoute)]
        self._patterns: dict[str, re.Pattern[str]] = {}
        for method in {method for route in self._routes for method in route.methods}:
            parts = [
                f"(?P<r{index}>{re.sub(r'{[^}]+}', '[^/]+', route.path)})"
                for index, route in enumerate(self._routes)
                if method in route.methods
            ]
            self._patterns[method] = re.compile("|".join(parts))

    def find(self, method: str, path: str) -> APIRoute | None:
        """Return the route of a request."""
        pattern = self._patterns.get(method)
        match = pattern.fullmatch(path) if pattern is not None else None
        return self._routes[int(str(match.lastgroup)[1:])] if match else None

    def methods(self, path: str) -> list[str]:
        """Return the methods that a path answers."""
        return sorted(method for method in self._patterns if self.find(method, path) is not None)


class Guard:
    """Stands before the application: only what is allowed gets through, with its project."""

    def __init__(self, app: ASGIApp, service: EmulatorState, routes: RouteTable) -> None:
        self._app = app
        self._service = service
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        service, settings = self._service, self._service.settings
        scope["state"]["service"] = service
        route = self._routes.find(scope["method"], scope["path"])
        try:
            _check_host(scope)
            if route is not None and route.openapi_extra is not None:
                with service.lock:
                    project = project_of(service, scope)
                    _check_rate(service, project, settings)
                scope["state"]["project"] = project
            is_form = _header(scope, b"content-type").lower().startswith(b"multipart/form-data")
            most = settings.max_upload_bytes + FORM_SLACK if is_form else MAX_JSON_BYTES
            body = _Body(receive, send, _length(scope), most)
        except HTTPException as refused:
            await _refuse(send, refused, settings)
            return
        await self._app(scope, body.receive, body.send)


class _Body:
    """
    Passes a body on until it is too long, and then says so.

    Raises ``MultiPartException`` where a body does not go on: the one error for which every supported Starlette closes
    the files of a form.
    """

    def __init__(self, receive: Receive, send: Send, announced: int, most: int) -> None:
        if announced > most:
            raise HTTPException(413, TOO_LARGE)
        self._receive = receive
        self._send = send
        self._left = most
        self._is_whole = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise MultiPartException(TOO_LARGE)
        if message["type"] == "http.disconnect" and not self._is_whole:
            raise MultiPartException(CUT_OFF)
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._left >= 0:
            await self._send(message)
        elif message["type"] == "http.response.start":  # what came of it is said in another way
            await _refuse(self._send, HTTPException(413, TOO_LARGE), None)


def project_of(service: EmulatorState, scope: Scope) -> Project:
    """Return the project of the key. Raises HTTPException: 401, 403 for a project or organization of others."""
    scheme, _, key = _header(scope, b"authorization").decode("latin-1").partition(" ")
    project = service.keys.get(key.strip()) if scheme.lower() == "bearer" else None
    if project is None:
        raise no_key()
    if scope["query_string"]:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        for name, mine in (("project_id", project.id), ("organization_id", project.organization_id)):
            if any(value != mine for value in query.get(name, [])):
                kind = name.removesuffix("_id")
                raise HTTPException(403, f"You do not have access to {kind} {query[name][-1]}")
    return project


def no_key() -> HTTPException:
    """Refuse a key that opens no project."""
    return HTTPException(401, NO_KEY, {"WWW-Authenticate": "Bearer"})


def retry_after(settings: Settings, status: int) -> dict[str, str]:
    """Return the header that a 429 carries, where it is switched on."""
    seconds = settings.retry_after_seconds
    return {"retry-after": str(seconds)} if status == 429 and seconds is not None else {}


def _check_host(scope: Scope) -> None:
    if not all(HOST.fullmatch(value) for name, value in scope["headers"] if name == b"host"):
        raise HTTPException(400, NO_HOST)


def _check_rate(service: EmulatorState, project: Project, settings: Settings) -> None:
    most = settings.requests_per_minute
    if most is None:
        return
    times = service.limits.setdefault(project.organization_id, deque())
    while times and times[0] <= service.now - 60:
        times.popleft()
    if len(times) >= most:
        raise HTTPException(429, f"Rate limit exceeded: {most} requests per minute")
    times.append(service.now)


def _length(scope: Scope) -> int:
    given = _header(scope, b"content-length")
    return int(given) if given.isdigit() else 0


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


async def _refuse(send: Send, refused: HTTPException, settings: Settings | None) -> None:
    extra = {**(refused.headers or {}), **(retry_after(settings, refused.status_code) if settings else {})}
    body = json.dumps({"detail": refused.detail}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **extra}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status_code, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
