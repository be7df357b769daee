"""Sends files piece by piece, so that a large one is never in memory, and read on a thread, so that no loop waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx

from airflow_provider_llamabatch.defaults import UPLOAD_CHUNK_BYTES
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_llamabatch.llamacloud.call import Upload


class FileChangedError(InvalidInputError):
    """A file is longer or shorter than it was said to be before it was sent."""


class FileBody:
    """A multipart body around a file that is opened when it is sent; ``problem`` is what went wrong with the file."""

    def __init__(self, head: bytes, open_file: Callable[[], BinaryIO], size: int, tail: bytes) -> None:
        self._head, self._open, self._size, self._tail = head, open_file, size, tail
        self._file: BinaryIO | None = None
        self.problem: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        try:
            async for chunk in self._chunks():
                yield chunk
        except Exception as error:
            self.problem = error
            raise
        yield self._tail

    async def _chunks(self) -> AsyncIterator[bytes]:
        left = self._size
        self._file = await asyncio.to_thread(self._open)
        while left >= 0 and (chunk := await asyncio.to_thread(self._file.read, UPLOAD_CHUNK_BYTES)):
            left -= len(chunk)
            if left >= 0:
                yield chunk
        if left:
            raise FileChangedError("file", f"is not {self._size} bytes long, as was said: did it change?")

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            await asyncio.to_thread(self._file.close)


def multipart(upload: Upload) -> tuple[dict[str, Any], FileBody | None]:
    """Return an upload as arguments of httpx's ``build_request``, and the file behind them."""
    named = (
        (upload.filename, b"") if upload.content_type is None else (upload.filename, b"", upload.content_type)
    )
    if isinstance(upload.content, bytes):
        file = (named[0], upload.content, *named[2:])
        return {"data": dict(upload.fields), "files": {"upload_file": file}}, None
    # httpx writes the form around an empty file; the file goes in before the closing boundary.
    form = httpx.Request("POST", "http://form", data=dict(upload.fields), files={"upload_file": named})
    content_type = form.headers["Content-Type"]
    tail = f"\r\n--{content_type.partition('boundary=')[2]}--\r\n".encode()
    body = FileBody(form.read().removesuffix(tail), upload.content, upload.size, tail)
    length = int(form.headers["Content-Length"]) + upload.size
    return {"content": body, "headers": {"Content-Type": content_type, "Content-Length": str(length)}}, body
