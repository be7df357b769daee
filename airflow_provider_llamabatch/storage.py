"""
Documents and results on any storage that Airflow reaches. The only user of ``ObjectStoragePath``.

Everything here blocks, and may be called from several threads at once. Paths are strings below the storage's root: what
``pathlib`` and URLs make of ``..``, ``#`` or ``?`` in a name is then of no concern.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_llamabatch.defaults import SMALL_FILE_BYTES, STORAGE_BLOCK_BYTES
from airflow_provider_llamabatch.documents.result_plan import written_by_us
from airflow_provider_llamabatch.documents.upload_plan import NO_TEXT, SourceFile
from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.llamacloud.call import check_conn_id
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, LlamaCloudError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOCAL = {"", "file", "local"}
_OURS = (LlamaCloudError, StorageError)  # these say what is wrong as they are
_GONE_OR_OURS = (FileNotFoundError, *_OURS)
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "s3a": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "gcs": "apache-airflow-providers-google",
    **dict.fromkeys(("abfs", "abfss", "adl"), "apache-airflow-providers-microsoft-azure"),
}
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}(-[0-9a-f]{32})?\.part")  # see _local_file

_LINK = (
    "it is a symbolic link, which is not followed; name what it leads to as the source, or put a copy there"
)
_NO_FILE = "it is neither a file nor a folder"
_NOT_LISTED = "this folder may not be listed, so nothing in it is seen; let the worker read it"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: its size in bytes and its SHA-256."""

    bytes: int
    sha256: str


class Storage:
    """
    A folder, or a single file, on a storage: a local path or a URL such as ``s3://bucket/folder``.

    Raises ``InvalidInputError`` for an unusable URL, and for a missing connection before the real cloud is asked.

    :param url: the folder; a connection id may be in it (``s3://conn_id@bucket/folder``).
    :param conn_id: the Airflow connection of the storage.
    :param argument: the argument that errors name.
    """

    def __init__(self, url: Any, conn_id: str | None = None, *, argument: str = "target") -> None:
        url = str(url) if isinstance(url, os.PathLike) else url
        if not isinstance(url, str) or url.strip() in NO_TEXT:
            raise InvalidInputError(argument, f"must be a path or a URL, not {url!r:.100}")
        # What a manifest says of a local folder has to hold in other working directories too.
        self.url = url.rstrip("/") if "://" in url else os.path.abspath(url)  # noqa: PTH100
        self.argument = argument
        in_url = _conn_id_in(url)
        _check_connection(conn_id or in_url, f"{argument.removesuffix('_to')}_conn_id")
        try:  # not every version of Airflow finds the connection in the URL
            bare = self.url.replace(f"://{in_url}@", "://", 1) if in_url else self.url
            path = ObjectStoragePath(bare, conn_id=conn_id or in_url)
            with self._naming("", "opened", but=(ImportError, ValueError, *_OURS)):
                self._fs: Any = path.fs
        except (ImportError, ValueError) as error:
            package = _PACKAGES.get(urlsplit(url).scheme)
            advice = f"; it needs a package: pip install '{package}'" if package else ""
            raise InvalidInputError(argument, f"{url!r} cannot be opened: {error}{advice}") from error
        self.path = path
        self.is_local = path.protocol in _LOCAL
        self._root = os.path.abspath(path.path) if self.is_local else path.path.rstrip("/")  # noqa: PTH100

    def files(self, pattern: str) -> list[SourceFile]:
        """
        Return the files below the folder whose relative path matches ``pattern`` (``**`` crosses folders), sorted.

        What this package writes for itself is left out. Where the storage is a single file, that one is returned under
        its own name. Links of a local folder are named, not followed; a folder in it that may not be listed has a ``/``
        at its end, whatever the pattern. Raises ``InvalidInputError`` where nothing is there, and ``StorageError``.
        """
        from fsspec.utils import glob_translate

        if not isinstance(pattern, str) or pattern.strip() in NO_TEXT:
            raise InvalidInputError("pattern", f"is empty, or no text: {pattern!r:.80}; **/* is every file")
        self._fs.invalidate_cache()
        found: dict[str, dict[str, Any]]
        with self._naming("", "listed"):
            found = _local_files(self._root) if self.is_local else self._fs.find(self._root, detail=True)
        if not found and not self.exists():
            raise InvalidInputError(self.argument, f"there is nothing at {self.url!r}")
        matches = re.compile(glob_translate(pattern)).match
        written = written_by_us(self._relative(full) for full in found)
        files = []
        for full, info in found.items():
            path, problem = self._relative(full), info.get("problem")
            if not path or path.endswith("/") or path in written:
                continue
            if info.get("type") == "file" or problem:
                if problem == _NOT_LISTED:
                    files.append(SourceFile(f"{path}/", 0, problem=problem))
                elif full == self._root or matches(path.lstrip("/")):  # a key may be "in//a.pdf"
                    files.append(SourceFile(path, int(info.get("size") or 0), _version(info), problem))
        return sorted(files, key=lambda file: file.path)

    def exists(self) -> bool:
        """Say whether there is anything; raises ``StorageError`` where the storage does not tell."""
        self._fs.invalidate_cache()
        with self._naming("", "looked at"):
            return bool(self._fs.exists(self._root))

    def open(self, path: str) -> BinaryIO:
        """
        Open a file for reading; use ``read(n)`` (iterating fails with some storages).

        Raises ``FileNotFoundError``, and ``StorageError`` where it is there but cannot be opened.
        """
        with self._naming(path, "read", but=_GONE_OR_OURS):
            opened: BinaryIO = self._fs.open(self._full(path), "rb", **self._reading())
        return opened

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for reading, as ``open`` does, and name it also in what goes wrong while it is read."""
        with self._naming(path, "read", but=_GONE_OR_OURS), self.open(path) as file:
            yield file

    def read_bytes(self, path: str) -> bytes | None:
        """Return a file's whole content, None where there is none; raises ``StorageError`` where it cannot be read."""
        with contextlib.suppress(FileNotFoundError), self.reading(path) as file:
            return file.read()
        return None

    def size_of(self, path: str) -> int | None:
        """Return the size of a file in bytes, also through links; None where none can be reached."""
        with contextlib.suppress(OSError), self._naming(path, "looked at", but=(OSError, *_OURS)):
            return int(self._fs.size(self._full(path)))
        return None

    def write(self, path: str, chunks: Iterable[bytes]) -> Written:
        """
        Write a file whole or not at all: whoever reads it sees what was there before, or all of it.

        Raises ``StorageError`` where the storage does not take it.
        """
        digest, size = hashlib.sha256(), 0
        with self._naming(path, "written"), self._written_whole(path) as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        return Written(size, digest.hexdigest())

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is none of its concern."""
        with contextlib.suppress(FileNotFoundError), self._naming(path, "deleted", but=_GONE_OR_OURS):
            self._fs.rm_file(self._full(path))

    def names_in(self, folder: str) -> list[str]:
        """
        Return the paths of all files below a folder of this one, sorted; empty where there is none.

        What a killed write left half written is none of them.
        """
        self._fs.invalidate_cache()
        found: Iterable[str] = ()
        with contextlib.suppress(FileNotFoundError), self._naming(folder, "listed", but=_GONE_OR_OURS):
            found = self._fs.find(self._full(folder))  # not every storage calls it empty where there is none
        paths = (self._relative(full) for full in found)
        return sorted(path for path in paths if not _UNFINISHED.fullmatch(path.rpartition("/")[2]))

    def place_within(self, other: Storage) -> str | None:
        """
        Return this folder's path below another one on the same storage, with ``/`` at its end; None outside it.

        It is empty where both are the same folder.
        """
        if self._fs is not other._fs and not self._is_like(other):
            return None
        outer, inner = other._real_folder(), self._real_folder()
        return inner[len(outer) :] if inner.startswith(outer) else None

    def _is_like(self, other: Storage) -> bool:
        """Say whether another storage is the same one: of one kind and, where it has these, at the same address."""
        fs = self._fs, other._fs
        return type(fs[0]) is type(fs[1]) and all(
            getattr(fs[0], name, None) == getattr(fs[1], name, None)
            for name in ("endpoint_url", "account_name")
        )

    def _real_folder(self) -> str:
        return f"{(os.path.realpath(self._root) if self.is_local else self._root).rstrip('/')}/"

    def url_of(self, path: str) -> str:
        """Return where a file is, in the words of the one who named the folder."""
        return f"{self.url.rstrip('/')}/{path}"

    @contextlib.contextmanager
    def _naming(self, path: str, done: str, but: tuple[type[Exception], ...] = _OURS) -> Iterator[None]:
        """Name the file in the storage's error, which often does not: ``[Errno 28] No space left on device``."""
        try:
            yield
        except but:
            raise
        except Exception as error:  # not every library of a storage raises an OSError where nobody answers
            raise StorageError(
                f"{self.url_of(path)} could not be {done}: {error}. Another try goes on from what is there."
            ) from error

    def _relative(self, full: str) -> str:
        if full == self._root:
            return PurePosixPath(full).name
        return full[len(self._root.rstrip("/")) + 1 :]

    def _full(self, path: str) -> str:
        """Return the path below the root; a single file is its own root. What leads out of the root is refused."""
        if ".." in path.split("/") and self.is_local:
            raise InvalidInputError(self.argument, f"{path!r} leads out of {self.url!r}")
        whole = f"{self._root.rstrip('/')}/{path}"
        return whole if not self._is_single_file(path) else self._root

    def _is_single_file(self, path: str) -> bool:
        return path == PurePosixPath(self._root).name and bool(self._fs.isfile(self._root))

    def _reading(self) -> dict[str, Any]:
        # Read once from the beginning to the end: no cache of what was read, and no large look-ahead.
        return {} if self.is_local else {"block_size": STORAGE_BLOCK_BYTES, "cache_type": "readahead"}

    def _written_whole(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        full = self._full(path)
        return _local_file(full) if self.is_local else _object(self._fs, full)


def files_outside(target: Storage | None, source: Storage, pattern: str) -> list[SourceFile]:
    """
    Return the source's files without what an earlier run wrote, where the target lies within the source.

    Raises ``InvalidInputError`` where both are the same folder: results would be documents of the next run.
    """
    within = target.place_within(source) if target is not None else None
    if target is not None and within == "":
        raise InvalidInputError(
            "target",
            f"{target.url} is the same folder as the source {source.url}, so the next run would take results for "
            "documents; name another folder, it may lie in the source",
        )
    files = source.files(pattern)
    return [file for file in files if not file.path.startswith(within)] if within else files


def chunks_of(file: IO[bytes], size: int = 1024 * 1024) -> Iterator[bytes]:
    """Read a file in chunks of ``size`` bytes."""
    while chunk := file.read(size):
        yield chunk


def _local_files(root: str) -> dict[str, dict[str, Any]]:
    """
    Return what lies below a local folder, as ``find`` of a file system does.

    fsspec's own leaves out links, and takes a folder that it may not list for an empty one.
    """
    if os.path.isfile(root):  # noqa: PTH113
        return {root: {"type": "file", "size": os.path.getsize(root)}}  # noqa: PTH202
    found: dict[str, dict[str, Any]] = {}

    def note(error: OSError) -> None:
        if isinstance(error, PermissionError) and error.filename != root:
            found[error.filename] = {"problem": _NOT_LISTED}
        elif not isinstance(error, FileNotFoundError):  # what is gone meanwhile holds nothing
            raise error

    for folder, folders, names in os.walk(root, onerror=note):
        for name in (*names, *(one for one in folders if Path(folder, one).is_symlink())):
            full = f"{folder.rstrip('/')}/{name}"
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(full)
                if stat.S_ISREG(status.st_mode):
                    found[full] = {"type": "file", "size": status.st_size}
                else:
                    found[full] = {"problem": _LINK if stat.S_ISLNK(status.st_mode) else _NO_FILE}
    return found


@contextlib.contextmanager
def _local_file(full: str) -> Iterator[IO[bytes]]:
    """
    Write beside the file and rename.

    The name beside it is always the same, so that what a killed write left is taken by the next one. Whoever writes
    holds a lock on it, and another one who writes the same file meanwhile (a second run) takes a name of its own.
    """
    target = Path(full)
    target.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(target.name.encode()).hexdigest()[:16]
    beside = target.with_name(f".{name}.part")
    with beside.open("ab") as held:
        if not _is_locked(held, beside):
            beside = target.with_name(f".{name}-{uuid4().hex}.part")
        try:
            with beside.open("wb") as file:
                yield file
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _is_locked(held: IO[bytes], path: Path) -> bool:
    """Lock an open file for this process; say whether it is its own now and still the one at ``path``."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(held.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _object(fs: Any, full: str) -> Iterator[IO[bytes]]:
    """
    Write an object at once, or in parts that are published together.

    Closing a file after an error would publish what there is of it (s3fs), so nothing is opened before all is there.
    """
    with tempfile.SpooledTemporaryFile(max_size=SMALL_FILE_BYTES) as spool:
        yield spool
        size = spool.tell()
        spool.seek(0)
        if size <= SMALL_FILE_BYTES:
            fs.pipe_file(full, spool.read())
            return
        file = fs.open(full, "wb", block_size=STORAGE_BLOCK_BYTES, autocommit=False)
        try:
            for chunk in chunks_of(spool):
                file.write(chunk)
            file.close()
            file.commit()
        except BaseException:
            file.discard()
            raise


def _version(info: dict[str, Any]) -> str | None:
    """Return the storage's own mark of a content: S3 and Azure say ETag, Google Cloud says md5Hash or etag."""
    for name in ("ETag", "etag", "md5Hash", "content_settings"):
        value = info.get(name)
        if isinstance(value, str) and value:
            return value.strip('"')
    return None


def _conn_id_in(url: str) -> str | None:
    return urlsplit(url).netloc.rpartition("@")[0] or None


def _check_connection(conn_id: str | None, argument: str) -> None:
    if conn_id is None:
        return
    check_conn_id(argument, conn_id)
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise InvalidInputError(
            argument,
            f"there is no Airflow connection {conn_id!r}; create it first (what stands before an @ in a URL is "
            "the name of one)",
        ) from None
