"""A plain HTTP server that writes down what it is asked and answers as it is told. It knows nothing of LlamaCloud."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType


@dataclass(frozen=True)
class Part:
    """One part of a multipart form."""

    name: str
    filename: str | None
    content_type: str | None
    value: bytes


@dataclass(frozen=True)
class Asked:
    """What a request says, whatever its order: the query and the form's parts are multisets."""

    method: str
    path: str
    query: Counter[tuple[str, str]]
    authorization: str | None
    content_type: str | None  # of what is sent, None when nothing is
    body: Any  # JSON value, Counter of parts, or None


class Recorder:
    """
    Serves on a free loopback port until its context ends.

    ``answer`` makes the JSON value of each answer from the request (None: 204 without a body); ``asked`` holds the
    requests in the order in which they came. With ``tls`` it speaks HTTPS.
    """

    def __init__(self, answer: Callable[[Asked], Any], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self._tls = tls

    def __enter__(self) -> Self:
        recorder = self

        class Handler(_Handler):
            def respond(self, asked: Asked) -> Any:
                recorder.asked.append(asked)
                return recorder.answer(asked)

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def take(self) -> list[Asked]:
        """Return the requests so far and forget them."""
        taken, self.asked = self.asked, []
        return taken


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that broke off, as one does that does not trust the certificate."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def respond(self, asked: Asked) -> Any:
        raise NotImplementedError

    def do_GET(self) -> None:
        answer = self.respond(self._read())
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(200 if body else 204)
        self.send_header("Content-Type", "application/json")
        if body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET  # noqa: N815 - the base class looks for these names

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def _read(self) -> Asked:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content_type = self.headers.get("Content-Type") if raw else None
        return Asked(
            self.command,
            url.path,
            Counter(parse_qsl(url.query, keep_blank_values=True)),
            self.headers.get("Authorization"),
            content_type.partition(";")[0] if content_type else None,
            _body(content_type, raw),
        )


def _body(content_type: str | None, raw: bytes) -> Any:
    if content_type is None:
        return None
    if not content_type.startswith("multipart/"):
        return json.loads(raw)
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw, policy=HTTP)
    return Counter(
        Part(
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            part.get("Content-Type"),
            cast("bytes", part.get_payload(decode=True)),
        )
        for part in form.iter_parts()
    )
