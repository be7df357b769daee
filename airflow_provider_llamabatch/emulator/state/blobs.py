"""Uploads on disk, and what was read from them. Memory holds only what is being looked at."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections import OrderedDict
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.emulator.documents import aside
from airflow_provider_llamabatch.emulator.documents.reading import Document, Found, Page

if TYPE_CHECKING:
    from typing import BinaryIO

CHUNK = 1024 * 1024
KEPT_DOCUMENTS = 64
KEPT_BYTES = 256 * 1024
"""A larger document is read from disk whenever it is needed."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload that has been read, in files of its own; what is kept of it goes by ``key``."""

    key: str
    path: Path
    found: Found


class Blobs:
    """
    Uploads by key; equal uploads share one.

    A key is the name of a file in a temporary folder, beside which lies what was read from it; the folder goes with
    this object. An upload is received, from any thread, beside what is kept: an equal one may be looked at meanwhile,
    and everything be cleared.
    """

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="llamacloud-emulator-"))
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        self._begin()

    def _begin(self) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=self._root))
        self._summaries: dict[str, Found] = {}
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def receive(self, name: str, content: BinaryIO) -> Arrival:
        """Read an upload."""
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._root, delete=False) as copy:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
                copy.write(chunk)
        suffix = PurePosixPath(name).suffix.lower()
        key = digest.hexdigest() + (suffix if suffix[1:].isalnum() and len(suffix) < 12 else "")
        path = Path(copy.name)
        found = self._read_before(key, _pages_of(path)) or aside.read(key, path, _pages_of(path))
        return Arrival(key, path, found)

    def keep(self, arrival: Arrival) -> str:
        """Keep an upload and return its key."""
        arrival.path.replace(self.path(arrival.key))
        _pages_of(arrival.path).replace(_pages_of(self.path(arrival.key)))
        _pages_of(arrival.path).unlink(missing_ok=True)  # a link to what is there is not moved
        self._summaries[arrival.key] = arrival.found
        return arrival.key

    def store(self, name: str, content: BinaryIO) -> str:
        """Read an upload, keep it and return its key."""
        return self.keep(self.receive(name, content))

    def _read_before(self, key: str, target: Path) -> Found | None:
        """Take over what was read from an equal upload, if there is one."""
        try:
            found = self._summaries[key]
            target.hardlink_to(_pages_of(self.path(key)))
        except (KeyError, OSError):  # cleared just now, or a file system without links
            return None
        return found

    def dump(self, key: str) -> tuple[bytes, bytes, str]:
        """Return the bytes of an upload, its pages and its summary, as ``load`` takes them."""
        path = self.path(key)
        return path.read_bytes(), _pages_of(path).read_bytes(), json.dumps(astuple(self.summary(key)))

    def load(self, key: str, content: bytes, pages: bytes, found: str) -> None:
        """Keep what ``dump`` returned."""
        self.path(key).write_bytes(content)
        _pages_of(self.path(key)).write_bytes(pages)
        count, failed, error = json.loads(found)
        self._summaries[key] = Found(count, tuple(failed), error)

    def path(self, key: str) -> Path:
        """Return where the bytes of an upload are."""
        return self._folder / key

    def keys(self) -> list[str]:
        """Return all keys."""
        return [*self._summaries]

    def __contains__(self, key: str) -> bool:
        return key in self._summaries

    def summary(self, key: str) -> Found:
        """Return what is known of an upload without looking into it."""
        return self._summaries[key]

    def document(self, key: str) -> Document:
        """Return what was read from an upload."""
        if key in self._documents:
            self._documents.move_to_end(key)
            return self._documents[key]
        path = _pages_of(self.path(key))
        error, pages = json.loads(path.read_text())
        document = Document(tuple(Page(*page) for page in pages), error)
        if path.stat().st_size <= KEPT_BYTES:
            self._documents[key] = document
            if len(self._documents) > KEPT_DOCUMENTS:
                self._documents.popitem(last=False)
        return document

    def keep_only(self, named: set[str]) -> None:
        """Delete the uploads that are not among these."""
        for key in self._summaries.keys() - named:
            del self._summaries[key]
            self._documents.pop(key, None)
            self.path(key).unlink()
            _pages_of(self.path(key)).unlink()

    def clear(self) -> None:
        """Delete everything."""
        before = self._folder
        self._begin()
        shutil.rmtree(before, ignore_errors=True)


def _pages_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.pages")
