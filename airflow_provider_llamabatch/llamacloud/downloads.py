"""Fetches what is behind a presigned URL, piece by piece: a large result is never in memory as a whole."""

from __future__ import annotations

from typing import IO

import httpx

from airflow_provider_llamabatch.defaults import MAX_DOWNLOAD_BYTES
from airflow_provider_llamabatch.llamacloud.errors import InvalidResponseError, NoResponseError
from airflow_provider_llamabatch.llamacloud.exchange import quiet
from airflow_provider_llamabatch.llamacloud.redaction import Redactor


async def download(http: httpx.AsyncClient, url: str, file: IO[bytes]) -> None:
    """
    Write the content behind ``url`` into a file. The API key is not sent along, and the URL, a secret, never named.

    Raises ``NoResponseError`` where the content breaks off and ``InvalidResponseError`` where it is refused: another
    URL from the API may help against both.
    """
    with quiet(Redactor([url])):
        problem = await _write(http, url, file)
    if problem is not None:
        raise problem


async def _write(http: httpx.AsyncClient, url: str, file: IO[bytes]) -> Exception | None:
    """Return the exception to raise: raised in here it would carry httpx's along, and so the URL."""
    received = 0
    try:
        async with http.stream("GET", url, auth=None, headers={"Accept": "*/*"}) as response:
            if response.status_code != 200:
                return InvalidResponseError(f"a presigned URL was refused with status {response.status_code}")
            async for chunk in response.aiter_bytes():
                received += len(chunk)
                if received > MAX_DOWNLOAD_BYTES:
                    return InvalidResponseError(f"a presigned URL gave more than {MAX_DOWNLOAD_BYTES} bytes")
                file.write(chunk)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
        return NoResponseError(f"a download broke off: {type(error).__name__}", reached_server=True)
    return None
