"""Fetches what is behind a presigned URL, piece by piece: a large result is never in memory as a whole."""

from __future__ import annotations

import asyncio
from typing import IO

import httpx

from airflow_provider_llamabatch.defaults import DOWNLOAD_BYTES_PER_SECOND, MAX_DOWNLOAD_BYTES
from airflow_provider_llamabatch.llamacloud.bodies import Body
from airflow_provider_llamabatch.llamacloud.errors import InvalidResponseError, NoResponseError
from airflow_provider_llamabatch.llamacloud.exchange import quiet
from airflow_provider_llamabatch.llamacloud.redaction import Redactor


async def download(http: httpx.AsyncClient, url: str, file: IO[bytes], seconds: float) -> None:
    """
    Write the content behind ``url`` into a file. The API key is not sent along, and the URL, a secret, never named.

    It may take ``seconds``, and longer by what has come: so neither what stands still nor what drips holds a task.
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
    try:
        async with asyncio.timeout_at(ends_at) as time_limit:

            def keep(piece: bytes) -> None:
                nonlocal ends_at
                file.write(piece)
                ends_at += len(piece) / DOWNLOAD_BYTES_PER_SECOND
                if not time_limit.expired():
                    time_limit.reschedule(ends_at)

            async with http.stream("GET", url, auth=None, headers={"Accept": "*/*"}) as response:
                status = response.status_code
                if status != 200:
                    return InvalidResponseError(f"a presigned URL was refused with status {status}")
                problem = await Body(MAX_DOWNLOAD_BYTES, response.headers).read(response.aiter_raw(), keep)
    except TimeoutError:
        return NoResponseError("a download was too slow to go on with", reached_server=True)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
        return NoResponseError(f"a download broke off: {type(error).__name__}", reached_server=True)
    return None if problem is None else InvalidResponseError(f"a presigned URL gave {problem}")
