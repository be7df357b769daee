"""The emulator as a real HTTP server in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airflow_provider_llamabatch.emulator.app import build
from airflow_provider_llamabatch.emulator.control import Control
from airflow_provider_llamabatch.emulator.settings import Settings
from airflow_provider_llamabatch.emulator.state import persistence
from airflow_provider_llamabatch.emulator.state.service import EmulatorState
from airflow_provider_llamabatch.emulator.webhooks import Deliverer

if TYPE_CHECKING:
    from asyncio import Transport
    from contextlib import AbstractContextManager
    from types import TracebackType

DEMO_API_KEY = "llx-emulator"
START_SECONDS = 10
STOP_SECONDS = 10
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection: one that is closed as a request goes out loses that request."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's algorithm off only then; it costs 40 ms per answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class _Protocol(HttpToolsProtocol):
    """Shows the application the connection, so that a fault can close it, and refuses what is no HTTP as JSON."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does this only for sockets made with an explicit protocol; without it every answer takes 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"detail": msg}).encode()
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        )
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """Delivers webhooks, and ends every connection before its loop does, also one that came meanwhile."""

    deliverer: Deliverer

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        delivering = asyncio.create_task(self.deliverer.run())
        try:
            await super().serve(sockets)
        finally:
            delivering.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        while connections := list(self.server_state.connections):
            for connection in connections:
                connection.transport.abort()
            await asyncio.sleep(0)


# FastAPI silences warnings of pydantic while it builds its routes, which is only safe in one thread at a time.
_building = threading.Lock()


class LlamaCloudEmulator:
    """
    A LlamaCloud on a real socket, in this process.

    A context manager: ``with LlamaCloudEmulator() as emulator:`` serves until the block ends. ``url`` is the base URL
    for a client, ``api_key`` the key it has to send, ``control`` changes speeds and faults, moves the clock and tells
    what happened. Port 0 takes a free port. Raises OSError when the port is taken.

    From one ``seed`` ids, orders and everything left to chance come out the same in every run, from one
    ``start_time`` (seconds since the epoch) and a frozen clock the times as well. With a ``state_file`` what was
    there at the end of one run is there at the beginning of the next; it is written every few seconds as well, and
    OSError is raised while another emulator has it open.
    """

    def __init__(
        self,
        *,
        api_key: str = DEMO_API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: Settings | None = None,
        seed: int | None = None,
        start_time: float | None = None,
        state_file: Path | str | None = None,
    ) -> None:
        self._service = EmulatorState(settings or Settings(), api_key, seed, start_time)
        self._state_file = None if state_file is None else Path(state_file)
        self._address = (host, port)
        self._stopping = threading.Event()
        self.control = Control(self._service)

    @property
    def api_key(self) -> str:
        """The key that is accepted now."""
        return self._service.default_key

    @property
    def url(self) -> str:
        """The base URL, once the emulator serves."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def turned_time(self) -> AbstractContextManager[object]:
        """Return a block in which waits of this process are turned instead of waited for (see ``testing``)."""
        from airflow_provider_llamabatch.testing.turning import turned_time

        return turned_time(self._service)

    def __enter__(self) -> Self:
        """Start to serve; return when requests are answered."""
        with contextlib.ExitStack() as opened:
            if self._state_file is not None:
                opened.enter_context(persistence.StateFile(self._service, self._state_file))
            listener = _listen(*self._address)
            self._opened = opened.pop_all()
        with _building:
            self._server = _Server(self._config())
        self._server.deliverer = Deliverer(self._service)
        self._address = (self._address[0], listener.getsockname()[1])
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="llamacloud-emulator"
        )
        self._thread.daemon = True
        self._thread.start()
        self._wait_until_started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop to serve; return when the socket is closed."""
        self._stopping.set()
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._opened.close()

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            build(self._service, self._stopping),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            backlog=BACKLOG,
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=3,
        )

    def _wait_until_started(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the emulator did not start")
            time.sleep(0.005)
