"""The application: pages, static files, and the headers that keep hostile text from becoming code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.staticfiles import StaticFiles

from airflow_provider_llamabatch.ui import rendering
from airflow_provider_llamabatch.ui.reading import Readers
from airflow_provider_llamabatch.ui.routes import actions, batch, batches, directories, overview
from airflow_provider_llamabatch.ui.runs import RunsReader

if TYPE_CHECKING:
    from collections.abc import MutableMapping

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"form-action 'self'; frame-ancestors 'self'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # without any, the browser would send forms with the origin `null`
)

_WORDS = {
    401: "Log in to Airflow first.",
    403: "Your rights in Airflow do not go so far. Batches are shown to users who may read their connection.",
    404: "There is nothing here.",
    405: "This address takes no such request.",
}


class SafeHeaders:
    """Adds the headers to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self.app(scope, receive, sending)


def application() -> FastAPI:
    """Return a new application."""
    app = FastAPI(title="LlamaCloud batches", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.readers, app.state.runs = Readers(), RunsReader()
    for routes in (batches, batch, directories, overview, actions):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=rendering.HERE / "static"), name="static")
    app.add_middleware(SafeHeaders)
    app.add_exception_handler(StarletteHTTPException, refused)
    return app


async def refused(request: Request, error: Exception) -> HTMLResponse:
    """Say in words why a request was refused."""
    assert isinstance(error, HTTPException | StarletteHTTPException)
    usual = _WORDS.get(error.status_code, "This did not work.")
    # What Airflow's guards say is for programs; what the routes of the page say begins like a sentence and ends as one.
    said = error.detail if isinstance(error.detail, str) and error.detail.endswith(".") else ""
    return rendering.page(request, "refused.html", status=error.status_code, words=said or usual)
