"""
The answers as the OpenAPI document shows them.

The routes build their answers as plain values, which is several times faster; tests hold those against these models.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from airflow_provider_llamabatch.emulator.models.products import Parameters
from airflow_provider_llamabatch.emulator.models.requests import (
    BatchConfiguration,
    BatchStatus,
    DirectoryType,
    ExtractConfiguration,
    JobStatus,
    JobType,
    Metadata,
    Name,
    ProductType,
)

Item = TypeVar("Item")


class Refused(BaseModel):
    """A refusal."""

    detail: Any


class Page(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_page_token: str | None = None
    total_size: int | None = None


class Record(BaseModel):
    """What every record shows."""

    id: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


class JobReference(BaseModel):
    """A job."""

    type: JobType
    id: str


class BatchResult(BaseModel):
    """One file of a batch."""

    source_directory_file_id: str
    job_reference: JobReference | None = None
    error_message: str | None = None


class BatchResponse(Record):
    """A batch."""

    project_id: str
    source_directory_id: str
    config: BatchConfiguration
    status: BatchStatus
    results: list[BatchResult] | None = None


class DirectoryResponse(Record):
    """A directory."""

    project_id: str
    name: Name
    description: str | None = None
    type: DirectoryType | None = None
    connector_subscription_id: str | None = None
    expires_at: datetime | None = None
    system_metadata: dict[str, Any] | None = None
    deleted_at: datetime | None = None


class PresignedUrl(BaseModel):
    """A download address."""

    url: str
    expires_at: datetime
    form_fields: dict[str, str] | None = None


class DirectoryFileResponse(Record):
    """A file of a directory."""

    project_id: str
    directory_id: str
    unique_id: Name
    display_name: Name
    file_id: str | None = None
    metadata: Metadata = {}
    deleted_at: datetime | None = None
    download_url: PresignedUrl | None = None


class FileResponse(BaseModel):
    """A file."""

    id: str
    name: str
    project_id: str
    external_file_id: str | None = None
    file_type: str | None = None
    purpose: str | None = None
    expires_at: datetime | None = None
    last_modified_at: datetime | None = None
    download_url: PresignedUrl | None = None


class ConfigurationResponse(Record):
    """A saved configuration."""

    name: str
    product_type: ProductType
    version: str
    parameters: Parameters


class ProjectResponse(Record):
    """A project."""

    name: str
    organization_id: str
    is_default: bool = False


class JobUsage(BaseModel):
    """What a parse job cost."""

    credits: float | None = None


class ParseJobResponse(Record):
    """A parse job."""

    project_id: str
    status: JobStatus
    error_message: str | None = None
    name: str | None = None
    tier: str | None = None
    usage: JobUsage | None = None
    user_metadata: dict[str, str] | None = None


class ParseJobDeleted(BaseModel):
    """What is left of a parse job."""

    id: str
    project_id: str


class Paged(BaseModel, Generic[Item]):
    """A result page by page."""

    pages: list[Item]


class TextPage(BaseModel):
    """A page as text."""

    page_number: int
    text: str


class FailedPage(BaseModel):
    """A page that could not be parsed."""

    page_number: int
    success: Literal[False]
    error: str


class MarkdownPage(BaseModel):
    """A page as markdown."""

    page_number: int
    success: Literal[True]
    markdown: str
    header: str | None = None
    footer: str | None = None


class TextItem(BaseModel):
    """A paragraph."""

    type: Literal["text"] = "text"
    md: str
    value: str


class HeadingItem(BaseModel):
    """A heading."""

    type: Literal["heading"] = "heading"
    md: str
    level: int
    value: str


class ListItem(BaseModel):
    """A list."""

    type: Literal["list"] = "list"
    md: str
    items: list[TextItem | ListItem]
    ordered: bool


class TableItem(BaseModel):
    """A table."""

    type: Literal["table"] = "table"
    md: str
    rows: list[list[str | int | float | None]]
    html: str
    csv: str


class ItemsPage(BaseModel):
    """A page as items."""

    page_number: int
    success: Literal[True]
    items: list[TextItem | HeadingItem | ListItem | TableItem]
    page_width: float
    page_height: float


class MetadataPage(BaseModel):
    """What is known about a page."""

    page_number: int
    confidence: float | None = None


class FormsPage(BaseModel):
    """The forms of a page: none are looked for."""

    page_number: int
    success: Literal[True]
    forms: list[dict[str, Any]]
    page_width: float | None = None
    page_height: float | None = None


class ResultMetadata(BaseModel):
    """A result that can be downloaded."""

    size_bytes: int
    exists: bool = True
    presigned_url: str | None = None


class ImageMetadata(BaseModel):
    """An image found in a document: none are looked for."""

    index: int
    filename: str


class ImagesMetadata(BaseModel):
    """The images of a document."""

    total_count: int
    images: list[ImageMetadata]


class ParseResultResponse(BaseModel):
    """A parse job with the results that were asked for."""

    job: ParseJobResponse
    result_content_metadata: dict[str, ResultMetadata] | None = None
    text: Paged[TextPage] | None = None
    markdown: Paged[MarkdownPage | FailedPage] | None = None
    items: Paged[ItemsPage | FailedPage] | None = None
    metadata: Paged[MetadataPage] | None = None
    forms: Paged[FormsPage | FailedPage] | None = None
    markdown_full: str | None = None
    text_full: str | None = None
    images_content_metadata: ImagesMetadata | None = None
    job_metadata: dict[str, Any] | None = None
    raw_parameters: dict[str, Any] | None = None


class ParseVersionsResponse(BaseModel):
    """The versions of each tier, and what ``latest`` means."""

    fast: list[str]
    cost_effective: list[str]
    agentic: list[str]
    agentic_plus: list[str]
    latest: dict[str, str]


class ExtractedFields(BaseModel):
    """Citations and confidence by field."""

    document_metadata: dict[str, Any] | None = None
    page_metadata: list[dict[str, Any]] | None = None
    row_metadata: list[dict[str, Any]] | None = None


class ExtractMetadata(BaseModel):
    """How an extract job came to its result."""

    field_metadata: ExtractedFields | None = None
    parse_job_id: str | None = None
    parse_tier: str | None = None


class PagesUsed(BaseModel):
    """Pages of an extract job."""

    num_pages_extracted: int | None = None
    num_pages_billed: int | None = None


class ExtractJobMetadata(BaseModel):
    """Pages of an extract job."""

    usage: PagesUsed | None = None


class ExtractUsage(BaseModel):
    """What an extract job cost."""

    credits: float | None = None
    extract_credits: float | None = None
    parse_credits: float | None = None


class ExtractJobResponse(BaseModel):
    """An extract job."""

    id: str
    project_id: str
    file_input: str
    status: str
    created_at: datetime
    updated_at: datetime
    configuration_id: str | None = None
    configuration: ExtractConfiguration | None = None
    error_message: str | None = None
    extract_result: dict[str, Any] | list[dict[str, Any]] | None = None
    extract_metadata: ExtractMetadata | None = None
    metadata: ExtractJobMetadata | None = None
    usage: ExtractUsage | None = None


class SchemaResponse(BaseModel):
    """A schema that can be used."""

    data_schema: dict[str, Any]


class GeneratedConfiguration(BaseModel):
    """A configuration to save."""

    name: str
    parameters: Parameters


class WebhookConfigurationResponse(Record):
    """A saved webhook; its secret is never shown."""

    tenant_id: str
    tenant_type: Literal["project"] = "project"
    webhook_url: str
    webhook_headers: dict[str, str] | None = None
    webhook_events: list[str] | None = None
    webhook_output_format: Literal["string", "json"] | None = None
    has_secret: bool
