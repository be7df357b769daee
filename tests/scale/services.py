"""What a distributed Airflow stands on besides PostgreSQL: a Redis of one's own, and wires that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from tests.support.processes import ManagedProcess, ProcessFailedError, free_port

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 20.0
CHUNK = 64 * 1024
REQUEST_LINE_END = b" HTTP/1.1\r\n"


class Redis:
    """A Redis server on the loopback interface, as a context manager. What is queued in it outlives a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._password = folder, free_port(), secrets.token_urlsafe(12)
        program = shutil.which("redis-server")
        if program is None:
            raise ProcessFailedError("There is no redis-server on this machine: apt-get install redis-server")
        self.process = ManagedProcess(
            "redis", [program, str(folder / "redis.conf")], os.environ, folder / "redis.log"
        )

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        configuration = self._folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {self._port}\ndir {self._folder}\nrequirepass {self._password}\nappendonly yes\n",
            encoding="utf-8",
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What Celery calls the broker's URL."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, and return when it listens."""
        self.process.start()
        give_up = time.monotonic() + START_SECONDS
        while not _listens(self._port):
            if time.monotonic() > give_up or self.process.exit_code is not None:
                self.stop()
                raise self.process.failure("does not come up")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once."""
        self.process.kill()


class Wire:
    """
    A way to a port of the loopback interface that counts HTTP requests and can be cut: a context manager.

    While it is cut nothing gets through and nobody is told, as when a cable is pulled: connections stay open, new ones
    hang. What was under way arrives when the wire is mended, if anybody still waits for it.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self.requests = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._whole = asyncio.Event()
        self._whole.set()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._whole.set)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            with contextlib.closing(far_writer):
                there = asyncio.ensure_future(self._pump(reader, far_writer, counts=True))
                back = asyncio.ensure_future(self._pump(far_reader, writer))
                try:
                    await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in (there, back):
                        task.cancel()
                    await asyncio.gather(there, back, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool = False
    ) -> None:
        end_of_last = b""
        while chunk := await reader.read(CHUNK):
            await self._whole.wait()
            if counts:
                self.requests += (end_of_last + chunk).count(REQUEST_LINE_END)
                end_of_last = chunk[1 - len(REQUEST_LINE_END) :]
            writer.write(chunk)
            await writer.drain()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
