"""Fetches what is behind a presigned URL, piece by piece: a large result is never in memory as a whole."""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING

import httpx

from airflow_provider_llamabatch.defaults import (
    DOWNLOAD_BYTES_PER_SECOND,
    MAX_BYTES_ON_LOOP,
    MAX_DOWNLOAD_BYTES,
)
from airflow_provider_llamabatch.llamacloud.bodies import Body
from airflow_provider_llamabatch.llamacloud.errors import InvalidResponseError, NoResponseError
from airflow_provider_llamabatch.llamacloud.exchange import quiet
from airflow_provider_llamabatch.llamacloud.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def download(http: httpx.AsyncClient, url: str, file: IO[bytes], seconds: float) -> None:
    """
    Write the content behind ``url`` into a file. The API key is not sent along, and the URL, a secret, never named.

    It may take ``seconds``, and longer by what has come: so neither what stands still nor what drips holds a task.
    The file is not to be used again after a failure: a last piece may still be on its way into it.
    Raises ``NoResponseError`` where the content breaks off and ``InvalidResponseError`` where it is refused: another
    URL from the API may help against both.
    """
    with quiet(Redactor([url])):
        problem = await _write(http, url, file, seconds)
    if problem is not None:
        raise problem


async def _write(http: httpx.AsyncClient, url: str, file: IO[bytes], seconds: float) -> Exception | None:
    """Return the exception to raise: raised in here it would carry httpx's along, and so the URL."""
    ends_at = asyncio.get_running_loop().time() + seconds
    held = bytearray()

    def write_held() -> Awaitable[object]:
        """Write what has come on a thread: the disk may be slow."""
        data = bytes(held)
        held.clear()
        return asyncio.to_thread(file.write, data)

    try:
        async with asyncio.timeout_at(ends_at) as time_limit:

            def keep(piece: bytes) -> Awaitable[object] | None:
                nonlocal ends_at
                held.extend(piece)
                ends_at += len(piece) / DOWNLOAD_BYTES_PER_SECOND
                if not time_limit.expired():
                    time_limit.reschedule(ends_at)
                return write_held() if len(held) >= MAX_BYTES_ON_LOOP else None

            async with http.stream("GET", url, auth=None, headers={"Accept": "*/*"}) as response:
                status = response.status_code
                if status != 200:
                    return InvalidResponseError(f"a presigned URL was refused with status {status}")
                problem = await Body(MAX_DOWNLOAD_BYTES, response.headers).read(response.aiter_raw(), keep)
                await write_held()
    except TimeoutError:
        return NoResponseError("a download was too slow to go on with", reached_server=True)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
        return NoResponseError(f"a download broke off: {type(error).__name__}", reached_server=True)
    return None if problem is None else InvalidResponseError(f"a presigned URL gave {problem}")
