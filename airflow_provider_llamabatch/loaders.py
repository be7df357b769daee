"""
Results for what comes next: the texts of a manifest with their metadata.

The shape is that of Airflow's common.ai provider, ``[{"text": ..., "metadata": {...}}]``, and LlamaIndex takes it with
``[Document(**document) for document in documents]``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def documents_from_manifest(
    manifest: str | os.PathLike[str], *, conn_id: str | None = None, include_reused: bool = True
) -> Iterator[dict[str, Any]]:
    """
    Give the text of every document that a manifest has a result for, one after another, with where it came from.

    Nothing is read, and so nothing raised, before the first document is asked for: then ``InvalidInputError`` where
    there is no usable manifest or a result that it tells of is gone, and ``StorageError`` where it cannot be read.

    :param manifest: the manifest's path or URL, as ``SaveBatchResultsOperator`` returns it.
    :param conn_id: the Airflow connection of its storage.
    :param include_reused: also give documents that an earlier run processed.
    """
    from airflow_provider_llamabatch.documents.upload_plan import NO_TEXT
    from airflow_provider_llamabatch.execution.saving import rows_in
    from airflow_provider_llamabatch.lineage import report_read
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
    from airflow_provider_llamabatch.storage import Storage

    if not isinstance(manifest, (str, os.PathLike)) or str(manifest).strip() in NO_TEXT:
        raise InvalidInputError(
            "manifest", f"must be the path or URL of a manifest.jsonl, not {manifest!r:.100}"
        )
    folder, slash, name = str(manifest).rpartition("/")
    storage = Storage(folder or slash or ".", conn_id, argument="manifest")
    rows = rows_in(storage, name)
    if rows is None:
        raise InvalidInputError(
            "manifest", f"there is no file at {manifest!r}; give the manifest.jsonl in the folder of results"
        )
    report_read(storage)
    for row in rows:
        paths = row.places
        if not paths or (row.reused and not include_reused):
            continue
        content = storage.read_bytes(paths[0])
        if content is None:
            missing = storage.url_of(paths[0])
            raise InvalidInputError("manifest", f"{manifest} tells of {missing}, and there is nothing there")
        metadata = {"file": row.file, "path": row.path, "job_id": row.job_id, "pages": row.pages}
        yield {"text": content.decode(), "metadata": metadata}
