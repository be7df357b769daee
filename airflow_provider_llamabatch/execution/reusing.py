"""Which files already have a result under the target, from an earlier run: the storage and the API asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.documents.result_plan import MANIFEST
from airflow_provider_llamabatch.documents.reuse import Earlier, earlier
from airflow_provider_llamabatch.execution.uploading import hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.documents.upload_plan import SourceFile
    from airflow_provider_llamabatch.storage import Storage


def earlier_results(target: Storage, configuration: str, outputs: Sequence[str]) -> Earlier:
    """Return what the target's manifest has that can be used again; ``configuration`` is what it calls one."""
    content = target.read_bytes(MANIFEST)
    if content is None:
        return Earlier()
    present = {target.url_of(file.path): file.size for file in target.files("**/*")}
    return earlier(
        manifest.from_lines(content), configuration=configuration, outputs=outputs, present=present
    )


def reused_rows(
    found: Earlier, source: Storage, files: Sequence[SourceFile], *, threads: int
) -> tuple[dict[str, Row], dict[str, str]]:
    """
    Return the rows of files that need not be sent, by path, and the SHA-256 of all that were read for it.

    Only files that the manifest knows are read, and of those only what the storage does not call unchanged.
    """
    asked = {file.path for file in files} & {path for path, _ in found.rows}
    candidates = [file for file in files if file.path in asked]

    def content_of(file: SourceFile) -> str:
        return found.content_of(file) or hash_of(source, file.path)[0]

    with ThreadPoolExecutor(threads) as pool:
        contents = list(pool.map(content_of, candidates))
    known = {file.path: sha256 for file, sha256 in zip(candidates, contents, strict=True)}
    rows = {file.path: found.row_of(file, known[file.path]) for file in candidates}
    return {path: row for path, row in rows.items() if row is not None}, known
