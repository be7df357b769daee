"""
What the API says, as pydantic models.

Fields follow the official Python client ``llama-cloud`` 2.19.0. Only what a decision needs is required; unknown
fields are kept and unknown status words pass, so that a newer API does not break a running deployment. Nothing
hostile passes: texts are cleaned (see ``text.py``), ids are safe in a path, a date that makes no sense is None.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from airflow_provider_llamabatch.defaults import MAX_PAGE_ITEMS
from airflow_provider_llamabatch.llamacloud.fields import (
    Content,
    Date,
    Document,
    Extracted,
    Id,
    Metadata,
    Name,
    Text,
    Token,
    Word,
    or_none,
    without_malformed,
)
from airflow_provider_llamabatch.llamacloud.statuses import is_terminal
from airflow_provider_llamabatch.llamacloud.text import clean_content, clean_metadata

T = TypeVar("T")


class ApiModel(BaseModel):
    """Base of all models: tolerant of new fields, built when first used (DAG files are parsed often)."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())

    @model_validator(mode="after")
    def _clean_unknown_fields(self) -> Any:
        if self.__pydantic_extra__:
            object.__setattr__(self, "__pydantic_extra__", self._cleaned(self.__pydantic_extra__))
        return self

    def _cleaned(self, unknown: dict[str, Any]) -> dict[str, Any]:
        return clean_metadata(unknown)


class ContentModel(ApiModel):
    """Base of the parts of a document: fields that this version does not know are content, of any length."""

    def _cleaned(self, unknown: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = clean_content(unknown)
        return cleaned


class BatchJob(ApiModel):
    """The job that a batch runs for each file."""

    type: Word
    configuration_id: Name


class BatchConfig(ApiModel):
    """Configuration of a batch."""

    job: BatchJob


class JobReference(ApiModel):
    """A job made for one file of a batch."""

    id: Name
    type: Word


class BatchResult(ApiModel):
    """What became of one file of a batch; neither a job nor an error means that the job is not known (yet)."""

    source_directory_file_id: Name
    job_reference: JobReference | None = None
    error_message: Text | None = None


def _result(value: Any, validate: ValidatorFunctionWrapHandler) -> BatchResult:
    """Read what became of a file; of what is malformed at least the file is told, as one without a job."""
    try:
        result: BatchResult = validate(value)
    except ValidationError:
        file_id = value.get("source_directory_file_id") if isinstance(value, dict) else None
        return BatchResult(
            source_directory_file_id=file_id if isinstance(file_id, str) and file_id else "unknown",
            error_message="the API's entry for this file cannot be read",
        )
    return result


Result: TypeAlias = Annotated[BatchResult, WrapValidator(_result)]
Results: TypeAlias = Annotated[list[Result], Field(max_length=MAX_PAGE_ITEMS)]


class Batch(ApiModel):
    """A batch; ``results`` is null unless asked for, while it runs, and sometimes shortly after."""

    id: Id
    status: Word
    project_id: Annotated[Name | None, WrapValidator(or_none)] = None
    source_directory_id: Annotated[Name | None, WrapValidator(or_none)] = None
    config: Annotated[BatchConfig | None, WrapValidator(or_none)] = None
    created_at: Date = None
    updated_at: Date = None
    results: Results | None = None

    @property
    def is_terminal(self) -> bool:
        """Say whether the batch has ended."""
        return is_terminal(self.status)


class PlainBatch(Batch):
    """A batch whose results were not asked for, so that they may be anything."""

    results: Annotated[Results | None, WrapValidator(or_none)] = None


class ListedJob(BatchJob):
    """The same on a list page, without what this version does not know."""

    model_config = ConfigDict(extra="ignore")


class ListedConfig(BatchConfig):
    """The same on a list page."""

    model_config = ConfigDict(extra="ignore")
    job: ListedJob


class ListedBatch(Batch):
    """A batch on a list page: many are held at once, so unknown fields and results are passed over."""

    model_config = ConfigDict(extra="ignore")
    config: Annotated[ListedConfig | None, WrapValidator(or_none)] = None
    results: Annotated[None, BeforeValidator(lambda _: None)] = None


def _known_by_id(value: Any, validate: ValidatorFunctionWrapHandler) -> ListedBatch:
    """Read a batch; of one that is malformed what tells it from others: its id, and when it was made."""
    try:
        batch: ListedBatch = validate(value)
    except ValidationError:
        if not isinstance(value, dict):
            raise
        made = value.get("created_at")
        return ListedBatch.model_validate({"id": value.get("id"), "created_at": made, "status": ""})
    return batch


KnownBatch: TypeAlias = Annotated[ListedBatch, WrapValidator(_known_by_id)]


class Page(ApiModel, Generic[T]):
    """One page of a list; the end is reached when ``next_page_token`` is null or empty."""

    items: Annotated[list[T], Field(max_length=MAX_PAGE_ITEMS)]
    next_page_token: Token | None = None
    total_size: Annotated[int | None, WrapValidator(or_none)] = None


class StatusModel(BaseModel):
    """Base of what is read for waiting: everything else is passed over."""

    model_config = ConfigDict(extra="ignore", defer_build=True)


class BatchStatusRow(StatusModel):
    """What waiting needs of a batch, and nothing else."""

    id: Id
    status: Word
    created_at: Date = None


class DirectoryBatchRow(BatchStatusRow):
    """What watching needs of a batch on a list page besides: the directory it is over."""

    source_directory_id: Name | None = None


class JobStatusRow(StatusModel):
    """What waiting needs of a parse or extract job, and nothing else."""

    id: Id
    status: Word
    error_message: Text | None = None


class ParseJobStatus(StatusModel):
    """The same of one parse job, which comes in an envelope."""

    job: JobStatusRow

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id


class StatusPage(StatusModel, Generic[T]):
    """A page of a list, read for waiting: a malformed row is left out."""

    items: Annotated[list[T], Field(max_length=MAX_PAGE_ITEMS), WrapValidator(without_malformed)]
    next_page_token: Token | None = None


BatchStatusPage: TypeAlias = StatusPage[BatchStatusRow]
DirectoryBatchPage: TypeAlias = StatusPage[DirectoryBatchRow]
JobStatusPage: TypeAlias = StatusPage[JobStatusRow]


class Directory(ApiModel):
    """A directory of source files."""

    id: Id
    name: Name | None = None
    project_id: Name | None = None
    type: Word | None = None
    description: Text | None = None
    connector_subscription_id: Name | None = None
    expires_at: Date = None
    system_metadata: Metadata | None = None
    deleted_at: Date = None
    created_at: Date = None
    updated_at: Date = None


class DirectoryFile(ApiModel):
    """A file of a directory; ``id`` is what a batch calls ``source_directory_file_id``."""

    id: Id
    directory_id: Name | None = None
    project_id: Name | None = None
    display_name: Name | None = None
    unique_id: Name | None = None
    file_id: Name | None = None
    metadata: Metadata | None = None
    download_url: Metadata | None = None
    deleted_at: Date = None
    created_at: Date = None
    updated_at: Date = None


class ParseJob(ApiModel):
    """A parse job: PENDING, RUNNING, COMPLETED, FAILED or CANCELLED."""

    id: Id
    status: Word
    project_id: Name | None = None
    error_message: Text | None = None
    name: Name | None = None
    tier: Word | None = None
    user_metadata: Metadata | None = None
    usage: Metadata | None = None  # credits; null until billing recorded them
    created_at: Date = None
    updated_at: Date = None


class ParsePage(ContentModel):
    """One page of a parse result; ``success`` is False, with ``error``, when the page could not be read."""

    page_number: int
    success: bool = True
    text: Document | None = None
    markdown: Document | None = None
    error: Text | None = None


class ParsePages(ContentModel):
    """The pages of one kind of a parse result."""

    pages: list[ParsePage] = Field(default_factory=list)


class ParseResult(ContentModel):
    """A parse job with the parts that were asked for through ``expand``; the others are null."""

    job: ParseJob
    text: ParsePages | None = None
    markdown: ParsePages | None = None
    items: Content | None = None
    metadata: Content | None = None
    forms: Content | None = None
    text_full: Document | None = None
    markdown_full: Document | None = None
    job_metadata: Content | None = None
    raw_parameters: Content | None = None
    result_content_metadata: Content | None = None
    images_content_metadata: Content | None = None

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id


class ExtractJob(ApiModel):
    """An extract job with its result: an object, a list of objects, or null."""

    id: Id
    status: Word
    project_id: Name | None = None
    file_input: Name | None = None
    configuration_id: Name | None = None
    configuration: Content | None = None
    error_message: Text | None = None
    extract_result: Extracted | None = None
    extract_metadata: Content | None = None
    metadata: Metadata | None = None
    usage: Metadata | None = None  # credits; null until billing recorded them
    created_at: Date = None
    updated_at: Date = None


class Configuration(ApiModel):
    """A saved product configuration."""

    id: Id
    name: Name | None = None
    product_type: Word | None = None
    version: Name | None = None
    parameters: Content | None = None
    created_at: Date = None
    updated_at: Date = None


class Project(ApiModel):
    """A project."""

    id: Id
    name: Name | None = None
    organization_id: Name | None = None
    is_default: bool | None = None
    created_at: Date = None
    updated_at: Date = None


Projects: TypeAlias = Annotated[list[Project], Field(max_length=MAX_PAGE_ITEMS)]
