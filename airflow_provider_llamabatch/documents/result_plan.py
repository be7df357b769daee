"""
Under which path the results of each document are written: its own relative path, made safe and unique. Pure.

Safe: never outside the target, whatever the document is called; no character that a storage, a URL or a glob reads as
something else; no component longer than file systems take. Unique: also where upper and lower case are the same, and
where a folder is called like another document's result.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# What is written for each output, after the document's path with its own extension kept:
# ``a.pdf`` and ``a.docx`` are two documents.
SUFFIXES = {
    "markdown": ".md",
    "text": ".txt",
    "items": ".items.json",
    "records": ".json",
}
MANIFEST = "manifest.jsonl"
RECORDS = "records.jsonl"
RECORDS_PARQUET = "records.parquet"
STATE_FOLDER = ".llamabatch"  # checkpoints and upload records; nothing of a document is called like this
SAVES = f"{STATE_FOLDER}/saves"  # checkpoints, in a folder per save that goes on or was given up
KEPT = f"{SAVES}/kept.jsonl"  # results of documents that the manifest does not have now

_MAX_COMPONENT_BYTES = 200  # of the 255 that file systems take; the rest is for suffixes and temporary names
_MAX_PATH_BYTES = 900  # S3 takes 1,024 for the whole key, the target's own prefix included
_MANIFESTS = re.compile(r"(.*/)?manifest(-\d+)?\.jsonl", re.DOTALL)
_UNSAFE = re.compile(r'[\\#?*:|<>"\[\]{}%]')


@dataclass(slots=True)
class _Claims:
    """Paths that are taken, as a file system that ignores case sees them."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def claim(self, paths: Sequence[str]) -> bool:
        """Take paths, all or none; say whether they were free."""
        keys = [_key(path) for path in paths]
        for key in keys:
            if (
                key in self.files
                or key in self.folders
                or any(parent in self.files for parent in _parents(key))
            ):
                return False
        self.files.update(keys)
        self.folders.update(parent for key in keys for parent in _parents(key))
        return True


def plan_paths(documents: Iterable[str], outputs: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """
    Return for every document (its path in the source) the path of its results, without their suffixes.

    ``taken`` are paths that hold other results already. The plan is the same for the same documents in any order.
    """
    claims = _Claims()
    claims.claim([STATE_FOLDER])
    claims.claim([MANIFEST, RECORDS, RECORDS_PARQUET])
    for path in taken:
        claims.claim([path])
    suffixes = [SUFFIXES[output] for output in outputs]
    planned: dict[str, str] = {}
    for document in sorted(set(documents)):
        for candidate in _candidates(document):
            if claims.claim([candidate + suffix for suffix in suffixes]):
                planned[document] = candidate
                break
    return planned


def place_of(path: str, document: str) -> str | None:
    """Return the part of a result's path below its target; None where no result of the document is called so."""
    return next((place for place, _ in _results_called(path, document)), None)


def output_of(path: str, document: str) -> str | None:
    """Return which output of a document a result is; None where none of them is called so."""
    return next((output for _, output in _results_called(path, document)), None)


def numbered(name: str, map_index: int | None) -> str:
    """Return what a file of a whole save is called, such as the manifest; a mapped task has one per instance."""
    stem, dot, suffix = name.rpartition(".")
    return name if map_index is None or map_index < 0 else f"{stem}-{map_index}{dot}{suffix}"


def written_by_us(paths: Iterable[str]) -> set[str]:
    """Return which paths of a folder are bookkeeping: below ``.llamabatch``, and the manifests beside such a folder."""
    listed = list(paths)
    kept = {path for path in listed if f"/{STATE_FOLDER}/" in f"/{path}"}
    folders = {f"/{path}".partition(f"/{STATE_FOLDER}/")[0] for path in kept}
    return kept | {
        path for path in listed if _MANIFESTS.fullmatch(path) and f"/{path}".rpartition("/")[0] in folders
    }


def safe_path(document: str) -> str:
    """Return a document's path without anything that leads elsewhere or is read as something else."""
    parts = [_safe_component(part) for part in document.split("/") if part not in {"", "."}]
    return "/".join(parts) or "_"


def _results_called(path: str, document: str) -> Iterator[tuple[str, str]]:
    """Give place and output of the results of a document that end like this path, the longest place first."""
    for candidate in reversed(list(_candidates(document))):  # the longer ones end like the first
        for output, suffix in SUFFIXES.items():
            if f"/{path}".endswith(f"/{candidate}{suffix}"):
                yield candidate + suffix, output


def _candidates(document: str) -> Iterator[str]:
    digest = hashlib.sha256(document.encode(errors="surrogateescape")).hexdigest()
    path = safe_path(document)
    if len(path.encode()) > _MAX_PATH_BYTES:
        path = f"{digest[:16]}/{path.rpartition('/')[2]}"
    yield path
    folder, _, name = path.rpartition("/")
    marked = _marked(name, digest)
    yield f"{folder}/{marked}" if folder else marked
    yield f"{digest[:32]}/{name}"  # for a document below a folder that is called like a result
    yield f"{digest}/{name}"


def _safe_component(part: str) -> str:
    text = unicodedata.normalize("NFC", part.encode(errors="surrogateescape").decode(errors="replace"))
    text = "".join("_" if unicodedata.category(character) == "Cc" else character for character in text)
    text = _UNSAFE.sub("_", text)
    if not text.strip(". "):  # "..", and names that Windows cannot keep
        text = "_" * len(text)
    if text[-1] in ". ":
        text = text[:-1] + "_"
    if len(text.encode()) > _MAX_COMPONENT_BYTES:
        text = _marked(text, hashlib.sha256(part.encode(errors="surrogateescape")).hexdigest())
    return text


def _marked(name: str, digest: str) -> str:
    """Return a name with eight characters of a digest before its extension, cut to the length that is allowed."""
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > 20:
        suffix = ""
    stem = name.removesuffix(suffix)
    mark = f"~{digest[:8]}{suffix}"
    room = _MAX_COMPONENT_BYTES - len(mark.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + mark


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def _parents(key: str) -> Iterator[str]:
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key
