"""A gateway before a real service that answers for some batches as no service should, for as long as it is told to."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

DRIP_SECONDS = 0.5
FORWARDED = ("authorization", "content-type", "accept")


@dataclass(frozen=True)
class Answer:
    """Bytes as they are written to the socket; ``drip`` repeats some until the client is gone."""

    written: bytes
    drip: bytes = b""


def answer(status: int, body: bytes | str | Mapping[str, Any], headers: str = "") -> Answer:
    """Return an answer that is well formed at least as far as HTTP goes."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode("utf-8", errors="surrogatepass")
    head = f"HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return Answer(head.encode("latin-1") + body)


def bomb(megabytes: int) -> Answer:
    """Return an answer of a few kilobytes that unpacks to so much."""
    body = gzip.compress(gzip.compress(b"[" + b" " * (megabytes << 20) + b"]"))
    return answer(200, body, "Content-Encoding: gzip, gzip\r\n")


@dataclass
class HostileGateway:
    """
    Passes all on to ``service``, but answers for the batches in ``answers`` (by id) itself while ``is_hostile``.

    ``lists`` answers every list of batches meanwhile. ``served`` counts the answers by batch id. A context manager.
    """

    service: str
    lists: Answer
    answers: dict[str, Answer] = field(default_factory=dict)
    is_hostile: bool = True
    served: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gateway._serve(self)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.is_hostile = False
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        name = urlsplit(request.path).path.rpartition("/")[2]
        hostile = self.lists if name == "batches" else self.answers.get(name)
        request.close_connection = True
        if not self.is_hostile or hostile is None:
            request.wfile.write(self._passed_on(request))
            return
        self.served[name] += 1
        with contextlib.suppress(ConnectionError):  # whoever asked has had enough
            request.wfile.write(hostile.written)
            while hostile.drip and self.is_hostile:
                time.sleep(DRIP_SECONDS)
                request.wfile.write(hostile.drip)

    def _passed_on(self, request: BaseHTTPRequestHandler) -> bytes:
        connection = http.client.HTTPConnection(urlsplit(self.service).netloc, timeout=10)
        connection.request(
            "GET", request.path, headers={n: request.headers[n] for n in FORWARDED if n in request.headers}
        )
        response = connection.getresponse()
        body = response.read()
        connection.close()
        head = f"HTTP/1.1 {response.status} So\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body
