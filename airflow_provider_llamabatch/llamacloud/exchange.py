"""One request and its response over httpx, bounded as a whole: in time, in bytes as sent, in bytes decompressed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_llamabatch.defaults import MAX_ERROR_BYTES, MAX_HEAD_BYTES
from airflow_provider_llamabatch.llamacloud.bodies import Body
from airflow_provider_llamabatch.llamacloud.errors import (
    InvalidInputError,
    InvalidResponseError,
    LlamaCloudError,
    NoResponseError,
    ResponseTooLargeError,
)
from airflow_provider_llamabatch.llamacloud.responses import Response
from airflow_provider_llamabatch.llamacloud.uploads import FileBody, multipart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.redaction import Redactor

_UNREACHED = ". Check the connection's host (https unless it begins with http://), and whether this machine reaches it."
_ours: ContextVar[Redactor | None] = ContextVar("llamabatch_request", default=None)
_current: ContextVar[Exchange | None] = ContextVar("llamabatch_exchange", default=None)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NO_RESPONSE = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError, RuntimeError)


class _Quiet(logging.Filter):
    """Leaves httpx's line per request out, and redacts httpcore's, for requests of this package only."""

    def filter(self, record: logging.LogRecord) -> bool:
        redactor = _ours.get()
        if redactor is not None:
            if record.name == "httpx":
                return False
            record.msg, record.args = redactor.redact(record.getMessage()), ()
        return True


for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_Quiet())


@contextlib.contextmanager
def quiet(redactor: Redactor) -> Iterator[None]:
    """Keep what httpx logs about the requests in here out of the log, or redacted."""
    token = _ours.set(redactor)
    try:
        yield
    finally:
        _ours.reset(token)


def _count_reads(stream: Any) -> None:
    """Have a connection tell whichever exchange uses it how much it has read."""
    read = stream.read

    async def counted(*arguments: Any, **named: Any) -> bytes:
        data: bytes = await read(*arguments, **named)
        if (exchange := _current.get()) is not None:
            exchange.count(len(data))
        return data

    stream.read = counted


class Exchange:
    """One attempt at a call within ``seconds``. Nothing of httpx leaves it but what is redacted."""

    def __init__(self, http: httpx.AsyncClient, call: Call[Any], redactor: Redactor, seconds: float) -> None:
        self._http, self._call, self._redactor, self._seconds = http, call, redactor, seconds
        self._file: FileBody | None = None
        self._sent = False
        self._awaits_status, self._received = False, 0

    async def perform(self) -> Response | Exception:
        """Return the response, or the exception to raise: raised in here it would carry httpx's along."""
        token, exchange = _ours.set(self._redactor), _current.set(self)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._respond()
        except LlamaCloudError as error:
            return error
        except TimeoutError:
            problem = self._no_response(f"no complete response within {self._seconds:g} s")
        except _NEVER_SENT as error:
            problem = self._no_response(self._reason(error))
        except _NO_RESPONSE as error:
            problem = self._no_response(self._reason(error))
        finally:
            if self._file is not None:
                await self._file.close()
            _ours.reset(token)
            _current.reset(exchange)
        return problem if self._file is None or self._file.problem is None else self._file.problem

    async def _respond(self) -> Response:
        response = await self._http.send(self._request(), stream=True)
        try:
            return await self._receive(response)
        finally:
            await response.aclose()

    def _request(self) -> httpx.Request:
        call, arguments = self._call, dict[str, Any]()
        if call.upload is not None:
            arguments, self._file = multipart(call.upload)
        elif call.body is not None:
            arguments = {"json": call.body}
        try:
            request = self._http.build_request(call.method, call.path, params=list(call.query), **arguments)
        except (TypeError, ValueError, RecursionError, httpx.InvalidURL) as error:
            problem = self._reason(error)
        else:
            request.extensions["trace"] = self._trace
            if call.upload is not None and self._file is None:
                request.read()  # one piece to send: httpx makes a dozen of a form, each a write of its own
            return request
        raise InvalidInputError(str(call), f"an argument cannot be sent: {problem}")

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            # A CONNECT is for a proxy: until it has made a way to the server, nothing was sent there.
            self._sent = self._sent or info["request"].method != b"CONNECT"
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            _count_reads(info["return_value"])
        elif ".receive_response_headers." in event:
            self._awaits_status = event.endswith("started")

    def count(self, received: int) -> None:
        """Take in bytes that were read; there may be 1xx responses without end before the one that counts."""
        self._received += received if self._awaits_status else 0
        if self._received > MAX_HEAD_BYTES:
            said = f"{MAX_HEAD_BYTES} bytes without a status"
            if not self._sent:
                raise ValueError(f"a proxy answered with {said}")
            raise InvalidResponseError(f"{self._call} was answered with {said}")

    async def _receive(self, response: httpx.Response) -> Response:
        failed = response.status_code >= 400
        pieces: list[bytes] = []
        body = Body(MAX_ERROR_BYTES if failed else self._call.max_bytes, response.headers)
        problem = await body.read(response.aiter_raw(), pieces.append)
        if problem is not None and not failed:
            kind = ResponseTooLargeError if body.is_too_large else InvalidResponseError
            raise kind(f"{self._call} was answered with {problem}")
        return Response(response.status_code, response.headers, b"".join(pieces), complete=problem is None)

    def _no_response(self, reason: str) -> NoResponseError:
        where = f"{self._call} to {self._http.base_url}"
        said, advice = ("got no response", "") if self._sent else ("could not be sent", _UNREACHED)
        return NoResponseError(f"{where} {said}: {reason}{advice}", reached_server=self._sent)

    def _reason(self, error: Exception) -> str:
        text = self._redactor.show(str(error).strip(), 300)
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
