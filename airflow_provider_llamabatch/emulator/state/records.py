"""
What the emulator remembers.

Times are seconds of its clock; ``order`` counts records as they were made. Records name each other by id, so that
they can be written to a file as they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

from airflow_provider_llamabatch.emulator.models.requests import JobType, SavedWebhook

NEVER = 1e15
"""A time that does not come."""


def _json(value: Any) -> Any:
    """Return what can be sent as JSON. Raises ValueError for anything else."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"this is no JSON: {error}") from None
    return value


class FileResult(BaseModel):
    """
    What a job over a certain file comes to, whatever the file holds.

    ``markdown`` takes the place of the file's text (a form feed begins a new page), ``extract_result`` that of what
    would be extracted. ``failed_pages`` cannot be read, ``error_message`` lets the job fail, ``never_ends`` lets it
    run for ever. ``confidence`` is that of every field extracted from it, where the configuration asks for scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    markdown: str | None = None
    extract_result: Annotated[dict[str, Any] | list[dict[str, Any]] | None, AfterValidator(_json)] = None
    failed_pages: tuple[PositiveInt, ...] = ()
    error_message: str | None = None
    never_ends: bool = False
    confidence: float = Field(default=1.0, ge=0, le=1)


@dataclass(slots=True)
class StoredFile:
    """A file of the files API; every upload makes one. ``blob`` is where its bytes are."""

    id: str
    order: int
    created_at: float
    name: str
    blob: str
    purpose: str
    external_file_id: str | None = None
    content_type: str | None = None


@dataclass(slots=True)
class Directory:
    """A directory, live or deleted."""

    id: str
    order: int
    created_at: float
    updated_at: float
    name: str
    type: str
    description: str | None = None
    connector_subscription_id: str | None = None
    system_metadata: dict[str, Any] | None = None
    expires_at: float | None = None
    deleted_at: float | None = None

    def is_live(self, now: float) -> bool:
        """Whether the directory still exists at this moment."""
        return self.deleted_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(slots=True)
class DirectoryFile:
    """A file's place in a directory. It keeps the bytes also when the stored file is deleted."""

    id: str
    order: int
    created_at: float
    updated_at: float
    directory_id: str
    display_name: str
    unique_id: str
    file_id: str
    blob: str
    metadata: dict[str, Any] | None = None
    deleted_at: float | None = None


@dataclass(slots=True)
class Configuration:
    """A saved configuration or a built-in preset."""

    id: str
    order: int
    created_at: float
    updated_at: float
    name: str
    parameters: dict[str, Any]
    version: str

    @property
    def product_type(self) -> str:
        """The product that can use this configuration."""
        return str(self.parameters.get("product_type", "unknown"))


@dataclass(slots=True)
class WebhookConfiguration:
    """A saved webhook."""

    id: str
    order: int
    created_at: float
    updated_at: float
    webhook: SavedWebhook


@dataclass(slots=True)
class Job:
    """A parse or extract job. Its whole course is fixed when it is made; only a cancel changes it."""

    id: str
    order: int
    created_at: float
    running_at: float
    ended_at: float
    type: JobType
    blob: str
    file_input: str
    parameters: dict[str, Any]
    name: str | None = None
    configuration_id: str | None = None
    error: str | None = None
    pages: tuple[int, ...] = ()
    failed_pages: tuple[int, ...] = ()
    result: FileResult | None = None
    extracted: dict[str, Any] | list[dict[str, Any]] | None = None
    cancelled_at: float | None = None
    user_metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The course of a batch that nobody cancels."""

    created_at: float
    throttled_at: float
    running_at: float
    ended_at: float
    final_status: str


@dataclass(slots=True)
class Entry:
    """One file of a batch: the job it gets, or why it gets none (an entry may stay without both)."""

    file_id: str
    mapped_at: float
    job_id: str | None = None
    error_message: str | None = None


@dataclass(slots=True)
class Batch:
    """A batch over the files that its directory held when it was created."""

    id: str
    order: int
    directory_id: str
    job_type: JobType
    configuration_id: str
    timeline: Timeline
    entries: list[Entry] = field(default_factory=list)
    cancel_asked_at: float | None = None
    cancelled_at: float | None = None
    results_looks: int = 0

    @property
    def created_at(self) -> float:
        """When the batch was created."""
        return self.timeline.created_at
