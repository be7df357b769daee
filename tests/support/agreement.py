"""Every call of the package beside what the official client calls it, and the least that answers each."""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls

if TYPE_CHECKING:
    from llama_cloud import LlamaCloud

    from tests.support.recorder import Asked

KEY = "llx-agreement-key"
BATCH = {
    "id": "bat-1",
    "project_id": "prj-1",
    "source_directory_id": "dir-1",
    "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
    "status": "RUNNING",
}
JOB = {"id": "pjb-1", "status": "RUNNING", "project_id": "prj-1", "job": {"id": "pjb-1", "status": "RUNNING"}}

NOON = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SUMMER = datetime(2026, 7, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))
DATES: dict[str, Any] = {"created_at_on_or_after": SUMMER, "created_at_on_or_before": NOON}
WEBHOOKS = [
    {
        "webhook_url": "https://example.com/hook?x=1&y=ü",
        "webhook_events": ["batch.success", "batch.error"],
        "webhook_headers": {"X-Token": "to ken"},
        "webhook_output_format": "json",
        "webhook_signing_secret": "whsec-1",
    },
    {"webhook_url": "https://example.com/other"},
]
TARGET = {"source_directory_id": "dir-1", "configuration_id": "cfg-PARSE_AGENTIC"}
UPLOAD_OPTIONS = {
    "display_name": 'Größe & "Preis".pdf',
    "unique_id": "u 1",
    "external_file_id": "ext/1",
    "metadata": '{"a": ["ü", 1]}',
}


def config(job_type: str) -> dict[str, Any]:
    return {"job": {"type": job_type, "configuration_id": TARGET["configuration_id"]}}


@dataclass(frozen=True)
class Row:
    """A call of ours beside the official client's method; ``theirs`` is None where the arguments are the same."""

    name: str
    method: str
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.ours)})"

    def call(self) -> Any:
        return getattr(calls, self.name)(**self.ours)

    def ask(self, client: LlamaCloud, scope: dict[str, str]) -> Any:
        method = operator.attrgetter(self.method)(client)
        known = inspect.signature(method).parameters
        theirs = self.ours if self.theirs is None else self.theirs
        return method(**theirs, **{name: value for name, value in scope.items() if name in known})


CREATED = {"config": config("parse_v2"), "source_directory_id": "dir-1"}
IN_DIRECTORY = {"directory_id": "dir-1", "directory_file_id": "dfl-1"}
DIRECTORY = {"directory_id": "dir-1"}
TABLE = [
    Row("create_batch", "batches.create", TARGET, CREATED),
    Row(
        "create_batch",
        "batches.create",
        {
            **TARGET,
            "job_type": "extract_v2",
            "webhook_configurations": WEBHOOKS,
            "webhook_configuration_ids": ["whc-1", "whc-2"],
        },
        {
            **CREATED,
            "config": config("extract_v2"),
            "webhook_configurations": WEBHOOKS,
            "webhook_configuration_ids": ["whc-1", "whc-2"],
        },
    ),
    Row(
        "create_batch",
        "batches.create",
        {**TARGET, "webhook_configurations": [], "webhook_configuration_ids": []},
        {**CREATED, "webhook_configurations": [], "webhook_configuration_ids": []},
    ),
    Row("list_batches", "batches.list"),
    Row(
        "list_batches",
        "batches.list",
        {"source_directory_id": "dir-1", "status": "RUNNING", "page_size": 7, **DATES},
    ),
    Row("list_batches", "batches.list", {"created_at_on_or_after": "2026-11-01T00:00:00+00:00"}),
    Row(
        "list_batch_statuses",
        "batches.list",
        {"created_at_on_or_after": NOON, "page_size": None},
        {"created_at_on_or_after": NOON},
    ),
    Row("list_batch_statuses", "batches.list", {"status": "COMPLETED", "page_size": 100, **DATES}),
    Row("list_directory_batches", "batches.list", {}),
    Row(
        "list_directory_batches",
        "batches.list",
        {"source_directory_id": "dir-1", "created_at_on_or_after": NOON, "page_size": 100},
    ),
    Row("get_batch", "batches.get", {"batch_id": "bat-1"}),
    Row(
        "get_batch",
        "batches.get",
        {"batch_id": "bat-1", "expand_results": True},
        {"batch_id": "bat-1", "expand": ["results"]},
    ),
    Row("get_batch_status", "batches.get", {"batch_id": "bat-1"}),
    Row("cancel_batch", "batches.cancel", {"batch_id": "bat-1"}),
    Row("create_directory", "beta.directories.create", {"name": "Straße 1"}),
    Row(
        "create_directory",
        "beta.directories.create",
        {"name": "n", "type": "ephemeral", "description": ""},
    ),
    Row("list_directories", "beta.directories.list"),
    Row(
        "list_directories",
        "beta.directories.list",
        {
            "name": "a&b=ü",
            "type": "user",
            "types": ["user", "index"],
            "include_deleted": True,
            "page_size": 1,
        },
    ),
    Row("list_directories", "beta.directories.list", {"include_deleted": False, "types": []}),
    Row("get_directory", "beta.directories.get", DIRECTORY),
    Row("delete_directory", "beta.directories.delete", DIRECTORY),
    Row("update_directory", "beta.directories.update", {**DIRECTORY, "name": "n", "description": "d"}),
    Row(
        "upload_directory_file",
        "beta.directories.files.upload",
        {**DIRECTORY, "file": b"%PDF \r\n--x\xff", "display_name": "a.pdf"},
        {**DIRECTORY, "upload_file": ("a.pdf", b"%PDF \r\n--x\xff"), "display_name": "a.pdf"},
    ),
    Row(
        "upload_directory_file",
        "beta.directories.files.upload",
        {**DIRECTORY, "file": BytesIO, "size": 0, "content_type": "application/pdf", **UPLOAD_OPTIONS},
        {
            **DIRECTORY,
            "upload_file": (UPLOAD_OPTIONS["display_name"], b"", "application/pdf"),
            **UPLOAD_OPTIONS,
        },
    ),
    Row("list_directory_files", "beta.directories.files.list", DIRECTORY),
    Row(
        "list_directory_files",
        "beta.directories.files.list",
        {
            **DIRECTORY,
            "display_name": "a b.txt",
            "display_name_contains": "+",
            "unique_id": "u",
            "file_id": "f",
            "include_deleted": True,
            "expand": ["download_url"],
            "updated_at_on_or_after": SUMMER,
            "updated_at_on_or_before": NOON,
            "page_size": 1000,
        },
    ),
    Row("get_directory_file", "beta.directories.files.get", IN_DIRECTORY),
    Row("get_directory_file", "beta.directories.files.get", {**IN_DIRECTORY, "expand": ["download_url"]}),
    Row("delete_directory_file", "beta.directories.files.delete", IN_DIRECTORY),
    Row(
        "update_directory_file",
        "beta.directories.files.update",
        {
            **IN_DIRECTORY,
            "display_name": "b.txt",
            "unique_id": "u",
            "metadata": {"a": ["b"]},
            "target_directory_id": "dir-2",
        },
    ),
    Row("add_directory_file", "beta.directories.files.add", {**DIRECTORY, "file_id": "f-1"}),
    Row(
        "add_directory_file",
        "beta.directories.files.add",
        {**DIRECTORY, "file_id": "f-1", "display_name": "b", "unique_id": "u", "metadata": {"a": 1}},
    ),
    Row("cancel_parse_job", "parsing.cancel", {"job_id": "pjb-1"}),
    Row("delete_parse_job", "parsing.delete", {"job_id": "pjb-1"}),
    Row("cancel_extract_job", "extract.cancel", {"job_id": "ext-1"}),
    Row("delete_extract_job", "extract.delete", {"job_id": "ext-1"}),
    Row("delete_extract_job", "extract.delete", {"job_id": "ext-1", "force": True}),
    Row("get_parse_job_status", "parsing.get", {"job_id": "pjb-1"}),
    Row("get_extract_job_status", "extract.get", {"job_id": "ext-1"}),
    Row("list_parse_job_statuses", "parsing.list", {"job_ids": ["pjb-1", "pjb-2"], "page_size": 2}),
    Row("list_extract_job_statuses", "extract.list", {"job_ids": ["ext-1"], "page_size": 2}),
    Row(
        "create_configuration",
        "configurations.create",
        {"name": "n", "parameters": {"product_type": "parse_v2", "tier": "agentic", "version": "latest"}},
    ),
    Row(
        "delete_configuration", "configurations.delete", {"configuration_id": "cfg-1"}, {"config_id": "cfg-1"}
    ),
    Row("list_parse_jobs", "parsing.list"),
    Row(
        "list_parse_jobs",
        "parsing.list",
        {"job_ids": ["pjb-1", "pjb-2"], "status": "FAILED", "page_size": 2, **DATES},
    ),
    Row("get_parse_job", "parsing.get", {"job_id": "pjb-1"}),
    Row(
        "get_parse_job",
        "parsing.get",
        {"job_id": "pjb-1", "expand": ["markdown", "text", "items"], "image_filenames": "a.png,b.png"},
    ),
    Row("list_extract_jobs", "extract.list"),
    Row(
        "list_extract_jobs",
        "extract.list",
        {
            "job_ids": ["ext-1"],
            "status": "COMPLETED",
            "configuration_id": "cfg-1",
            "file_input": "dfl-1",
            "document_input_type": "file_id",
            "document_input_value": "dfl-1",
            "expand": ["extract_metadata", "metadata"],
            "page_size": 3,
            **DATES,
        },
    ),
    Row("get_extract_job", "extract.get", {"job_id": "ext-1"}),
    Row("get_extract_job", "extract.get", {"job_id": "ext-1", "expand": ["extract_metadata"]}),
    Row("list_configurations", "configurations.list"),
    Row(
        "list_configurations",
        "configurations.list",
        {"name": "n", "product_type": ["parse_v2", "extract_v2"], "latest_only": True, "page_size": 5},
    ),
    Row(
        "get_configuration", "configurations.retrieve", {"configuration_id": "cfg-1"}, {"config_id": "cfg-1"}
    ),
    Row("list_projects", "projects.list"),
    Row("list_projects", "projects.list", {"project_name": "Default"}),
]
PAGED = [row for row in TABLE if row.name.startswith("list_") and row.name != "list_projects"]
SCOPES: list[dict[str, str]] = [
    {},
    {"project_id": "prj-1"},
    {"project_id": "prj-1", "organization_id": "org-1"},
]
BATCH_METHODS = [row for row in TABLE if hasattr(LlamaBatchHook, row.name) and "page_size" not in row.ours]


def minimal(asked: Asked) -> Any:
    """Answer with the least that the documentation promises."""
    if asked.method == "DELETE":
        return {"id": "pjb-1", "project_id": "prj-1"} if "/v2/" in asked.path else None
    if asked.path == "/api/v1/projects":
        return [{"id": "prj-1", "name": "Default", "organization_id": "org-1"}]
    name = asked.path.rpartition("/")[2]
    if asked.method == "GET" and name in (
        "batches",
        "directories",
        "files",
        "parse",
        "extract",
        "configurations",
    ):
        return {"items": []}
    if "/batches" in asked.path:
        return BATCH
    asked_for = [part for part in asked.path.split("/") if "-" in part and part != "bulk-delete"]
    made = {**JOB, "id": asked_for[-1]} if asked_for else JOB
    return {**made, "job": made, "name": "n", "display_name": "n"}
