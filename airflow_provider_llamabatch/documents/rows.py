"""From what was uploaded and what the batches said to a row per document, before any result is fetched. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.documents.manifest import Row
from airflow_provider_llamabatch.documents.results import outputs_for
from airflow_provider_llamabatch.documents.upload_plan import SOURCE_PATH, SOURCE_SHA256, SOURCE_VERSION
from airflow_provider_llamabatch.llamacloud.call import NOTHING, kind_of, looks_like_key
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_llamabatch.documents.upload_plan import Refused
    from airflow_provider_llamabatch.llamacloud.models import DirectoryFile

NOT_IN_ANY_BATCH = "it was uploaded, but no batch says anything about it: its batch failed, or was never made"


def flat(values: Any) -> list[dict[str, Any]]:
    """
    Return the entries of a list, of a list of lists (mapped tasks), or of nothing; None in between is left out.

    Raises ``TypeError`` for anything else in it, such as a text.
    """
    if values is None:
        return []
    if isinstance(values, Mapping):
        return [dict(values)]
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"must be a list of dicts, not {type(values).__name__}")
    return [entry for value in values for entry in flat(value)]


def references_in(values: Any) -> list[dict[str, Any]]:
    """Return the entries of a task's ``job_references``, as ``flat`` does; ``InvalidInputError`` for anything else."""
    return _entries_of("job_references", "the list that BatchSensor returned", values, _is_reference)


def errors_in(values: Any) -> list[dict[str, Any]]:
    """Return the entries of a task's ``file_errors``, if it was given any; ``InvalidInputError`` for anything else."""
    if values is None:
        return []
    return _entries_of("file_errors", "the list in XCom file_errors of the batch", values, _is_error)


def _entries_of(
    argument: str, wanted: str, values: Any, is_one: Callable[[Mapping[str, Any]], bool]
) -> list[dict[str, Any]]:
    try:
        entries = flat(values)
    except TypeError:
        wrong = values
    else:
        strange = [one for one in entries if not is_one(one)]
        if values is not None and not strange:
            return entries
        wrong = strange[0] if strange else values
    shown = "an API key" if looks_like_key(str(wrong)) else f"{wrong!r:.100}"
    hint = ""
    if wrong is None:
        hint = NOTHING
    elif kind_of(wrong) == "batch":
        hint = " (a batch id: use a BatchSensor first)"
    raise InvalidInputError(argument, f"must be {wanted}, not {shown}{hint}")


def _is_reference(entry: Mapping[str, Any]) -> bool:
    job = entry.get("job_reference")
    if (
        "source_directory_file_id" not in entry
        or not isinstance(job, Mapping)
        or not {"id", "type"} <= job.keys()
    ):
        return False
    words = (entry["source_directory_file_id"], entry.get("status"), job["id"], job["type"])
    return all(isinstance(word, str | int | None) for word in words)


def _is_error(entry: Mapping[str, Any]) -> bool:
    words = (entry.get("source_directory_file_id"), entry.get("error_message"))
    return "source_directory_file_id" in entry and all(isinstance(word, str | int | None) for word in words)


def skipped(refused: Refused) -> Row:
    """Return the row of a file that was refused before it was sent."""
    return Row(refused.path, manifest.SKIPPED, error=refused.reason)


def from_directory_file(file: DirectoryFile, directory_id: str) -> Row:
    """Return the row of a directory's file, under its path in the source where it tells that, else under its name."""
    metadata = file.metadata or {}
    return Row(
        str(metadata.get(SOURCE_PATH) or file.display_name or file.id),
        manifest.UPLOADED,
        directory_id=directory_id,
        directory_file_id=file.id,
        source_sha256=metadata.get(SOURCE_SHA256),
        source_version=metadata.get(SOURCE_VERSION),
    )


def rows_of(
    known: Sequence[Row],
    references: Iterable[Mapping[str, Any]],
    file_errors: Iterable[Mapping[str, Any]],
    configuration: str | None,
    *,
    is_complete: bool,
) -> list[Row]:
    """
    Return a row per document; those with a ``job_id`` have a result to fetch.

    ``known`` are the documents as the upload or the directory tells of them. A job whose document is in none of them
    gets a row under its directory file's id; a job that is told of twice counts once. With ``is_complete`` (an upload's
    record) a document of which no batch says anything is NO_JOB; without it (a directory) such a document has no row.
    """
    jobs = {(one["source_directory_file_id"], one["job_reference"]["id"]): one for one in references}
    have_one = {file_id for file_id, _ in jobs}
    told = {
        entry["source_directory_file_id"]: entry.get("error_message")
        for entry in file_errors
        if entry["source_directory_file_id"] not in have_one
    }
    waiting: dict[str, Row] = {
        row.directory_file_id: row for row in known if row.directory_file_id and not row.reused
    }
    rows = [row for row in known if row.reused or not row.directory_file_id]
    for (file_id, _), reference in jobs.items():
        row = waiting.pop(file_id, _unnamed(file_id))
        rows.append(_with_job(row, reference, configuration))
    for file_id, reason in told.items():
        row = waiting.pop(file_id, _unnamed(file_id))
        error = reason or "the batch gave neither a job nor a reason"
        rows.append(replace(row, status=manifest.NO_JOB, error=error))
    if is_complete:
        rows += [replace(row, status=manifest.NO_JOB, error=NOT_IN_ANY_BATCH) for row in waiting.values()]
    return _told_apart(rows)


def is_done(row: Row, outputs: tuple[str, ...]) -> bool:
    """Say whether an earlier try has settled a row: all its ``outputs`` are written, or its job gives no result."""
    if row.is_saved:
        return row.outputs >= {*outputs_for(row.job_type or "", outputs)}
    return row.status in FAILED_STATUSES


def with_earlier(rows: Sequence[Row], earlier: Iterable[Row], known: Iterable[Row]) -> list[Row]:
    """
    Return rows together with those of an earlier manifest, reused, that are about other documents.

    A document that is called like an earlier one takes its place, unless that one is still there (``known``): then the
    two are told apart, as they stay once they were.
    """
    earlier = list(earlier)
    there = {row.directory_file_id for row in known if row.directory_file_id}
    ids = {row.directory_file_id for row in rows if row.directory_file_id}
    names = {row.file for row in rows}
    others = [
        replace(row, reused=True)
        for row in earlier
        if row.directory_file_id not in ids and (row.file not in names or row.directory_file_id in there)
    ]
    marked = {(row.directory_file_id, row.file) for row in earlier}
    taken = {row.file for row in others}
    return [*(_unlike(row, marked, taken) for row in rows), *others]


def _unlike(row: Row, marked: set[tuple[str | None, str]], taken: set[str]) -> Row:
    """Return the row under a name that carries its id where it had such a name, or another document has its own."""
    if row.directory_file_id is None:
        return row
    name = _with_id(row)
    return replace(row, file=name) if row.file in taken or (row.directory_file_id, name) in marked else row


def missing(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of documents that no batch says anything about."""
    return [row for row in rows if row.error == NOT_IN_ANY_BATCH]


def _unnamed(directory_file_id: str) -> Row:
    return Row(directory_file_id, manifest.UPLOADED, directory_file_id=directory_file_id)


def _with_job(row: Row, reference: Mapping[str, Any], configuration: str | None) -> Row:
    job = reference["job_reference"]
    return replace(
        row,
        status=reference.get("status") or manifest.UPLOADED,
        error=reference.get("error_message"),
        job_id=job["id"],
        job_type=job["type"],
        credits=reference.get("credits"),
        configuration=row.configuration or configuration,
        attempt=reference.get("attempt") or 1,
    )


def _told_apart(rows: list[Row]) -> list[Row]:
    """Give documents that are called the same (two names in directories that others filled) their ids as well."""
    counts = Counter(row.file for row in rows)
    return [
        replace(row, file=_with_id(row)) if counts[row.file] > 1 and row.directory_file_id else row
        for row in rows
    ]


def _with_id(row: Row) -> str:
    folder, slash, name = row.file.rpartition("/")
    suffix = PurePosixPath(name).suffix
    mark = row.job_id if row.file == row.directory_file_id else row.directory_file_id
    return f"{folder}{slash}{name.removesuffix(suffix)} ({mark}){suffix}"
