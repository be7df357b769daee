"""The body of a response, decompressed piece by piece and up to a bound, whatever the server sends."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.defaults import MAX_BYTES_ON_LOOP, MAX_SMALL_CHUNKS, SMALL_CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping


CHUNKS_PER_TURN = 16  # of the event loop; what has arrived is given out without one


class Body:
    """A body of at most ``limit`` bytes, as sent and again decompressed, and not in too many small chunks."""

    def __init__(self, limit: int, headers: Mapping[str, str]) -> None:
        self._limit = limit
        self._received = self._size = self._chunks = self._small = 0
        self._problem: str | None = None
        self.is_too_large = False
        encoding = headers.get("content-encoding", "").strip().lower()
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding in ("gzip", "x-gzip") else None
        if self._decoder is None and encoding not in ("", "identity"):
            self._problem = "a content encoding that was not asked for"

    async def read(
        self, chunks: AsyncIterator[bytes], keep: Callable[[bytes], Awaitable[object] | None]
    ) -> str | None:
        """
        Give ``keep`` the content, a piece at a time; returns what is wrong with it, None where nothing is.

        Where ``keep`` returns something to wait for, it is waited for before the next piece.
        """
        if self._problem is None:
            async for chunk in chunks:
                self._count(chunk)
                if self._chunks % CHUNKS_PER_TURN == 0:
                    await asyncio.sleep(0)
                for piece in self._pieces(chunk):
                    if (kept := keep(piece)) is not None:
                        await kept
                    # More may come of this chunk: others have a turn before.
                    if len(piece) == MAX_BYTES_ON_LOOP:
                        await asyncio.sleep(0)
                if self._problem is not None:
                    break
        if self._problem is None and self._decoder and self._received and not self._decoder.eof:
            self._problem = "compressed data that breaks off"
        return self._problem

    def _count(self, chunk: bytes) -> None:
        """Refuse a body whose chunks cost more than what is in them."""
        self._chunks += 1
        self._small += len(chunk) < SMALL_CHUNK_BYTES
        if self._small > MAX_SMALL_CHUNKS:
            self._refuse(f"more than {MAX_SMALL_CHUNKS} chunks of a few bytes")

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Give what a chunk holds, as far as it is within the bound."""
        self._received += len(chunk)
        self._bound(self._received)
        for piece in (chunk,) if self._decoder is None else self._decompressed(chunk):
            self._size += len(piece)
            self._bound(self._size)
            if self._problem is not None:
                return
            yield piece

    def _decompressed(self, chunk: bytes) -> Iterator[bytes]:
        assert self._decoder is not None
        full = True
        while full and self._problem is None:
            try:
                piece = self._decoder.decompress(chunk, MAX_BYTES_ON_LOOP)
            except zlib.error:
                self._problem = "broken compression"
                return
            if self._decoder.unused_data:
                self._problem = "compressed data with something behind it"
                return
            yield piece
            # Where a piece is full the decoder may hold more, also when it has taken the whole chunk in.
            full, chunk = len(piece) == MAX_BYTES_ON_LOOP, self._decoder.unconsumed_tail

    def _bound(self, size: int) -> None:
        if size > self._limit:
            self._refuse(f"more than {self._limit} bytes")

    def _refuse(self, what: str) -> None:
        self._problem = f"{what}; the rest was not read"
        self.is_too_large = True
