"""Which files already have a result under the target, from an earlier run: the storage and the API asked."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.defaults import MAX_KEPT_RESULTS, MAX_LISTED_BEFORE
from airflow_provider_llamabatch.documents.manifest import NO_RESULT, reused_counts, to_lines
from airflow_provider_llamabatch.documents.result_plan import KEPT, MANIFEST, SAVES
from airflow_provider_llamabatch.documents.reuse import Earlier, earlier
from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.execution.saving import rows_at, rows_in
from airflow_provider_llamabatch.execution.uploading import hash_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.documents.upload_plan import SourceFile
    from airflow_provider_llamabatch.storage import Storage


def earlier_results(target: Storage, configuration: str, outputs: Sequence[str], *, threads: int) -> Earlier:
    """
    Return what the target has that can be used again; ``configuration`` is what its manifest calls one.

    The manifest tells of it, and of what a save has done that goes on or was given up its checkpoints do. What was kept
    of documents that the last runs did not have lies beside these.
    A result counts by its path below the target. Where the manifest writes the target otherwise (the folder was moved,
    or is given in other words) the content has to be the one that the manifest tells, so that a file of the same name
    and size is not taken for a result that lies elsewhere. The same holds where manifest and checkpoints tell of other
    contents at one place: the document has changed since one of them was written.
    """
    rows = rows_at(target, target.names_in(SAVES))
    rows += rows_in(target, MANIFEST) or ()
    if not rows:
        return Earlier()
    found = earlier(rows, configuration=configuration, outputs=outputs, present=_present(target, rows))
    told = Counter(place for place, _ in {one for row in rows for one in _contents(row)})
    with ThreadPoolExecutor(threads) as pool:
        there = list(pool.map(lambda row: _found_in(target, row, told), found.rows.values()))
    found.rows = {key: row for key, row in zip(found.rows, there, strict=True) if row is not None}
    return found


def reused_rows(
    found: Earlier, source: Storage, files: Sequence[SourceFile], *, threads: int
) -> tuple[dict[str, Row], dict[str, str]]:
    """
    Return the rows of files that need not be sent, by path, and the SHA-256 of all that were read for it.

    Only files that the manifest knows are read, and of those only what the storage does not call unchanged. What cannot
    be read is left to the upload, which says so.
    """
    asked = {file.path for file in files} & {path for path, _ in found.rows}
    candidates = [file for file in files if file.path in asked]

    def content_of(file: SourceFile) -> str | None:
        try:
            return found.content_of(file) or hash_of(source, file.path)[0]
        except (FileNotFoundError, StorageError):
            return None

    with ThreadPoolExecutor(threads) as pool:
        contents = list(pool.map(content_of, candidates))
    known = {file.path: sha256 for file, sha256 in zip(candidates, contents, strict=True) if sha256}
    rows = {file.path: found.row_of(file, known[file.path]) for file in candidates if file.path in known}
    return {path: row for path, row in rows.items() if row is not None}, known


def report_reused(log: Logger, reused: Iterable[Row], files: int) -> None:
    """Say of how many files an earlier run's outcome counts."""
    counts = reused_counts(reused)
    told = "%s of %s files already have a result and are reused; %s failed before and are not sent again"
    log.info(told, counts["reused"], files, counts["failed_before"])


def report_failed_before(log: Logger, rows: Sequence[Row]) -> None:
    """Warn of documents without a result that an earlier run has told of, and that are not sent again."""
    if not rows:
        return
    named = [f"  {row.file}: {row.error or row.status}" for row in rows[:MAX_LISTED_BEFORE]]
    if len(rows) > MAX_LISTED_BEFORE:
        named.append(f"  and {len(rows) - MAX_LISTED_BEFORE} more")
    log.warning(
        "%s documents have no result, since they failed in an earlier run for what is in them. They are not sent again "
        "unless the document or the configuration changes:\n%s",
        len(rows),
        "\n".join(named),
    )


def keep_results(target: Storage, rows: Sequence[Row]) -> None:
    """
    Write down which results the manifest tells of and these rows, the next ones, do not.

    Their documents may be gone, or not readable, for one night only; later they need not be paid for again. Only so
    many are kept, the last manifest's first.
    """
    saved = {row.file for row in rows if row.is_saved}
    before = rows_at(target, [KEPT])
    kept: dict[str, Row] = {}
    for row in (*rows_at(target, [MANIFEST]), *before):
        if row.is_saved and row.source_sha256 and row.file not in saved:
            kept.setdefault(row.file, row)
    if before or kept:
        target.write(KEPT, to_lines(islice(kept.values(), MAX_KEPT_RESULTS)))


def as_before(target: Storage, rows: Sequence[Row], path: str) -> list[Row]:
    """Return the rows; where a job's result cannot be had, but the manifest at ``path`` has it, that one counts."""
    if all(row.status != NO_RESULT for row in rows):
        return list(rows)
    before = {row.job_id: row for row in rows_in(target, path) or () if row.job_id and row.places}

    def result_of(row: Row) -> Row:
        found = before.get(row.job_id or "") if row.status == NO_RESULT else None
        there = found and _found_in(target, found, Counter())
        return replace(there, reused=False, attempt=row.attempt) if there else row

    return [result_of(row) for row in rows]


def _present(target: Storage, rows: Sequence[Row]) -> dict[str, int]:
    """Return the sizes of results that are there; on a local target also behind links, which a list does not follow."""
    if not target.is_local:
        return {file.path: file.size for file in target.files("**/*")}
    sizes = {place: target.size_of(place) for row in rows for place in row.places}
    return {place: size for place, size in sizes.items() if size is not None}


def _contents(row: Row) -> list[tuple[str, str | None]]:
    """Return the places of a row's results and the SHA-256 of what it says lies there."""
    digests = [row.sha256, *(more.get("sha256") for more in row.other_outputs.values())]
    return list(zip(row.places, digests, strict=False))


def _found_in(target: Storage, row: Row, told: Mapping[str, int]) -> Row | None:
    """
    Return the row with its paths as the target is written now; None where other content lies there.

    ``told`` is of how many contents manifest and checkpoints tell, by place; only where it is one need nothing be read.
    """
    here = row.below(target.url_of(""))
    is_sure = here == row and all(told[place] == 1 for place in row.places)
    try:
        is_same = is_sure or all(hash_of(target, place)[0] == digest for place, digest in _contents(here))
    except (FileNotFoundError, StorageError):
        return None
    return here if is_same else None
