"""The bodies and queries of requests. What breaks them is refused with 422 before a route sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import from_json

from airflow_provider_llamabatch.emulator.documents.schemas import check_schema
from airflow_provider_llamabatch.emulator.models.options import MAX_WEBHOOKS, AtLeastOne, ParseOptions

JobType = Literal["parse_v2", "extract_v2"]
JobStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
BatchStatus = Literal["PENDING", "THROTTLED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
ParseTier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]
ExtractTier = Literal["cost_effective", "agentic", "agentic_plus", "turbo"]
ProductType = Literal["split_v1", "extract_v2", "classify_v2", "parse_v2", "spreadsheet_v1", "unknown"]
Purpose = Literal["user_data", "parse", "extract", "split", "classify", "sheet", "agent_app"]
DirectoryType = Literal["user", "index", "ephemeral"]
EVENTS = [
    f"{product}.{event}"
    for product, events in {
        "extract": "pending success error partial_success cancelled",
        "parse": "pending running success error partial_success cancelled",
        "classify": "pending running success error partial_success cancelled",
        "sheets": "pending success error partial_success cancelled",
        "split": "pending processing success error cancelled",
        "batch": "pending running success error cancelled",
        "verify": "pending running success error cancelled",
    }.items()
    for event in events.split()
] + ["unmapped_event"]


def parse_json(text: bytes | str) -> Any:
    """Read JSON. Raises ValueError also for what could not be sent back: infinite numbers, lone surrogates, depth."""
    value = from_json(text, allow_inf_nan=False)
    json.dumps(value, allow_nan=False)  # 1e999 is read as infinity
    return value


def _split(values: Any) -> Any:
    return [part for value in values for part in str(value).split(",") if part]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _event(word: str) -> str:
    if word not in EVENTS:
        raise ValueError(f"Input should be one of {', '.join(EVENTS)}")
    return word


Event = Annotated[str, AfterValidator(_event), Field(json_schema_extra={"enum": [*EVENTS]})]
Words = Annotated[list[str], BeforeValidator(_split)]
"""A list given as ``?a=x&a=y``, as ``?a=x,y`` or as a mix."""
Moment = Annotated[datetime, AfterValidator(_utc)]
Name = Annotated[str, StringConstraints(min_length=1)]
DataSchema = Annotated[dict[str, Any], AfterValidator(check_schema)]
WebhookUrl = Annotated[str, StringConstraints(pattern="^https?://", max_length=2000)]
Metadata = dict[str, str | int | float | bool | list[str] | None]


class Webhook(BaseModel):
    """An inline webhook."""

    webhook_url: WebhookUrl | None = None
    webhook_headers: dict[str, str] | None = None
    webhook_signing_secret: str | None = None
    webhook_events: list[Event] | None = None
    webhook_output_format: Literal["string", "json"] | None = None


class Webhooks(BaseModel):
    """Whom to tell about a job or a batch."""

    webhook_configuration_ids: Annotated[list[str], Field(max_length=MAX_WEBHOOKS)] | None = None
    webhook_configurations: Annotated[list[Webhook], Field(max_length=MAX_WEBHOOKS)] | None = None


class SavedWebhook(BaseModel):
    """Body of a webhook configuration; no events given means all, an empty list is refused."""

    webhook_url: WebhookUrl
    webhook_headers: dict[str, str] | None = None
    webhook_signing_secret: str | None = None
    webhook_events: Annotated[list[Event], Field(min_length=1)] | None = None
    webhook_output_format: Literal["string", "json"] | None = None


class WebhookChange(BaseModel):
    """Body of a change of a webhook configuration."""

    webhook_url: WebhookUrl | None = None
    webhook_headers: dict[str, str] | None = None
    webhook_signing_secret: str | None = None
    webhook_events: Annotated[list[Event], Field(min_length=1)] | None = None
    webhook_output_format: Literal["string", "json"] | None = None


class Paging(BaseModel):
    """The query of every list. Sizes and tokens are checked where the page is cut: each list has its own bound."""

    page_size: int | None = None
    page_token: str | None = None


class CreatedBetween(Paging):
    """The query of lists that can be limited to a time; both ends are inclusive."""

    created_at_on_or_after: Moment | None = None
    created_at_on_or_before: Moment | None = None

    def holds(self, created_at: float) -> bool:
        """Whether a record of this time is asked for."""
        return is_between(created_at, self.created_at_on_or_after, self.created_at_on_or_before)


def is_between(moment: float, after: datetime | None, before: datetime | None) -> bool:
    """Whether a time lies within two inclusive limits, each of which may be missing."""
    return (after is None or moment >= after.timestamp()) and (before is None or moment <= before.timestamp())


class BatchJobConfig(BaseModel):
    """The job a batch runs for every file."""

    type: JobType
    configuration_id: str


class BatchConfiguration(BaseModel):
    """The configuration of a batch."""

    job: BatchJobConfig


class BatchCreate(Webhooks):
    """Body of a create."""

    source_directory_id: str
    config: BatchConfiguration


class BatchList(CreatedBetween):
    """Query of a list."""

    status: BatchStatus | None = None
    source_directory_id: str | None = None


class DirectoryCreate(BaseModel):
    """Body of a create."""

    name: Name
    description: str | None = None
    type: Literal["user", "ephemeral"] = "user"
    connector_subscription_id: str | None = None
    system_metadata: dict[str, Any] | None = None
    expires_at: Any = None


class DirectoryChange(BaseModel):
    """Body of a change."""

    name: Name | None = None
    description: str | None = None


class DirectoryList(Paging):
    """Query of a list."""

    name: str | None = None
    type: DirectoryType | None = None
    types: list[DirectoryType] = []
    include_deleted: bool = False


class FileEntry(BaseModel):
    """How a file is called in its directory."""

    display_name: str | None = None
    unique_id: str | None = None
    metadata: Metadata | None = None


class FileAdd(FileEntry):
    """Body of an add: a file that was uploaded through the files API."""

    file_id: str


class FileChange(FileEntry):
    """Body of a change; the metadata replace what was there."""

    unique_id: Name | None = None
    target_directory_id: str | None = None


class DirectoryFileList(Paging):
    """Query of a list."""

    display_name: str | None = None
    display_name_contains: str | None = None
    unique_id: str | None = None
    file_id: str | None = None
    include_deleted: bool = False
    updated_at_on_or_after: Moment | None = None
    updated_at_on_or_before: Moment | None = None
    expand: Words = []


class BulkDelete(BaseModel):
    """Body of a bulk delete."""

    directory_file_ids: Annotated[list[str], Field(min_length=1, max_length=100)]


class FileList(Paging):
    """Query of a list."""

    order_by: Literal["name", "id", "created_at"] = "created_at"
    file_name: str | None = None
    external_file_id: str | None = None
    file_ids: Words = []
    expand: Words = []


class ParseUpload(ParseOptions):
    """The configuration of a job over a file; both may be left to the saved configuration that is named."""

    tier: Literal["fast", "cost_effective", "agentic", "agentic_plus", "configured"] | None = None
    version: Name | None = None
    configuration_id: str | None = None
    user_metadata: dict[str, str] | None = None


class ParseCreate(ParseUpload):
    """Body of a create."""

    file_id: str | None = None
    source_url: Annotated[str, StringConstraints(pattern="^https?:")] | None = None
    http_proxy: Annotated[str, StringConstraints(pattern="^https?:")] | None = None


class ParseList(CreatedBetween):
    """Query of a list."""

    status: JobStatus | None = None
    job_ids: Words = []


class ExtractConfiguration(BaseModel):
    """The options of an extract job."""

    data_schema: DataSchema
    target_pages: str | None = None
    max_pages: AtLeastOne | None = None
    tier: ExtractTier = "cost_effective"
    version: str = "latest"
    disable_cache: bool = False
    extraction_target: Literal["per_doc", "per_page", "per_table_row"] = "per_doc"
    system_prompt: str | None = None
    cite_sources: bool = False
    advanced_citations: bool = True
    confidence_scores: bool = False
    spreadsheet_mode: bool = False
    sheet_names: list[str] | None = None
    parse_tier: ParseTier | None = None
    parse_config_id: str | None = None


class ExtractCreate(Webhooks):
    """Body of a create."""

    file_input: Annotated[str, StringConstraints(max_length=200)]
    configuration_id: str | None = None
    configuration: ExtractConfiguration | None = None


class ExtractList(CreatedBetween):
    """Query of a list."""

    status: BatchStatus | None = None
    configuration_id: str | None = None
    file_input: str | None = None
    document_input_value: str | None = None
    document_input_type: str | None = None
    job_ids: Words = []
    expand: Words = []


class SchemaValidate(BaseModel):
    """Body of a validation."""

    data_schema: dict[str, Any]


class SchemaGenerate(BaseModel):
    """Body of a generation. No model runs here, so ``prompt`` adds nothing."""

    data_schema: DataSchema | None = None
    file_id: str | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    prompt: str | None = None


class ProjectList(Paging):
    """Query of the newer list."""

    name: str | None = None


class WebhookList(Paging):
    """Query of a list."""

    include_total: bool = False


class Changes(BaseModel):
    """Any fields; who takes them checks them."""

    model_config = ConfigDict(extra="allow")
