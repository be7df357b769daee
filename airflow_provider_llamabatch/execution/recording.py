"""All extracted records of a run in one file: JSON lines, and Parquet typed as the configuration's schema says."""

from __future__ import annotations

import json
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.documents.result_plan import MANIFEST
from airflow_provider_llamabatch.documents.results import PARQUET, RECORD_FILE, records_in
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.storage import chunks_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.storage import Storage

log = logging.getLogger(__name__)

DOCUMENTS_AT_ONCE = 64  # read ahead of what is written


def check_parquet(outputs: Collection[str]) -> None:
    """Refuse the output ``parquet`` where its package is missing, before anything is paid for."""
    if PARQUET in outputs and find_spec("pyarrow") is None:
        raise InvalidInputError(
            "outputs", "parquet needs pyarrow: pip install 'airflow-provider-llamabatch[parquet]'"
        )


def write_jsonl(target: Storage, path: str, rows: Sequence[Row], *, threads: int) -> None:
    """Write one line per record, with the document's path under ``file``."""
    renamed = False

    def lines() -> Iterator[bytes]:
        nonlocal renamed
        for records in _batches(target, rows, threads):
            for record in records:
                renamed = renamed or RECORD_FILE in record
                yield json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    target.write(path, lines())
    if renamed:
        log.info(
            "The schema has a field 'file' of its own: it is %r, since 'file' is the document", RECORD_FILE
        )


def write_parquet(
    target: Storage, path: str, rows: Sequence[Row], schema: dict[str, Any], *, threads: int
) -> None:
    """Write one row per record; what does not fit its type is an error that names the document."""
    import pyarrow.parquet

    from airflow_provider_llamabatch.documents.arrow import schema_from, table_of

    arrow = schema_from(schema)
    with tempfile.TemporaryFile(prefix="llamabatch-") as file:
        with pyarrow.parquet.ParquetWriter(file, arrow) as writer:
            for records in _batches(target, rows, threads, schema.get("properties") or ()):
                writer.write_table(table_of(records, arrow))
        file.seek(0)
        target.write(path, chunks_of(file))


def schema_of(
    hook: LlamaBatchHook, configuration_id: str | None, scope: dict[str, str | None]
) -> dict[str, Any]:
    """Return the JSON schema that a saved extract configuration asks for."""
    if configuration_id is None:
        raise InvalidInputError(
            "configuration_id", "is needed for Parquet: its schema gives the columns their types"
        )
    parameters = hook.send(calls.get_configuration(configuration_id, **scope)).parameters or {}
    schema = parameters.get("data_schema")
    if not isinstance(schema, dict):
        raise InvalidInputError(
            "configuration_id", f"{configuration_id} has no data_schema, so there are no columns"
        )
    return schema


def _batches(
    target: Storage, rows: Sequence[Row], threads: int, fields: Collection[str] = ()
) -> Iterator[list[dict[str, Any]]]:
    """Read the written results again, in order; each item holds the records of a few dozen documents."""

    def read(row: Row) -> list[dict[str, Any]]:
        if not row.places:
            raise InvalidInputError(
                target.argument,
                f"{target.url_of(MANIFEST)}: path of {row.file!r:.300} is {row.path!r:.300}, and no result of that "
                "document is called so; correct that line, or remove it",
            )
        return records_in(target.read_bytes(row.places[0]) or b"[]", row.file, fields)

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(rows), DOCUMENTS_AT_ONCE):
            documents = pool.map(read, rows[start : start + DOCUMENTS_AT_ONCE])
            yield [record for records in documents for record in records]
