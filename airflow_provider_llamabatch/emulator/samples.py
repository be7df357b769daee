"""Sample records of the right shape, for contract tests whose ids are made up (setting ``lenient_ids``). Pure."""

from __future__ import annotations

from typing import Any

from airflow_provider_llamabatch.emulator import documents
from airflow_provider_llamabatch.emulator.records import (
    Batch,
    Blob,
    Configuration,
    Directory,
    DirectoryFile,
    Job,
    JobType,
    StoredFile,
    Timeline,
)

TEXT = b"# Sample\n\nTotal: 12.50"
BLOB = Blob(TEXT, documents.read("sample.md", TEXT))
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}
PARAMETERS: dict[JobType, dict[str, Any]] = {
    "parse_v2": {"product_type": "parse_v2", "tier": "agentic", "version": "latest"},
    "extract_v2": {"product_type": "extract_v2", "tier": "agentic", "data_schema": SCHEMA},
}


def stored_file(id_: str, now: float) -> StoredFile:
    """Return a file."""
    return StoredFile(id_, 0, now, "sample.md", BLOB, purpose="user_data")


def directory(id_: str, now: float) -> Directory:
    """Return a directory of a user."""
    return Directory(id_, 0, now, now, name="sample", type="user")


def directory_file(id_: str, directory_id: str, now: float) -> DirectoryFile:
    """Return a file in a directory."""
    return DirectoryFile(id_, 0, now, now, directory_id, "sample.md", "sample.md", stored_file("sample", now))


def configuration(id_: str, now: float, job_type: JobType) -> Configuration:
    """Return a configuration of a product."""
    return Configuration(id_, 0, now, now, "sample", dict(PARAMETERS[job_type]), "2026-10-16")


def batch(id_: str, now: float) -> Batch:
    """Return a completed batch without files."""
    return Batch(
        id_, 0, "dir-sample", "parse_v2", "cfg-PARSE_AGENTIC", Timeline(now, now, now, now, "COMPLETED")
    )


def job(id_: str, now: float, job_type: JobType) -> Job:
    """Return a completed job."""
    return Job(id_, 0, now, now, now, job_type, BLOB, "sample", dict(PARAMETERS[job_type]))
