"""Directories and the files in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.ui.views import words
from airflow_provider_llamabatch.ui.views.tables import Query, Table, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_llamabatch.llamacloud.models import Directory, DirectoryFile

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """One directory; ``expires`` is empty for one that is kept."""

    id: str
    name: str
    type: str
    age: str
    expires: str


@dataclass(frozen=True, slots=True)
class DirectoryFileRow:
    """One file of a directory."""

    id: str
    name: str
    unique_id: str
    age: str


def directories_table(directories: Iterable[Directory], query: Query, now: datetime) -> Table[DirectoryRow]:
    """Return the directories that match, the newest first."""
    found = sorted(
        (one for one in directories if query.matches(one.name, one.id, one.type)),
        key=lambda one: (one.created_at or _EARLIEST, one.id),
        reverse=True,
    )
    return table(
        found,
        query,
        status=lambda one: one.type or "user",
        row=lambda one: DirectoryRow(
            one.id,
            one.name or one.id,
            one.type or "user",
            _age(one.created_at, now),
            _left(one.expires_at, now),
        ),
        one="directory",
        many="directories",
    )


def directory_files_table(
    files: Iterable[DirectoryFile], query: Query, now: datetime
) -> Table[DirectoryFileRow]:
    """Return the files that match, by name."""
    found = sorted(
        (file for file in files if query.matches(file.display_name, file.unique_id, file.id)),
        key=lambda file: ((file.display_name or file.id).lower(), file.id),
    )
    return table(
        found,
        query,
        status=lambda _: "",
        row=lambda file: DirectoryFileRow(
            file.id, file.display_name or file.id, file.unique_id or "", _age(file.created_at, now)
        ),
        one="file",
    )


def _age(at: datetime | None, now: datetime) -> str:
    return words.NOTHING if at is None else words.duration((now - at).total_seconds())


def _left(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    return f"in {words.duration((at - now).total_seconds())}" if at > now else "expired"
