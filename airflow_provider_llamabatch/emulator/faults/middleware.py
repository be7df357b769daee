"""The outermost layer of the server: writes every request down and lets the faults happen."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.errors import SERVER_ERROR, server_error_detail
from airflow_provider_llamabatch.emulator.routes.access import retry_after
from airflow_provider_llamabatch.emulator.routes.base import CONTROL_PREFIX
from airflow_provider_llamabatch.emulator.settings import LATENCIES
from airflow_provider_llamabatch.emulator.state.journal import SeenRequest

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_provider_llamabatch.emulator.faults.rules import Fault, Kind
    from airflow_provider_llamabatch.emulator.routes.access import RouteTable
    from airflow_provider_llamabatch.emulator.state.service import EmulatorState

    Act = Callable[[Fault, Scope, Receive, Send], Awaitable[None]]


WITHOUT_BODY = frozenset({204, 304})
"""A client takes what follows their head for the beginning of the next answer."""


@dataclass
class HeldResponse:
    """An answer that has been held back."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        """Be the ``send`` of an application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    def with_body(self, body: bytes) -> HeldResponse:
        """Return the same answer with another body, where its status allows one."""
        headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        if self.status in WITHOUT_BODY:
            return HeldResponse(self.status, headers)
        return HeldResponse(self.status, [*headers, (b"content-length", str(len(body)).encode())], body)

    async def send_head(self, send: Send) -> None:
        """Send status and headers."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})

    async def send_body(self, send: Send) -> None:
        """Send the body."""
        await send({"type": "http.response.body", "body": self.body})


class FaultMiddleware:
    """Stands between the server and the emulated API; requests to the control API pass untouched."""

    def __init__(
        self, app: ASGIApp, service: EmulatorState, routes: RouteTable, stopping: threading.Event
    ) -> None:
        self._app = app
        self._service = service
        self._routes = routes
        self._stopping = stopping
        self._acts: dict[Kind, Act] = {
            "delay": self._delay,
            "stall": self._stall,
            "drop_before": self._drop_before,
            "drop_after": self._drop_after,
            "status": self._status,
            "html": self._html,
            "malformed": self._malformed,
            "missing_fields": self._missing_fields,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        self._service.under_way += 1
        try:
            await self._handle(scope, receive, send)
        finally:
            self._service.under_way -= 1

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault, seen = self._arrived(scope)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        if self._service.settings.latency != "none":
            await self._wait(self._service.ids.dice.uniform(*LATENCIES[self._service.settings.latency]))
        if fault is None:
            await self._app(scope, receive, noting)
        else:
            await self._misbehave(fault, scope, receive, noting)

    def _arrived(self, scope: Scope) -> tuple[Fault | None, SeenRequest]:
        method, path, service = scope["method"], scope["path"], self._service
        route = self._routes.find(method, path)
        with service.lock:
            rule = service.faults.pick(method, path)
            query = scope["query_string"].decode("latin-1")
            seen = SeenRequest(service.now, method, path, query, rule.fault.kind if rule else None)
            service.journal.note(seen, route.path if route is not None else "unknown")
        return (rule.fault if rule else None), seen

    async def _misbehave(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await self._acts[fault.kind](fault, scope, receive, send)

    async def _delay(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if not fault.commits:
            await self._wait(fault.seconds)
        response = await self._hold(scope, receive)
        if fault.commits:
            await self._wait(fault.seconds)
        await _send(response, send)

    async def _stall(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._hold(scope, receive)
        await response.send_head(send)
        await self._wait(fault.seconds)
        await response.send_body(send)

    async def _drop_before(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await _hang_up(scope, receive)

    async def _drop_after(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await self._hold(scope, receive)
        await _hang_up(scope, receive)

    async def _status(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.commits:
            await self._hold(scope, receive)
        status = fault.status or SERVER_ERROR
        body = json.dumps({"detail": fault.detail or self._default_detail(status)}).encode()
        await _send(self._made_up(fault, status, "application/json", body), send)

    async def _html(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.commits:
            await self._hold(scope, receive)
        await _send(self._made_up(fault, fault.status or 502, "text/html", fault.body.encode()), send)

    async def _malformed(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._hold(scope, receive)
        await _send(response.with_body(response.body[: len(response.body) // 2]), send)

    async def _missing_fields(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._hold(scope, receive)
        await _send(
            response.with_body(json.dumps(_without(_json(response.body), fault.fields)).encode()), send
        )

    async def _hold(self, scope: Scope, receive: Receive) -> HeldResponse:
        response = HeldResponse()
        await self._app(scope, receive, response.take)
        return response

    async def _wait(self, seconds: float) -> None:
        # In short steps, so that a delay never keeps the server from stopping. By the clock of a test that turns it.
        self._service.under_way -= 1
        self._service.held_back += 1
        try:
            end = time.time() + seconds
            while (left := end - time.time()) > 0 and not self._stopping.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(min(left, 0.02))
        finally:
            self._service.under_way += 1
            self._service.held_back -= 1

    def _made_up(self, fault: Fault, status: int, media_type: str, body: bytes) -> HeldResponse:
        headers = {"content-type": media_type, **fault.headers}
        headers = {**retry_after(self._service.settings, status), **headers}
        encoded = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        return HeldResponse(status, encoded).with_body(body)

    def _default_detail(self, status: int) -> str:
        return (
            server_error_detail(self._service.ids)
            if status >= SERVER_ERROR
            else f"Refused with status {status}"
        )


async def _send(response: HeldResponse, send: Send) -> None:
    await response.send_head(send)
    await response.send_body(send)


async def _hang_up(scope: Scope, receive: Receive) -> None:
    scope["state"]["transport"].close()
    # The server is content with a missing answer only once it knows that the connection is gone.
    while (await receive())["type"] != "http.disconnect":
        pass


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_without(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without(part, names) if name == "items" else part
        for name, part in value.items()
        if name not in names
    }


def _json(body: bytes) -> Any:
    return json.loads(body) if body else {}
