"""
Sends calls: one synchronous and one asynchronous driver over the same rules. The only importer of httpx.

Redirects are never followed (the key would go along), answers are bounded in size, TLS is verified by
default with one context per process, and httpx's INFO line is left out for these requests only.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import tenacity

from airflow_provider_llamabatch import __version__
from airflow_provider_llamabatch.llamacloud.errors import (
    InvalidInputError,
    InvalidResponseError,
    NoResponseError,
    decipher,
)
from airflow_provider_llamabatch.llamacloud.retries import RetryPolicy, retrying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings

T = TypeVar("T")

MOST_ANSWER_BYTES = 64 * 1024 * 1024
LONGEST_CONNECT_SECONDS = 10.0
MOST_CONNECTIONS = 4  # httpx's pool looks at every connection for every request: few is fast
KEEPALIVE_SECONDS = 300.0  # longer than the gap between two looks, so that a wait keeps its one connection

USER_AGENT = f"airflow-provider-llamabatch/{__version__} python-httpx/{httpx.__version__}"

_ours: ContextVar[bool] = ContextVar("llamabatch_request", default=False)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


logging.getLogger("httpx").addFilter(_NotOurs())


class Client:
    """Sends calls and blocks until the answer is there. Use as a context manager, or ``close`` it."""

    def __init__(self, settings: ClientSettings, policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self._wire = _Wire(settings, policy)
        self._http = httpx.Client(**self._wire.client_arguments())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T], policy: RetryPolicy | None = None) -> T:
        """Return the answer's value; raises a ``LlamaCloudError``. ``policy`` replaces the client's own."""
        attempts = tenacity.Retrying(**retrying(policy or self._wire.policy, call))
        value: T = attempts(self._send_once, call)
        return value

    def _send_once(self, call: Call[T]) -> T:
        request = self._http.build_request(**self._wire.request_arguments(call))
        with self._wire.translated(call):
            response = self._http.send(request, stream=True)
            try:
                answer = _Body(call)
                for chunk in response.iter_bytes():
                    answer.add(chunk)
            finally:
                response.close()
        return self._wire.decipher(call, response, answer.body)


class AsyncClient:
    """The asynchronous twin of ``Client``, for an event loop that must never be blocked."""

    def __init__(self, settings: ClientSettings, policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self._wire = _Wire(settings, policy)
        self._http = httpx.AsyncClient(**self._wire.client_arguments())

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T], policy: RetryPolicy | None = None) -> T:
        """Return the answer's value; raises a ``LlamaCloudError``. ``policy`` replaces the client's own."""
        attempts = tenacity.AsyncRetrying(**retrying(policy or self._wire.policy, call))
        value: T = await attempts(self._send_once, call)
        return value

    async def _send_once(self, call: Call[T]) -> T:
        request = self._http.build_request(**self._wire.request_arguments(call))
        with self._wire.translated(call):
            response = await self._http.send(request, stream=True)
            try:
                answer = _Body(call)
                async for chunk in response.aiter_bytes():
                    answer.add(chunk)
            finally:
                await response.aclose()
        return self._wire.decipher(call, response, answer.body)


class _Wire:
    """What both drivers share: how a call becomes a request, and how trouble becomes an exception."""

    def __init__(self, settings: ClientSettings, policy: RetryPolicy | None) -> None:
        self._settings = settings
        self.policy = policy or RetryPolicy(max_attempts=settings.max_attempts)

    def client_arguments(self) -> dict[str, Any]:
        timeout, base_url = self._settings.timeout_seconds, _url(self._settings.base_url)
        return {
            "base_url": base_url,
            "headers": {"Authorization": f"Bearer {self._settings.api_key}", "User-Agent": USER_AGENT},
            "timeout": httpx.Timeout(timeout, connect=min(timeout, LONGEST_CONNECT_SECONDS)),
            "limits": httpx.Limits(
                max_connections=MOST_CONNECTIONS,
                max_keepalive_connections=MOST_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_SECONDS,
            ),
            # Plain http never makes a handshake, and httpx would load the CA bundle for it all the same.
            "verify": base_url.scheme == "https" and ssl_context(self._settings.verify),
            "follow_redirects": False,
        }

    def request_arguments(self, call: Call[Any]) -> dict[str, Any]:
        scoped = call.with_query(**{name: getattr(self._settings, name) for name in call.scope})
        arguments: dict[str, Any] = {"method": call.method, "url": call.path, "params": list(scoped.query)}
        if call.upload is not None:
            arguments["data"] = dict(call.upload.fields)
            arguments["files"] = {"upload_file": (call.upload.filename, call.upload.content)}
        elif call.body is not None:
            arguments["json"] = call.body
        return arguments

    @contextlib.contextmanager
    def translated(self, call: Call[Any]) -> Iterator[None]:
        """Turn httpx's exceptions into ours, without the request (and so the key) as their cause."""
        token = _ours.set(True)
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NoResponseError(
                f"{call} could not be sent to {self._settings.base_url}: {_reason(error)}",
                reached_server=False,
            ) from None
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise InvalidResponseError(f"{call}: {_reason(error)}") from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise NoResponseError(
                f"{call} to {self._settings.base_url} got no answer: {_reason(error)}", reached_server=True
            ) from None
        finally:
            _ours.reset(token)

    def decipher(self, call: Call[T], response: httpx.Response, body: bytes) -> T:
        secrets = (self._settings.api_key, *call.secrets)
        return decipher(call, response.status_code, response.headers, body, secrets)


class _Body:
    """An answer's body, gathered up to a bound."""

    def __init__(self, call: Call[Any]) -> None:
        self._call = call
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > MOST_ANSWER_BYTES:
            raise InvalidResponseError(
                f"{self._call} was answered with more than {MOST_ANSWER_BYTES} bytes; the rest was not read"
            )
        self._chunks.append(chunk)

    @property
    def body(self) -> bytes:
        return b"".join(self._chunks)


def _url(base_url: str) -> httpx.URL:
    try:
        return httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidInputError("connection host", f"{base_url!r:.200} is not a base URL: {error}") from None


@lru_cache(maxsize=8)
def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the process's TLS context for ``verify``: making one takes tens of milliseconds and 0.7 MB."""
    if isinstance(verify, str) and not Path(verify).exists():
        raise InvalidInputError("connection extra verify", f"there is no CA bundle at {verify!r}")
    return httpx.create_ssl_context(verify=verify if isinstance(verify, bool) else _bundle(verify))


def _bundle(path: str) -> ssl.SSLContext:
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInputError("connection extra verify", f"{path!r} is not a CA bundle: {error}") from None


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
