"""Which documents need not be processed again, since an earlier run's manifest has their results. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.documents import manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.documents.upload_plan import SourceFile


@dataclass(slots=True)
class Earlier:
    """
    What an earlier run left that can be used again.

    ``rows`` are by file and SHA-256 of its content; ``contents`` are SHA-256 by file and the storage's own version.
    """

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    contents: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def content_of(self, file: SourceFile) -> str | None:
        """Return the SHA-256 of a file that its storage calls unchanged since then."""
        return self.contents.get((file.path, file.version))

    def row_of(self, file: SourceFile, sha256: str) -> Row | None:
        """Return the row to use again for a file with this content."""
        row = self.rows.get((file.path, sha256))
        return row and replace(row, reused=True, source_version=file.version, source_bytes=file.size)


def earlier(
    rows: Sequence[Row], *, configuration: str, outputs: Iterable[str], present: Mapping[str, int]
) -> Earlier:
    """
    Return what of a manifest can be used again for ``configuration`` and ``outputs``.

    ``present`` are the sizes of the files that the target really holds, by their paths below it: a result that
    somebody deleted or cut short is made again.
    """
    there = (row for row in rows if _is_present(row, present))
    whole = manifest.reusable(there, configuration=configuration, outputs=outputs)
    contents: dict[tuple[str, str | None], str] = {
        (row.file, row.source_version): row.source_sha256
        for row in rows
        if row.source_version and row.source_sha256
    }
    return Earlier(whole, contents)


def configuration_key(configuration_id: str, version: str | None) -> str:
    """Return what a manifest calls a configuration: its id and, where it has one, its version."""
    return f"{configuration_id}@{version}" if version else configuration_id


def _is_present(row: Row, present: Mapping[str, int]) -> bool:
    if row.path is None:
        return True  # there is no result to lose: the content itself is at fault
    sizes = [row.bytes, *(more.get("bytes") for more in row.other_outputs.values())]
    places = row.places
    return len(places) == len(sizes) and all(
        map(lambda place, size: present.get(place) == size, places, sizes)
    )
