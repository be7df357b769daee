"""
An emulator for contract tests whose ids are made up: what is looked up is there, whatever its id.

The official client's tests send ids, page tokens and values that no service knows, and look only at the shape of what
comes back. Here, and nowhere in the package, unknown ids are answered with sample records, and projects, page sizes,
page tokens, names to expand and the state of things are not checked.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from jsonschema import Draft202012Validator

from airflow_provider_llamabatch.emulator import webhooks
from airflow_provider_llamabatch.emulator.models.requests import SavedWebhook
from airflow_provider_llamabatch.emulator.routes import (
    access,
    base,
    batches,
    configurations,
    directories,
    directory_files,
    extract,
    files,
    making,
    paging,
    parse,
    projects,
    webhook_configs,
)
from airflow_provider_llamabatch.emulator.state.records import (
    Batch,
    Configuration,
    Directory,
    DirectoryFile,
    Job,
    StoredFile,
    Timeline,
    WebhookConfiguration,
)
from airflow_provider_llamabatch.emulator.state.service import PRESET

if TYPE_CHECKING:
    import pytest

TEXT = b"# Sample\n\nTotal: 12.50"
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}
EXTRACT = {"product_type": "extract_v2", "tier": "agentic", "data_schema": SCHEMA}


def be_lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every emulator of this process be lenient."""
    for module in (batches, configurations, directories, extract, files, making, parse):
        if hasattr(module, "refuse_when"):
            monkeypatch.setattr(module, "refuse_when", lambda *_: None)
    request = base.ApiRequest
    monkeypatch.setattr(request, "directory", or_else(request.directory, directory))
    monkeypatch.setattr(request, "directory_file", or_else(request.directory_file, directory_file))
    monkeypatch.setattr(request, "stored_file", or_else(request.stored_file, stored_file))
    monkeypatch.setattr(request, "configuration", or_else(request.configuration, configuration))
    monkeypatch.setattr(request, "expand", lambda _, asked, known: frozenset(asked) & frozenset(known))
    monkeypatch.setattr(batches, "_batch", or_else(batches._batch, batch))
    monkeypatch.setattr(making, "get_job", or_else(making.get_job, job))
    monkeypatch.setattr(parse, "_parameters", or_else(parse._parameters, lambda *_: dict(PRESET)))
    monkeypatch.setattr(extract, "_parameters", or_else(extract._parameters, lambda *_: dict(EXTRACT)))
    monkeypatch.setattr(making, "input_of", or_else(making.input_of, lambda r, _: (blob(r), "sample.md")))
    monkeypatch.setattr(webhook_configs, "_webhook", or_else(webhook_configs._webhook, webhook))
    monkeypatch.setattr(projects, "_project", lambda r, _: projects._project_json(r.project))
    monkeypatch.setattr(paging, "page_size", or_else(paging.page_size, lambda *_: 10))
    monkeypatch.setattr(projects, "page_size", lambda *_: None)
    monkeypatch.setattr(paging, "_position", or_else(paging._position, lambda _, kind: (kind(), 0)))
    monkeypatch.setattr(access, "project_of", lambda service, _: service.keys[service.default_key])
    for module in (batches, configurations, extract, parse):
        monkeypatch.setattr(module, "targets", or_else(webhooks.targets, lambda *_: []))
    monkeypatch.setattr(batches, "_source_files", or_else(batches._source_files, lambda *_: []))
    monkeypatch.setattr(batches, "_configuration", or_else(batches._configuration, configuration))
    monkeypatch.setattr(directory_files, "_move", lambda *_: None)
    monkeypatch.setattr(Draft202012Validator, "check_schema", lambda *_, **_more: None)
    monkeypatch.setattr(access.Guard, "__call__", replaced(access.Guard.__call__))


# Values outside the API's own closed lists and rules, and what is sent in their place.
NONSENSE = {
    b'name="purpose"\r\n\r\npurpose\r\n': b'name="purpose"\r\n\r\nextract\r\n',
    b'"webhook_url":"webhook_url"': b'"webhook_url":"http://name"',
    b'"data_schema":{"foo":{"foo":"bar"}}': b'"data_schema":{"type":"object","properties":{}}',
    **{
        f'"{name}":"bar"'.encode(): f'"{name}":{{}}'.encode()
        for name in ("invoice_number", "line_items", "total_amount", "vendor_name")
    },
}


def replaced(handle: Any) -> Any:
    """Return the guard with NONSENSE replaced, byte for byte, before it looks."""

    async def call(guard: Any, scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            body = message.get("body", b"")
            while message.get("more_body"):
                message = await receive()
                body += message.get("body", b"")
            for given, meant in NONSENSE.items():
                body = body.replace(given, meant)
            return {**message, "body": body}

        query = scope["query_string"].replace(b"order_by=order_by", b"order_by=name")
        await handle(guard, {**scope, "query_string": query}, received, send)

    return call


def or_else(call: Any, sample: Any) -> Any:
    """Return a call that gives a sample where the real one refuses."""

    def lenient(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except (HTTPException, RequestValidationError):
            return sample(*arguments, **named)

    return lenient


def blob(request: base.ApiRequest) -> str:
    return request.service.blobs.store("sample.md", io.BytesIO(TEXT))


def directory(request: base.ApiRequest, id_: str) -> Directory:
    made = Directory(id_, request.service.order(), request.now, request.now, name="sample", type="user")
    request.project.add_directory(made)
    return made


def stored_file(request: base.ApiRequest, id_: str) -> StoredFile:
    made = StoredFile(id_, request.service.order(), request.now, "sample.md", blob(request), "user_data")
    request.project.files.add(made)
    return made


def directory_file(request: base.ApiRequest, directory_id: str, id_: str) -> DirectoryFile:
    now = request.now
    return DirectoryFile(id_, 0, now, now, directory_id, "sample.md", "sample.md", "sample", blob(request))


def configuration(request: base.ApiRequest, asked: Any) -> Configuration:
    id_ = asked if isinstance(asked, str) else asked.job.configuration_id
    return Configuration(id_, 0, request.now, request.now, "sample", dict(PRESET), "2026-08-19")


def batch(request: base.ApiRequest, id_: str) -> Batch:
    now = request.now
    timeline = Timeline(now, now, now, now, "COMPLETED")
    return Batch(id_, 0, "dir-sample", "parse_v2", "cfg-PARSE_AGENTIC", timeline)


def job(request: base.ApiRequest, type_: Any, id_: str) -> Job:
    parameters = PRESET if type_ == "parse_v2" else EXTRACT
    now = request.now
    return Job(id_, 0, now, now, now, type_, blob(request), "sample", dict(parameters), pages=(1,))


def webhook(request: base.ApiRequest, id_: str) -> WebhookConfiguration:
    saved = SavedWebhook(webhook_url="https://example.com")
    return WebhookConfiguration(id_, 0, request.now, request.now, saved)
