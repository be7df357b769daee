"""
Which files of a source go into which directory, which are already there, which have to go. Pure.

A file is told apart by its path in the source and by the SHA-256 of its content. Both are in the ``unique_id`` of the
uploaded file, so that an upload whose answer was lost can be looked for, and in its metadata, where results find the
way back to the source.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from os import PathLike
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.defaults import MAX_FILE_BYTES
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_llamabatch.llamacloud.models import DirectoryFile

NO_TEXT = ("", "None")  # what a template gives where there is nothing
SOURCE_PATH = "source_path"
SOURCE_SHA256 = "source_sha256"
SOURCE_VERSION = "source_version"

MAX_DISPLAY_NAME_CHARACTERS = 200
MAX_EXTENSION_CHARACTERS = 20  # with its dot; what is longer is a part of the name
EVERYTHING = "**/*"  # the pattern where none is given
_GLOB = re.compile(r"[*?\[]")
_OUR_ID = re.compile(r"([0-9a-f]{32})-[0-9a-f]{32}(?:-\w+)?\Z")

# What LlamaParse documents as readable; the extension is how LlamaCloud tells the type.
_EXTENSIONS = """
.pdf .doc .docx .docm .dot .dotx .dotm .rtf .odt .ott .pages .wpd .wps .hwp .abw .cgm .cwk .key .lwp .mcw .mw .zabw
.ppt .pptx .pptm .pot .potx .potm .odp .otp .xls .xlsx .xlsm .xlsb .xlw .xlr .ods .ots .fods .numbers .csv .tsv .dif
.sylk .slk .prn .dbf .et .qpw .wk1 .wk2 .wk3 .wk4 .wks .123 .wq1 .wq2 .wb1 .wb2 .wb3 .eth .uos1 .uos2 .uof .uop .uot
.sxw .stw .sxg .sxi .sti .sxd .std .vor .602 .pbd .sda .sdd .sdp .sdw .sgl .epub .eml .msg .web
.txt .text .md .markdown .rst .tex .log .html .htm .xhtml .xml .json .jsonl .yaml .yml
.jpg .jpeg .png .gif .bmp .svg .tiff .tif .webp .heic .mp3 .mp4 .mpeg .mpga .m4a .wav .webm
"""
SUPPORTED_EXTENSIONS = frozenset(_EXTENSIONS.split())


@dataclass(frozen=True, slots=True)
class SourceFile:
    """
    A file of the source. ``path`` is relative to the source, with ``/``; ``size`` is in bytes.

    ``version`` is what the storage itself says of the content (an ETag); None where nothing of it can be trusted.
    ``problem`` is why it is nothing that can be read, where its storage knows already.
    """

    path: str
    size: int
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not sent, and why, with what to do."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """A file that a directory already holds. ``key`` stands for its path in the source; None if it came otherwise."""

    id: str
    directory_id: str
    unique_id: str
    key: str | None
    sha256: str | None
    version: str | None


@dataclass(slots=True)
class Assignment:
    """
    Where each file goes: ``places`` maps a path to the index of a directory (those that exist come first).

    ``count`` is how many directories there are in all, ``gone`` what the source no longer has.
    """

    places: dict[str, int] = field(default_factory=dict)
    count: int = 0
    gone: list[Held] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one file: keep what is there (``keep``) or upload; then delete ``outdated``."""

    keep: Held | None
    outdated: tuple[Held, ...] = ()


def preflight(
    files: Iterable[SourceFile], extensions: frozenset[str] = SUPPORTED_EXTENSIONS
) -> tuple[list[SourceFile], list[Refused]]:
    """Split files into those that can be sent and those that LlamaCloud would refuse, both sorted by path."""
    accepted: list[SourceFile] = []
    refused: list[Refused] = []
    for file in sorted(files, key=lambda file: file.path):
        reason = _reason_against(file, extensions)
        if reason is None:
            accepted.append(file)
        else:
            refused.append(Refused(file.path, reason))
    return accepted, refused


def held_from(file: DirectoryFile, directory_id: str) -> Held:
    """Return what a directory's file says of itself."""
    metadata = file.metadata or {}
    ours = _OUR_ID.match(file.unique_id or "")
    return Held(
        id=file.id,
        directory_id=directory_id,
        unique_id=file.unique_id or "",
        key=ours[1] if ours else None,
        sha256=metadata.get(SOURCE_SHA256),
        version=metadata.get(SOURCE_VERSION),
    )


def assign(
    files: Sequence[SourceFile],
    directories: Sequence[Sequence[Held]],
    *,
    max_files: int,
    mirror: bool,
    stay: Iterable[str] = (),
) -> Assignment:
    """
    Give every file a directory: the one that already holds its path, else the first with room, else a new one.

    ``directories`` is what each existing directory holds. With ``mirror`` what the source no longer has is ``gone``
    and makes room; files that say nothing of a source were put there by somebody else and stay. So do those whose path
    is to ``stay``.
    """
    staying = {path_key(path) for path in stay}
    wanted = {path_key(file.path): file.path for file in files}
    assignment = Assignment(count=len(directories))
    used: Counter[int] = Counter()
    for index, content in enumerate(directories):
        paths: set[str] = set()
        for held in content:
            path = wanted.get(held.key or "")
            if path is None and not (mirror and held.key and held.key not in staying):
                used[index] += 1
            elif path is not None and assignment.places.setdefault(path, index) == index:
                paths.add(path)
            else:
                assignment.gone.append(
                    held
                )  # also the same path in a second directory: it would be paid for twice
        used[index] += len(paths)
    current = 0
    for file in sorted(files, key=lambda file: file.path):
        if file.path in assignment.places:
            continue
        while used[current] >= max_files:
            current += 1
        assignment.places[file.path] = current
        used[current] += 1
        assignment.count = max(assignment.count, current + 1)
    return assignment


def decide(wanted_id: str, held: Iterable[Held]) -> Decision:
    """Decide about one file, of whose path the directory holds ``held``; ``wanted_id`` is its ``unique_id``."""
    keep: Held | None = None
    outdated: list[Held] = []
    for one in held:
        if one.unique_id == wanted_id and keep is None:
            keep = one
        else:
            outdated.append(one)
    return Decision(keep, tuple(outdated))


def known_content(file: SourceFile, held: Iterable[Held]) -> str | None:
    """Return the SHA-256 of a file whose storage says that it is unchanged since it was uploaded, else None."""
    if file.version is None:
        return None
    return next((one.sha256 for one in held if one.version == file.version and one.sha256), None)


def by_key(held: Iterable[Held]) -> dict[str, list[Held]]:
    """Group what directories hold by the path it came from (see ``path_key``)."""
    groups: defaultdict[str, list[Held]] = defaultdict(list)
    for one in held:
        if one.key is not None:
            groups[one.key].append(one)
    return groups


def path_key(path: str) -> str:
    """Return what stands for a path: short, and the same after any cleaning of texts."""
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:32]


def unique_id(path: str, sha256: str, scope: str) -> str:
    """
    Return the id under which a file is looked for: the same for the same path and content.

    ``scope`` sets uploads of the same file apart, such as those of different runs; empty for none.
    """
    parts = [path_key(path), sha256[:32]]
    return "-".join([*parts, scope] if scope else parts)


def metadata_of(file: SourceFile, sha256: str) -> dict[str, Any]:
    """Return the metadata that an upload carries: where it came from and what was in it."""
    metadata = {SOURCE_PATH: file.path, SOURCE_SHA256: sha256}
    return metadata | ({SOURCE_VERSION: file.version} if file.version else {})


def display_name(path: str) -> str:
    """Return the name that LlamaCloud shows: the file's own, without control characters, short, its extension kept."""
    name = PurePosixPath(path).name
    clean = "".join("_" if unicodedata.category(character)[0] == "C" else character for character in name)
    suffix = PurePosixPath(clean).suffix
    if len(suffix) > MAX_EXTENSION_CHARACTERS:
        suffix = ""
    return clean.removesuffix(suffix)[: MAX_DISPLAY_NAME_CHARACTERS - len(suffix)] + suffix or "file"


def split_pattern(source: Any, pattern: str) -> tuple[Any, str]:
    """
    Return folder and pattern of a source that may itself be a glob, such as ``s3://bucket/in/*.pdf``.

    Raises ``InvalidInputError`` for a glob and a pattern beside it: which files are meant cannot be told.
    """
    parts = str(source).split("/") if isinstance(source, str | PathLike) else []
    first = next((index for index, part in enumerate(parts) if _GLOB.search(part)), None)
    if first is None:
        return source, pattern
    if pattern != EVERYTHING:
        raise InvalidInputError(
            "pattern",
            f"{pattern!r:.200} stands beside source={source!r:.200}, which is a pattern itself; give one",
        )
    folder = "/".join(parts[:first]) or ("/" if first else ".")  # "*.pdf" has none: not the root of all files
    return folder, "/".join(parts[first:])


def directory_name(name: str, identity: str, number: int) -> str:
    """Return the name of a task instance's ``number``-th directory: it is looked for by it when an answer was lost."""
    # A template that is rendered to a native object may make a number of it.
    return f"{str(name)[:MAX_DISPLAY_NAME_CHARACTERS]} [{identity}-{number}]"


def identity_of(parts: Iterable[object]) -> str:
    """Return twelve characters that stand for a task instance (dag, task, run, map index), whatever its try."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def _reason_against(file: SourceFile, extensions: frozenset[str]) -> str | None:
    if file.problem is not None:
        return file.problem
    if any("\udc80" <= character <= "\udcff" for character in file.path):
        return "its name is not UTF-8, which LlamaCloud needs; rename it"
    if file.size == 0:
        return "the file is empty; there is nothing to read in it"
    extension = PurePosixPath(file.path).suffix.lower()
    if extension not in extensions:
        named = f"files of type {extension}" if extension else "files without an extension"
        return f"{named} cannot be read by LlamaCloud; convert it, or leave it out with the pattern"
    if file.size > MAX_FILE_BYTES:
        megabytes = file.size / 1024 / 1024
        return f"it has {megabytes:,.0f} MB, LlamaCloud takes {MAX_FILE_BYTES // 1024 // 1024} MB at most; split it"
    return None
