"""What all routes share: the request with its project, the lock around a handler, lookups that refuse."""

import functools
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_llamabatch.emulator.errors import (
    SERVER_ERROR,
    invalid,
    not_found,
    server_error_detail,
)
from airflow_provider_llamabatch.emulator.models.requests import parse_json
from airflow_provider_llamabatch.emulator.models.responses import Refused
from airflow_provider_llamabatch.emulator.routes.access import no_key
from airflow_provider_llamabatch.emulator.settings import Settings
from airflow_provider_llamabatch.emulator.state.extractions import Extractions
from airflow_provider_llamabatch.emulator.state.records import (
    Configuration,
    Directory,
    DirectoryFile,
    StoredFile,
)
from airflow_provider_llamabatch.emulator.state.service import EmulatorState, Project

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[..., Any]
Json = dict[str, Any]

CONTROL_PREFIX = "/_emulator/"
FIXED_SHAPES = frozenset({"items", "results", "job", "job_reference", "config"})
KEY_SCHEME = "HTTPBearer"
GUARDED = (400, 401, 403, 404, 413, 429)
"""How any operation that needs a key may refuse; 422 is where something can be invalid."""
OPEN = (400, 413)


class ApiRequest(Request):
    """A request that knows the service, and whose JSON is refused when it could not be sent back."""

    async def json(self) -> Any:
        """Read the body. Raises json.JSONDecodeError, which FastAPI turns into a 422."""
        body = await self.body()
        try:
            return parse_json(body)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None

    @property
    def service(self) -> EmulatorState:
        """The emulated service."""
        service: EmulatorState = self.scope["state"]["service"]
        return service

    @property
    def project(self) -> Project:
        """The project of the key that was sent, 401 once a reset took it; on the control, the first project."""
        service = self.service
        sent: Project | None = self.scope["state"].get("project")
        found = service.keys[service.default_key] if sent is None else service.projects.get(sent.id)
        if found is None:
            raise no_key()
        return found

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.service.settings

    @property
    def now(self) -> float:
        """The emulator's time."""
        return self.service.now

    def extractions(self, parameters: Json) -> Extractions:
        """Return what was extracted for this request with these parameters, and makes what was not."""
        kept: Extractions | None = self.scope["state"].get("extractions")
        if kept is None or kept.parameters != parameters:
            kept = self.scope["state"]["extractions"] = Extractions(self.service, parameters)
        return kept

    def directory(self, id_: str) -> Directory:
        """Return a directory that exists and has not expired."""
        found = self.project.directories.get(id_)
        return sure(found if found is not None and found.is_live(self.now) else None, "Directory", id_)

    def directory_file(self, directory_id: str, id_: str) -> DirectoryFile:
        """Return a file of a directory."""
        directory = self.directory(directory_id)
        found = self.project.directory_files[directory.id].get(id_)
        return sure(found if found is not None and found.deleted_at is None else None, "File", id_)

    def stored_file(self, id_: str) -> StoredFile:
        """Return a file of the files API."""
        return sure(self.project.files.get(id_), "File", id_)

    def configuration(self, id_: str) -> Configuration:
        """Return a saved configuration or a preset."""
        return sure(self.project.configurations.get(id_), "Configuration", id_)

    def expand(self, asked: Iterable[str], known: Iterable[str]) -> frozenset[str]:
        """Return what is to be expanded; refuse (422) names that are none."""
        unknown = sorted({*asked} - {*known})
        if unknown:
            raise invalid("query", "expand", f"Input should be one of {', '.join(sorted(known))}", unknown[0])
        return frozenset(asked)


class ApiRoute(APIRoute):
    """Hands the handlers an ``ApiRequest``."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with its request wrapped."""
        handle = super().get_route_handler()
        needs_key = self.openapi_extra is not None

        async def with_api_request(request: Request) -> Response:
            if needs_key and "project" not in request.scope["state"]:
                raise HTTPException(404, "Not Found")  # what the guard does not know gets nowhere
            try:
                return await handle(ApiRequest(request.scope, request.receive))
            except (StarletteHTTPException, RequestValidationError):
                raise
            except Exception:
                log.exception("The emulator failed on %s %s", request.method, request.url.path)
                detail = server_error_detail(request.scope["state"]["service"].ids)
                raise HTTPException(SERVER_ERROR, detail) from None

        return with_api_request


class Api:
    """A table of routes. Handlers are plain functions that return JSON values; they run with the lock held."""

    def __init__(self, prefix: str, *tags: str, needs_key: bool = True) -> None:
        self.router = APIRouter(prefix=prefix, tags=list(tags), route_class=ApiRoute)
        self._needs_key = needs_key

    def route(
        self,
        method: str,
        path: str,
        model: Any = None,
        *,
        status: int = 200,
        needs_key: bool = True,
        refusals: Iterable[int] = (),
        media_type: str | None = None,
        prepare: Handler | None = None,
    ) -> Callable[[Handler], Handler]:
        """
        Register a handler.

        ``model`` is what the document says about the answer; it costs nothing per request. ``refusals`` are the
        statuses of this operation beyond those that any may answer, ``media_type`` is that of an answer that is no
        JSON. ``prepare`` gets what the handler gets and runs before it in a thread, without the lock: what takes
        seconds belongs there.
        """
        guarded = needs_key and self._needs_key
        responses: dict[int | str, Json] = {
            code: {"model": Refused} for code in sorted({*(GUARDED if guarded else OPEN), *refusals})
        }
        if media_type is not None:
            responses[status] = {"description": "The content", "content": {media_type: {}}}
            responses[206] = {"description": "Parts of it, where a Range asks for them"}
            for code in (400, 416):  # a Range that is none is refused in plain text
                responses[code] = {"model": Refused, "content": {"text/plain": {}}}

        def register(handler: Handler) -> Handler:
            self.router.add_api_route(
                path,
                _locked(handler, status, prepare) if not _is_async(handler) else handler,
                methods=[method],
                status_code=status,
                response_model=model,
                response_class=Response if media_type is not None else JSONResponse,
                responses=responses,
                openapi_extra={"security": [{KEY_SCHEME: []}]} if guarded else None,
                summary=(handler.__doc__ or "").partition(".")[0],
            )
            return handler

        return register


def answer(request: ApiRequest, value: Any, status: int = 200) -> Response:
    """Make the response: a ready one as it is, nothing as an empty body, anything else as JSON."""
    if isinstance(value, Response):
        return value
    if value is None:
        return Response(status_code=status)
    if request.settings.extra_fields and not request.url.path.startswith(CONTROL_PREFIX):
        value = with_unknown_fields(value)
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def with_unknown_fields(value: Any) -> Any:
    """Add fields that no client knows yet to an answer and to the objects in it that have a fixed shape."""
    if isinstance(value, list):
        return [with_unknown_fields(one) for one in value]
    if not isinstance(value, dict):
        return value
    grown = {
        name: with_unknown_fields(part) if name in FIXED_SHAPES else part for name, part in value.items()
    }
    return {**grown, "field_of_tomorrow": {"nested": [1, None, "new"]}}


def sure(found: T | None, kind: str, id_: str) -> T:
    """Return what was looked up, or refuse (404)."""
    if found is None:
        raise not_found(kind, id_)
    return found


def refuse_when(wrong_state: bool, code: int, detail: Any) -> None:
    """Refuse what the state of a thing does not allow."""
    if wrong_state:
        raise HTTPException(code, detail)


def _locked(handler: Handler, status: int, prepare: Handler | None) -> Handler:
    @functools.wraps(handler)
    async def endpoint(request: ApiRequest, **arguments: Any) -> Response:
        if prepare is not None:
            await run_in_threadpool(prepare, request, **arguments)
        with request.service.lock:
            answered = answer(request, handler(request, **arguments), status)
            if request.method == "DELETE":
                request.service.delete_uploads()
            return answered

    return endpoint


def _is_async(handler: Handler) -> bool:
    return bool(handler.__code__.co_flags & 0x80)
