"""
What the API says, as pydantic models.

Fields follow the official Python client ``llama-cloud`` 2.19.0. Only what a decision needs is required; unknown
fields are kept and unknown status words pass, so that a newer API does not break a running deployment.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class BatchStatus(StrEnum):
    """The documented statuses of a batch."""

    PENDING = "PENDING"
    THROTTLED = "THROTTLED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TERMINAL_STATUSES = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED})


def is_terminal(status: str) -> bool:
    """Say whether a batch with this status has ended; a word nobody knows is still running."""
    return status in TERMINAL_STATUSES


class ApiModel(BaseModel):
    """Base of all models: tolerant of new fields, built when first used (DAG files are parsed often)."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())


class BatchJob(ApiModel):
    """The job that a batch runs for each file."""

    type: str
    configuration_id: str


class BatchConfig(ApiModel):
    """Configuration of a batch."""

    job: BatchJob


class JobReference(ApiModel):
    """A job made for one file of a batch."""

    id: str
    type: str


class BatchResult(ApiModel):
    """What became of one file of a batch; neither a job nor an error means that the job is not known (yet)."""

    source_directory_file_id: str
    job_reference: JobReference | None = None
    error_message: str | None = None


class Batch(ApiModel):
    """A batch; ``results`` is null unless asked for, while it runs, and sometimes shortly after."""

    id: str
    status: str
    project_id: str | None = None
    source_directory_id: str | None = None
    config: BatchConfig | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    results: list[BatchResult] | None = None

    @property
    def is_terminal(self) -> bool:
        """Say whether the batch has ended."""
        return is_terminal(self.status)


class Page(ApiModel, Generic[T]):
    """One page of a list; the end is reached when ``next_page_token`` is null or empty."""

    items: list[T]
    next_page_token: str | None = None
    total_size: int | None = None


class BatchStatusRow(BaseModel):
    """What waiting needs of a batch on a list page, and nothing else."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    id: str
    status: str


class BatchStatusPage(BaseModel):
    """A page of the batch list, read for waiting: validated in one go."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    items: list[BatchStatusRow]
    next_page_token: str | None = None


class Directory(ApiModel):
    """A directory of source files."""

    id: str
    name: str | None = None
    project_id: str | None = None
    type: str | None = None
    description: str | None = None
    connector_subscription_id: str | None = None
    expires_at: datetime | None = None
    system_metadata: dict[str, Any] | None = None
    deleted_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class DirectoryFile(ApiModel):
    """A file of a directory; ``id`` is what a batch calls ``source_directory_file_id``."""

    id: str
    directory_id: str | None = None
    project_id: str | None = None
    display_name: str | None = None
    unique_id: str | None = None
    file_id: str | None = None
    metadata: dict[str, Any] | None = None
    download_url: dict[str, Any] | None = None
    deleted_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ParseJob(ApiModel):
    """A parse job: PENDING, RUNNING, COMPLETED, FAILED or CANCELLED."""

    id: str
    status: str
    project_id: str | None = None
    error_message: str | None = None
    name: str | None = None
    tier: str | None = None
    user_metadata: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ParsePage(ApiModel):
    """One page of a parse result; ``success`` is False, with ``error``, when the page could not be read."""

    page_number: int
    success: bool = True
    text: str | None = None
    markdown: str | None = None
    error: str | None = None


class ParsePages(ApiModel):
    """The pages of one kind of a parse result."""

    pages: list[ParsePage] = Field(default_factory=list)


class ParseResult(ApiModel):
    """A parse job with the parts that were asked for through ``expand``; the others are null."""

    job: ParseJob
    text: ParsePages | None = None
    markdown: ParsePages | None = None
    items: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    forms: dict[str, Any] | None = None
    text_full: str | None = None
    markdown_full: str | None = None
    job_metadata: dict[str, Any] | None = None
    raw_parameters: dict[str, Any] | None = None
    result_content_metadata: dict[str, Any] | None = None
    images_content_metadata: dict[str, Any] | None = None


class ExtractJob(ApiModel):
    """An extract job with its result: an object, a list of objects, or null."""

    id: str
    status: str
    project_id: str | None = None
    file_input: str | None = None
    configuration_id: str | None = None
    configuration: dict[str, Any] | None = None
    error_message: str | None = None
    extract_result: dict[str, Any] | list[dict[str, Any]] | None = None
    extract_metadata: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Configuration(ApiModel):
    """A saved product configuration."""

    id: str
    name: str | None = None
    product_type: str | None = None
    version: str | None = None
    parameters: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Project(ApiModel):
    """A project."""

    id: str
    name: str | None = None
    organization_id: str | None = None
    is_default: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
