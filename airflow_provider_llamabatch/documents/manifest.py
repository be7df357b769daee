"""
The manifest: one line of JSON per document, with what became of it and where its results are. Pure.

``status`` is the job's own word (COMPLETED, FAILED, CANCELLED, or one that still runs), or one of the words below for
documents that never came so far.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.documents.result_plan import output_of, place_of
from airflow_provider_llamabatch.documents.results import outputs_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMPLETED = "COMPLETED"
NO_JOB = "NO_JOB"  # it could not be sent, the batch made no job for it, or the batch itself failed
NO_RESULT = "NO_RESULT"  # its job completed, but the result could not be fetched or written
SKIPPED = "SKIPPED"  # it was not uploaded
UPLOADED = "UPLOADED"  # in the record of an upload only: it is in its directory

MAX_PARTITION_KEY = 250  # characters, Airflow's own bound

# What the API documents as reasons of a failed job that another try over the same content would only repeat.
CONTENT_FAULTS = (
    "UNSUPPORTED_FILE_TYPE",
    "PDF_IS_PROTECTED",
    "PDF_IS_BROKEN",
    "NO_DATA_FOUND_IN_FILE",
    "DOCUMENT_TOO_LARGE",
    "TOO_MANY_PAGES",
)


class ManifestUnreadableError(ValueError):
    """A manifest holds a line that is none."""


@dataclass(slots=True)
class Row:
    """
    One document of a manifest.

    ``file`` is its path in the source, or its display name in a directory that somebody else filled. ``path`` is the
    result: the target as it was given (a local one absolute), and the path below it; ``bytes`` and ``sha256`` are the
    result's. With several outputs the first one asked for is there and the others are in ``other_outputs``, by name.
    ``source_...`` are the document's own. ``credits`` are what the API reports, None where it reports nothing (yet).
    ``confidence`` is the lowest of all fields extracted from the document, None where the configuration asks for no
    scores. ``configuration`` is the id of the configuration that was asked for and, where it has one, its version (a
    further attempt may have used another one). ``attempt`` counts from 1; ``reused`` says that the row is what an
    earlier run made: a result, or none for a reason that lies in the document.
    """

    file: str
    status: str
    job_id: str | None = None
    job_type: str | None = None
    error: str | None = None
    pages: int | None = None
    pages_failed: int | None = None
    credits: float | None = None
    confidence: float | None = None
    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    other_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    directory_id: str | None = None
    directory_file_id: str | None = None
    source_bytes: int | None = None
    source_sha256: str | None = None
    source_version: str | None = None
    configuration: str | None = None
    attempt: int = 1
    reused: bool = False

    @property
    def is_saved(self) -> bool:
        """Say whether the document has a result."""
        return self.path is not None

    @property
    def failed_before(self) -> bool:
        """Say whether an earlier run left the document without a result, and this one did not send it again."""
        return self.reused and not self.is_saved and self.status != SKIPPED

    @property
    def outputs(self) -> set[str]:
        """Return of which outputs it has a result."""
        first = self.path and output_of(self.path, self.file)
        return {*self.other_outputs, first} if first else set(self.other_outputs)

    @property
    def places(self) -> list[str]:
        """
        Return the paths of its results below the folder of the manifest, the one in ``path`` first.

        They are told by the document's name, so they hold however the folder is written and wherever it was moved. A
        path that is called otherwise points elsewhere and is left out.
        """
        paths = [self.path, *(more["path"] for more in self.other_outputs.values())]
        places = (place_of(path, self.file) for path in paths if path)
        return [place for place in places if place is not None]

    def with_first(self, output: str) -> Row:
        """Return the row with the result of this output in ``path``, the one that was there among the others."""
        if output not in self.other_outputs:
            return self
        more = {name: one for name, one in self.other_outputs.items() if name != output}
        if self.path is not None and (first := output_of(self.path, self.file)):
            more = {first: {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}, **more}
        one = self.other_outputs[output]
        return replace(
            self, path=one["path"], bytes=one.get("bytes"), sha256=one.get("sha256"), other_outputs=more
        )

    def below(self, folder: str) -> Row:
        """Return the row with its results below ``folder``, which ends in ``/``; what points elsewhere stays."""
        more = {
            output: {**one, "path": _below(folder, one["path"], self.file)}
            for output, one in self.other_outputs.items()
        }
        return replace(self, path=_below(folder, self.path, self.file), other_outputs=more)


_TEXT, _NUMBER = (str, type(None)), (int, float, type(None))
_FIELDS: dict[str, tuple[type, ...]] = {
    "file": (str,),
    "status": (str,),
    "other_outputs": (dict,),
    "attempt": (int,),
    "reused": (bool,),
    **dict.fromkeys(("pages", "pages_failed", "credits", "confidence", "bytes", "source_bytes"), _NUMBER),
    **dict.fromkeys(("job_id", "job_type", "error", "path", "sha256", "configuration"), _TEXT),
    **dict.fromkeys(("directory_id", "directory_file_id", "source_sha256", "source_version"), _TEXT),
}


def to_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Return the manifest's lines, sorted by file."""
    for row in sorted(rows, key=lambda row: (row.file, row.directory_file_id or "")):
        yield json.dumps(asdict(row), separators=(",", ":")).encode() + b"\n"


def from_lines(content: bytes) -> list[Row]:
    """Return the rows of a manifest; fields of a newer version are left out. Raises ``ManifestUnreadableError``."""
    known = {field.name for field in fields(Row)}
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            rows.append(_checked(Row(**{name: value for name, value in values.items() if name in known})))
        except (ValueError, TypeError, AttributeError) as error:
            raise ManifestUnreadableError(f"line {number} is no row of a manifest: {error}") from error
    return rows


def _checked(row: Row) -> Row:
    """Return a row that was read; raise where somebody has made something else of a field."""
    row.file.encode(errors="surrogateescape")  # as everything that tells documents apart
    for name, expected in _FIELDS.items():
        value = getattr(row, name)
        if not isinstance(value, expected):
            raise TypeError(f"{name} is {value!r:.40}")
    for output, one in row.other_outputs.items():
        if not isinstance(one, dict) or not isinstance(one.get("path"), str):
            raise TypeError(f"other_outputs has no path for {output!r:.40}")
    return row


def reusable(
    rows: Iterable[Row], *, configuration: str, outputs: Iterable[str]
) -> dict[tuple[str, str], Row]:
    """
    Return the rows whose outcome is as good as a new one, by file and SHA-256 of its content.

    That is, made with this configuration: completed without a failed page and with all the outputs that are asked
    for (of which the first one is then in ``path``), or failed for a reason that lies in the content itself.
    """
    asked = tuple(outputs)
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        if not row.source_sha256 or row.configuration != configuration:
            continue
        wanted = outputs_for(row.job_type or "", asked)
        if _is_complete(row, wanted):
            found[row.file, row.source_sha256] = row.with_first(wanted[0]) if wanted else row
        elif is_hopeless(row.status, row.error):
            found[row.file, row.source_sha256] = row
    return found


def _below(folder: str, path: str | None, file: str) -> str | None:
    place = path and place_of(path, file)
    return f"{folder}{place}" if place else path


def _is_complete(row: Row, wanted: Iterable[str]) -> bool:
    return row.status == COMPLETED and row.is_saved and not row.pages_failed and row.outputs >= set(wanted)


def is_hopeless(status: str, error: str | None) -> bool:
    """Say whether a job failed for a reason that lies in the document: the same once more would end the same."""
    return status == "FAILED" and (error or "").startswith(CONTENT_FAULTS)


def doubtful(rows: Iterable[Row], *, below: float | None) -> list[Row]:
    """Return the rows of extracted documents of which some field's confidence is below this, the worst first."""
    found = [
        row
        for row in rows
        if below is not None and row.confidence is not None and row.confidence < below and not row.reused
    ]
    return sorted(found, key=lambda row: (row.confidence or 0.0, row.file))


def partition_key(row: Row) -> str:
    """Return the key under which a document is a partition: its file, cut short (and still unique) where it is long."""
    if len(row.file) <= MAX_PARTITION_KEY:
        return row.file
    mark = sha256(row.file.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{row.file[: MAX_PARTITION_KEY - len(mark) - 1]}~{mark}"


def credits_of(rows: Iterable[Row]) -> float | None:
    """Return what the rows that were not reused cost together; None where the API has reported nothing."""
    reported = [row.credits for row in rows if row.credits is not None and not row.reused]
    return sum(reported) if reported else None


def reused_counts(rows: Iterable[Row]) -> dict[str, int]:
    """Count the rows that an earlier run made: those with a result, and those that failed then."""
    earlier = [row for row in rows if row.reused]
    before = sum(row.failed_before for row in earlier)
    return {"reused": len(earlier) - before, "failed_before": before}


def statuses_of(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many rows there are of each status, the most frequent first."""
    return dict(Counter(row.status for row in rows).most_common())
