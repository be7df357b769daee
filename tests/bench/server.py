"""The fake server: one process, a port per world, HTTP/1.1 with keep-alive. Not the emulator, on purpose.

``python -m tests.bench.server`` prints its control address and serves until standard input closes. At the
control address a line of JSON opens a world, starts its clock or closes it; see `Server`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.bench.scenarios import Scenario
from tests.bench.world import Response, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

BACKLOG = 8192
HEAD_END = b"\r\n\r\n"


@dataclass
class Counts:
    """What reached one world: requests by kind, connections in all, at once and at most."""

    requests: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    open: int = 0
    peak: int = 0


@dataclass(frozen=True)
class Request:
    """The parts of a request the server reads."""

    method: str
    target: str
    body: bytes


def take_request(buffer: bytearray) -> Request | None:
    """Take the first whole request out of ``buffer``, or return None and leave it."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return None
    start_line, *headers = buffer[:end].decode("latin-1").split("\r\n")
    length = 0
    for header in headers:
        name, _, value = header.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    whole = end + len(HEAD_END) + length
    if len(buffer) < whole:
        return None
    body = bytes(buffer[whole - length : whole])
    del buffer[:whole]
    method, target, _ = start_line.split(" ")
    return Request(method, target, body)


def encoded(response: Response) -> bytes:
    """Return the bytes of an HTTP response with a JSON body."""
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(response.body)}\r\n\r\n"
    )
    return head.encode() + response.body


class Connection(asyncio.Protocol):
    """One connection: requests in, responses out ``latency`` seconds later."""

    def __init__(self, decide: Callable[[Request], Response], latency: float, counts: Counts) -> None:
        self._decide = decide
        self._latency = latency
        self._counts = counts
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._counts.connections += 1
        self._counts.open += 1
        self._counts.peak = max(self._counts.peak, self._counts.open)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._counts.open -= 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := take_request(self._buffer)) is not None:
            # the response is made when it leaves, so that it is as fresh as its sender could make it
            asyncio.get_running_loop().call_later(self._latency, self._send, request)

    def _send(self, request: Request) -> None:
        if self._transport is not None:
            self._transport.write(encoded(self._decide(request)))


@dataclass
class Stage:
    """A world, the port it is asked at and what was counted there."""

    scenario: Scenario
    world: World
    counts: Counts = field(default_factory=Counts)
    listener: asyncio.Server | None = None

    def decide(self, request: Request) -> Response:
        """Respond to a request and count it."""
        kind, response = self.world.respond(request.target, time.time())
        self.counts.requests[kind] = self.counts.requests.get(kind, 0) + 1
        return response


class Server:
    """Opens worlds: one line of JSON with ``do`` is the request, one line the response.

    | do      | with                                | response                                          |
    |---------|-------------------------------------|---------------------------------------------------|
    | `open`  | ``scenario``: a `Scenario` as JSON  | ``key``, ``url``: a port of its own               |
    | `start` | ``key``                             | ``waits``: the fields of each `Wait`              |
    | `close` | ``key``                             | ``requests``, ``connections``, ``open``, ``peak`` |
    """

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}
        self._keys = count(1)

    async def serve_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one control connection: one line in, one line out."""
        request: dict[str, Any] = json.loads(await reader.readline())
        actions: dict[str, Callable[..., Awaitable[dict[str, Any]]]]
        actions = {"open": self._open, "start": self._start, "close": self._close}
        writer.write(json.dumps(await actions[request.pop("do")](**request)).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def _open(self, scenario: dict[str, Any]) -> dict[str, Any]:
        key = str(next(self._keys))
        asked = Scenario(**scenario)
        stage = Stage(asked, World(asked, time.time()))
        stage.listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(stage.decide, asked.latency, stage.counts), "127.0.0.1", 0, backlog=BACKLOG
        )
        self._stages[key] = stage
        return {"key": key, "url": f"http://127.0.0.1:{stage.listener.sockets[0].getsockname()[1]}"}

    async def _start(self, key: str) -> dict[str, Any]:
        stage = self._stages[key]
        stage.world = World(stage.scenario, time.time())
        return {"waits": [astuple(wait) for wait in stage.world.waits]}

    async def _close(self, key: str) -> dict[str, Any]:
        stage = self._stages.pop(key)
        assert stage.listener is not None
        stage.listener.close()
        return asdict(stage.counts)


async def serve(server: Server) -> None:
    """Print the control address and serve until standard input closes."""
    control = await asyncio.start_server(server.serve_control, "127.0.0.1", 0)
    host, port = control.sockets[0].getsockname()[:2]
    sys.stdout.write(f"{host}:{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


def ask(control: str, **request: Any) -> dict[str, Any]:
    """Send one request to the control address of a running server and return its response."""
    host, _, port = control.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as line, line.makefile("rwb") as stream:
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        response: dict[str, Any] = json.loads(stream.readline())
    return response


@contextmanager
def running_server(module: str = "tests.bench.server") -> Iterator[str]:
    """Start the server as a process of its own, yield its control address, and end it."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(Server()))
