"""
Sends calls: an asynchronous client, and a synchronous one that runs it on an event loop of its own.

Redirects are never followed (the key would go along), responses are bounded in size and in time, TLS is verified by
default with one context per process, and a proxy never gets to see what is meant for this machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
import weakref
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import lru_cache, partial
from http.cookiejar import CookieJar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx
import tenacity

from airflow_provider_llamabatch import __version__
from airflow_provider_llamabatch.defaults import (
    CONNECT_TIMEOUT,
    KEEPALIVE_SECONDS,
    MAX_BYTES_ON_LOOP,
    MAX_CONNECTIONS,
    UPLOAD_BYTES_PER_SECOND,
)
from airflow_provider_llamabatch.llamacloud.background import BackgroundLoop
from airflow_provider_llamabatch.llamacloud.downloads import download
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, NoResponseError
from airflow_provider_llamabatch.llamacloud.exchange import Exchange
from airflow_provider_llamabatch.llamacloud.redaction import Redactor
from airflow_provider_llamabatch.llamacloud.responses import Response, decipher
from airflow_provider_llamabatch.llamacloud.retries import RetryPolicy, retrying
from airflow_provider_llamabatch.llamacloud.settings import is_loopback
from airflow_provider_llamabatch.polling.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.redaction import ApiKey
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings

T = TypeVar("T")

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
USER_AGENT = f"airflow-provider-llamabatch/{__version__} python-httpx/{httpx.__version__}"


class AsyncClient:
    """
    Sends calls without blocking the event loop. Use as a context manager, or ``close`` it.

    One attempt takes at most the settings' ``timeout_seconds`` as a whole (a file gets longer, by its size). Where the
    settings limit the requests per minute each attempt waits for its turn, ``gap`` seconds after the one before. The
    first one waits as well: so processes that follow each other keep the limit together.
    """

    def __init__(
        self,
        settings: ClientSettings,
        policy: RetryPolicy | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.settings = settings
        self.gap = 60.0 / settings.requests_per_minute if settings.requests_per_minute else 0.0
        self._pace = Pace(self.gap, time.monotonic() + self.gap)
        self._policy = policy or RetryPolicy(max_attempts=settings.max_attempts)
        self._redactor = Redactor(settings.secrets)
        self._http = _http_client(_client_arguments(settings, max_connections))
        # One at a time: reading holds the interpreter, and threads would pass it to each other past the event loop.
        self._thread = asyncio.Lock()
        self.last_date: str | None = None  # the header ``Date`` of the last response: the service's own clock

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(
        self, call: Call[T], policy: RetryPolicy | None = None, *, within: float | None = None
    ) -> T:
        """
        Return the response's value; raises a ``LlamaCloudError``.

        ``policy`` replaces the client's own. ``within``: seconds for the call as a whole, retries and pauses included,
        but not an attempt's wait for its turn: with a few requests per minute that alone may be longer.
        """
        deadline = None if within is None else time.monotonic() + within
        scoped = call.with_query(**{name: getattr(self.settings, name) for name in call.scope})
        policy = policy or self._policy
        attempts = tenacity.AsyncRetrying(**retrying(policy, call, within=within), sleep=asyncio.sleep)
        value: T = await attempts(self._attempt, scoped, deadline, policy.takes_turns)
        return value

    async def download(self, url: str, file: IO[bytes]) -> None:
        """Write the content behind a presigned URL into a file, without sending the API key along."""
        await download(self._http, url, file, self.settings.timeout_seconds)

    async def _attempt(self, call: Call[T], deadline: float | None, takes_turns: bool) -> T:
        now = time.monotonic()
        if takes_turns and (turn := self._pace.take(now)) > now:
            await asyncio.sleep(turn - now)
            deadline = None if deadline is None else deadline + (turn - now)
        redactor = Redactor([*self.settings.secrets, *call.secrets]) if call.secrets else self._redactor
        result = await Exchange(self._http, call, redactor, self._seconds_for(call, deadline)).perform()
        if isinstance(result, Exception):
            raise result
        self.last_date = result.headers.get("date")
        read = partial(_read, call, result, redactor, self._redactor)
        if len(result.body) > MAX_BYTES_ON_LOOP:
            async with self._thread:
                return await asyncio.to_thread(read)
        return read()

    def _seconds_for(self, call: Call[Any], deadline: float | None) -> float:
        """Return the seconds that one attempt may take."""
        seconds = self.settings.timeout_seconds
        if call.upload is not None:
            seconds += call.upload.size / UPLOAD_BYTES_PER_SECOND
        left = seconds if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise NoResponseError(f"{call} was not sent: its time was over before", reached_server=False)
        return min(seconds, left)


class Client:
    """Sends calls and blocks until the response is there. Use as a context manager, or ``close`` it."""

    def __init__(self, settings: ClientSettings, policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self._policy = policy
        self._start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last_date(self) -> str | None:
        """Return the header ``Date`` of the last response."""
        return self._client.last_date

    def close(self) -> None:
        """Close the connections; what is under way ends with a ``NoResponseError``."""
        self._finalizer()

    def send(self, call: Call[T], policy: RetryPolicy | None = None, *, within: float | None = None) -> T:
        """Return the response's value, as ``AsyncClient.send`` does. May be called from a signal handler."""
        if not self._loop.is_usable:
            self._start()
        try:
            return self._loop.run(self._client.send(call, policy, within=within))
        except CancelledError:
            pass
        raise NoResponseError(f"{call}: the client was closed while it was sent", reached_server=True)

    def _start(self) -> None:
        self._client = AsyncClient(self.settings, self._policy)
        self._loop = BackgroundLoop(self._client.close)
        self._finalizer = weakref.finalize(self, self._loop.close)


def _read(call: Call[T], response: Response, redactor: Redactor, own: Redactor) -> T:
    """Return what a response carries, without the connection's ``own`` secrets."""
    return decipher(call, replace(response, body=own.blank(response.body)), redactor)


class _Bearer(httpx.Auth):
    """Writes the API key into the request's header; the one place where it is unwrapped."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


class _NoCookies(CookieJar):
    """Keeps no cookie and reads none: the API has no use for them, and parsing a hostile one takes seconds."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Pass over what a response sets."""


def _http_client(arguments: dict[str, Any]) -> httpx.AsyncClient:
    """Return httpx's client. It reads the environment's proxies, and what it raises for them may show a password."""
    try:
        if arguments["trust_env"]:
            _check_ports()
        return httpx.AsyncClient(**arguments)
    except (ImportError, ValueError, httpx.InvalidURL):
        shown = _shown_proxies()
    raise InvalidInputError(
        f"environment variables {shown}",
        "they must name proxies such as http://proxy.example.com:3128, and NO_PROXY hosts; correct or unset them, or "
        "set the connection's extra proxy",
    )


def _check_ports() -> None:
    """Raise ``ValueError`` for a port of the environment's proxies that there is not: httpx takes any number."""
    for name, proxy in getproxies().items():
        if name in ("http", "https", "all"):
            _ = urlsplit(proxy if "://" in proxy else f"//{proxy}").port


def _shown_proxies() -> str:
    given = {name: value for name, value in os.environ.items() if name.upper() in PROXY_VARIABLES}
    return ", ".join(f"{name}={re.sub('//.*@', '//***@', value)!r:.200}" for name, value in given.items())


def _client_arguments(settings: ClientSettings, max_connections: int) -> dict[str, Any]:
    timeout, base_url = settings.timeout_seconds, _url(settings.base_url)
    return {
        "base_url": base_url,
        "auth": _Bearer(settings.api_key),
        "headers": {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"},
        "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
        "limits": httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        # Plain http never makes a handshake, and httpx would load the CA bundle for it all the same.
        "verify": base_url.scheme == "https" and ssl_context(settings.verify),
        "follow_redirects": False,
        "cookies": _NoCookies(),
        "proxy": None if is_loopback(base_url.host) else _proxy(settings),
        "trust_env": not is_loopback(base_url.host),  # the environment's proxies
    }


def _proxy(settings: ClientSettings) -> httpx.Proxy | None:
    if settings.proxy is None:
        return None
    try:
        url = httpx.URL(settings.proxy.get_secret_value())
    except (httpx.InvalidURL, ValueError):
        url = None
    if url is None:  # outside of the handler: what was caught may show the URL
        raise InvalidInputError("connection extra proxy", "is not the URL of a proxy")
    return httpx.Proxy(url, ssl_context=ssl_context(settings.verify) if url.scheme == "https" else None)


def _url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
        _ = url.host  # decoded only now
    except (httpx.InvalidURL, ValueError) as error:  # the latter of a name that is no IDNA
        raise InvalidInputError("connection host", f"{base_url!r:.200} is not a base URL: {error}") from None
    return url


@lru_cache(maxsize=8)
def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the process's TLS context for ``verify``: making one takes tens of milliseconds and 0.7 MB."""
    if isinstance(verify, str):
        return httpx.create_ssl_context(verify=_bundle(verify))
    try:
        return httpx.create_ssl_context(verify=verify)
    except OSError as error:
        path = os.environ.get("SSL_CERT_FILE")
        raise InvalidInputError(
            f"environment variable SSL_CERT_FILE={path!r:.200}",
            f"is not a CA bundle ({error.strerror or type(error).__name__}); correct or unset it, or set the "
            "connection's extra verify",
        ) from None


def _bundle(path: str) -> ssl.SSLContext:
    if not os.path.exists(path):  # noqa: PTH110  # Path's raises for a name that is too long
        raise InvalidInputError("connection extra verify", f"there is no CA bundle at {path!r:.200}")
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInputError(
            "connection extra verify", f"{path!r:.200} is not a CA bundle: {error!s:.200}"
        ) from None
