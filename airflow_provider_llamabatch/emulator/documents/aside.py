"""
Reading uploads in processes of their own.

A few kilobytes can unpack to gigabytes or never come to an end, and nothing within a process can stop a library that
works on them. A process can be ended: its document then fails. Small documents have a process of their own, so that
they do not wait for the others.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.emulator.documents import reading
from airflow_provider_llamabatch.emulator.documents.reading import Document, Found

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 120.0
MEMORY_BYTES = 4 * 1024**3
AT_ONCE = 2

_ROOM = threading.Semaphore(AT_ONCE)
_ROOM_FOR_SMALL = threading.Semaphore(1)
_IDLE: dict[int, list[subprocess.Popen[str]]] = {}
"""By the process that started them: a forked one has not, and must not talk to them as well."""


def read(name: str, path: Path, target: Path) -> Found:
    """Read an upload, write its pages, and return what is known without them. Plain text is read where it is asked."""
    if reading.is_plain(name, path):
        return reading.save(reading.read(name, path), target)
    with _ROOM_FOR_SMALL if reading.is_small(path) else _ROOM:
        found = _read(json.dumps([name, str(path), str(target)]))
    if found is None:
        error = f"DOCUMENT_TOO_LARGE: reading it takes more than {SECONDS:g} seconds or {MEMORY_BYTES} bytes of memory"
        return reading.save(Document(error=error), target)
    return found


def _read(task: str) -> Found | None:
    idle = _IDLE.setdefault(os.getpid(), [])
    reader = _alive(idle) or _started()
    assert reader.stdin is not None
    assert reader.stdout is not None
    ending = threading.Timer(SECONDS, reader.kill)
    ending.start()
    try:
        reader.stdin.write(f"{task}\n")
        reader.stdin.flush()
        answer = reader.stdout.readline()
    except BrokenPipeError:
        answer = ""
    finally:
        ending.cancel()
    if not answer:
        _end(reader)
        return None
    idle.append(reader)
    pages, failed, error = json.loads(answer)
    return Found(pages, tuple(failed), error)


def _alive(idle: list[subprocess.Popen[str]]) -> subprocess.Popen[str] | None:
    """Take a reader that waits for work; one that somebody else has ended meanwhile is left out."""
    while True:
        try:
            reader = idle.pop()
        except IndexError:  # two threads may look at once
            return None
        if reader.poll() is None:
            return reader
        _end(reader)


def _started() -> subprocess.Popen[str]:
    # By its path: by its name it would import the whole emulator first.
    command = [sys.executable, "-P", "-W", "ignore", reading.__file__, str(MEMORY_BYTES)]
    return subprocess.Popen(  # noqa: S603 - this package's own file
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread reserves memory
    )


def _end(reader: subprocess.Popen[str]) -> None:
    reader.kill()
    with (
        contextlib.suppress(BrokenPipeError),
        reader,
    ):  # what it was to read may still be in the pipe's buffer
        pass


@atexit.register
def end_all() -> None:
    """End the readers that wait for work; the next document starts another."""
    for reader in _IDLE.pop(os.getpid(), []):
        _end(reader)
