"""What requests made up from the document have found: each is answered as the document says, and harms nothing."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_llamabatch.emulator.app import api, document
from airflow_provider_llamabatch.emulator.documents.extraction import extract
from airflow_provider_llamabatch.emulator.documents.fitting import NoFitError
from airflow_provider_llamabatch.emulator.documents.items import items
from airflow_provider_llamabatch.emulator.documents.values import Values, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

DIRECTORIES = "/api/v1/beta/directories"
AGES = 1e300


@pytest.fixture
def plain(emulator: LlamaCloudEmulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with httpx.Client(base_url=emulator.url, headers=headers) as client:
        yield client


def raw(emulator: LlamaCloudEmulator, method: str, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Send what no client library would."""
    url = httpx.URL(emulator.url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
    connection.putrequest(method, target, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    status, body = answer.status, answer.read()
    connection.close()
    return status, body


def test_the_document_names_every_way_in_which_any_operation_may_refuse() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            if operation.get("security"):
                assert {"400", "401", "403", "404", "413", "429"} <= {*operation["responses"]}, (method, path)


def test_the_document_that_is_served_says_how_the_key_is_sent(emulator: LlamaCloudEmulator) -> None:
    served = httpx.get(f"{emulator.url}/_emulator/openapi.json").json()
    needed = {
        name
        for operations in served["paths"].values()
        for operation in operations.values()
        for one in operation.get("security", [])
        for name in one
    }
    assert needed == {*served["components"]["securitySchemes"]}
    assert served["paths"].keys() == api().openapi()["paths"].keys()
    assert {path for path in served["paths"] if not path.startswith("/_emulator/")} == {*document()["paths"]}


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "\xff"])
@pytest.mark.parametrize(("method", "path"), [("DELETE", "/api/v2/batches"), ("GET", DIRECTORIES)])
def test_a_host_that_is_none_is_refused(
    emulator: LlamaCloudEmulator, host: str, method: str, path: str
) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {emulator.api_key}"}
    status, body = raw(emulator, method, path, headers)
    assert (status, json.loads(body)) == (400, {"detail": "Invalid host header"})


@pytest.mark.parametrize("path", ["/api/v2/batches%0A", "/api/v2/parse%0A", f"{DIRECTORIES}%0A"])
def test_a_path_with_a_line_break_is_no_way_around_the_key(emulator: LlamaCloudEmulator, path: str) -> None:
    assert httpx.get(emulator.url + path).status_code == 404


@pytest.mark.parametrize("name", ["self", "__class__", "model_config", ""])
@pytest.mark.parametrize(("method", "path"), [("PATCH", "settings"), ("POST", "faults")])
def test_the_control_refuses_every_name_that_it_does_not_know(
    emulator: LlamaCloudEmulator, name: str, method: str, path: str
) -> None:
    answer = httpx.request(method, f"{emulator.url}/_emulator/{path}", json={name: 1})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "setting",
    [
        {"ephemeral_lifetime_seconds": AGES},
        {"cancel_seconds": AGES},
        {"batch_pending_seconds": AGES},
        {"job_running_seconds": AGES},
    ],
)
def test_times_that_no_calendar_has_are_refused(
    emulator: LlamaCloudEmulator, setting: dict[str, float]
) -> None:
    assert httpx.patch(f"{emulator.url}/_emulator/settings", json=setting).status_code == 422


def test_the_clock_cannot_be_turned_beyond_the_calendar(
    emulator: LlamaCloudEmulator, plain: httpx.Client
) -> None:
    clock, longest = f"{emulator.url}/_emulator/clock", 200 * 365 * 24 * 3600
    statuses = {httpx.post(clock, json={"advance": longest}).status_code for _ in range(60)}
    assert statuses == {200, 422}
    assert httpx.post(clock, json={"advance": AGES}).status_code == 422
    plain.patch("/_emulator/settings", json={"ephemeral_lifetime_seconds": longest})
    answer = plain.post(DIRECTORIES, json={"name": "x", "type": "ephemeral"})
    assert answer.status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "k\u00e9y", "\u2603", "a\n"])
def test_a_key_that_no_header_could_carry_is_refused(
    emulator: LlamaCloudEmulator, plain: httpx.Client, key: str
) -> None:
    assert plain.put("/_emulator/api-key", json={"api_key": key}).status_code == 422
    assert plain.get("/api/v2/batches").status_code == 200


@pytest.mark.parametrize("path", ["a{9999999999999}", "(" * 5000 + ")" * 5000])
def test_a_pattern_that_cannot_be_compiled_is_no_fault(emulator: LlamaCloudEmulator, path: str) -> None:
    fault = {"kind": "drop_before", "path": path}
    assert httpx.post(f"{emulator.url}/_emulator/faults", json=fault).status_code == 422


@pytest.mark.parametrize("headers", [{"": "x"}, {"a b": "x"}, {"x": "a\r\nb: c"}, {"x": "\u2603"}])
def test_headers_that_cannot_be_sent_are_no_part_of_a_fault(
    emulator: LlamaCloudEmulator, headers: dict[str, str]
) -> None:
    fault = {"kind": "status", "status": 503, "headers": headers}
    assert httpx.post(f"{emulator.url}/_emulator/faults", json=fault).status_code == 422


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "missing_fields"},
        {"kind": "malformed"},
        {"kind": "status", "status": 204},
        {"kind": "status", "status": 304},
        {"kind": "html", "status": 204},
    ],
)
def test_a_fault_sends_no_body_where_there_may_be_none(
    emulator: LlamaCloudEmulator, plain: httpx.Client, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = plain.post(DIRECTORIES, json={"name": "x"}).json()["id"]
    emulator.control.add_fault(**fault, method="DELETE")
    answer = plain.delete(f"{DIRECTORIES}/{made}")
    assert (answer.status_code, answer.content) == (fault.get("status", 204), b"")
    assert plain.get("/api/v2/batches").status_code == 200
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_a_document_with_a_number_beyond_all_bounds_gives_json(plain: httpx.Client) -> None:
    digits = b"Total: " + b"9" * 400
    file = plain.post("/api/v1/beta/files", files={"file": ("a.txt", digits)}, data={"purpose": "extract"})
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    body = {"file_input": file.json()["id"], "configuration": {"data_schema": schema}}
    job = plain.post("/api/v2/extract", json=body).json()["id"]
    plain.post("/_emulator/clock", json={"advance": 60})
    answer = plain.get(f"/api/v2/extract/{job}")
    assert answer.json()["status"] == "COMPLETED"
    assert "Infinity" not in answer.text


@pytest.mark.parametrize("where", ["not", "if", "a"])
def test_no_address_out_of_a_schema_is_followed(where: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        foreign = {"$ref": f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"}
        schema: dict[str, Any] = {"type": "object", "properties": {"total": {"type": "number"}}}
        schema |= {"properties": {**schema["properties"], "a": foreign}} if where == "a" else {where: foreign}
        with pytest.raises(NoFitError):
            extract(schema, values("Total: 1\n\nX: 2"))
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {name: {"$ref": "#"} for name in "abcd"},
            "required": ["a", "b", "c", "d"],
        },
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/x"}},
            "required": ["a"],
            "$defs": {"x": {"type": "array", "minItems": 1000, "items": {"$ref": "#/$defs/x"}}},
        },
        {
            "type": "object",
            "properties": {
                "a": {"anyOf": [{"type": "object", "properties": {"b": {"$ref": "#/properties/a"}}}] * 4}
            },
            "required": ["a"],
        },
    ],
    ids=["objects", "arrays", "alternatives"],
)
def test_a_schema_that_asks_for_more_than_anybody_has_is_given_up(schema: dict[str, Any]) -> None:
    with pytest.raises(NoFitError):
        extract(schema, Values())


@pytest.mark.parametrize("mark", [" ", "* ", "\n", "| ", "> ", "-", "a:\n", "# a\n", "- a\n", "a | b\n"])
def test_a_document_of_one_mark_over_and_over_is_read(mark: str) -> None:
    text = mark * 20_000 + "x"
    assert len(items(text)) <= 20_001
    assert extract({"properties": {"total": {"type": "number"}}}, values(text)) == {}


def test_a_value_may_stand_on_the_line_below_its_name() -> None:
    text = "**Total**:\n\n  12.50 |\n| Name | Date: no |\n> Due date: **2026-01-31**\nEmpty:"
    assert values(text).named == {"total": "12.50", "duedate": "2026-01-31"}


@pytest.mark.parametrize(
    "odd",
    [
        {"webhook_headers": {"X-Count": 5}},
        {"webhook_headers": {"X-Parts": ["a"]}},
        {"webhook_headers": {"": "x"}},
        {"webhook_headers": {"x": "\u2603"}},
        {"webhook_url": "http://[::1]:99999/"},
    ],
)
def test_a_webhook_that_cannot_be_sent_is_a_delivery_that_fails(
    emulator: LlamaCloudEmulator, plain: httpx.Client, odd: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    emulator.control.change(webhook_attempts=1)
    file = plain.post("/api/v1/beta/files", files={"file": ("a.txt", b"A")}, data={"purpose": "parse"})
    hook = {"webhook_url": "http://127.0.0.1:9/", **odd}
    body = {
        "file_id": file.json()["id"],
        "tier": "fast",
        "version": "latest",
        "webhook_configurations": [hook],
    }
    assert plain.post("/api/v2/parse", json=body).status_code == 200
    while not any(one["attempts"] for one in plain.get("/_emulator/deliveries").json()):
        pass
    assert {one["delivered"] for one in plain.get("/_emulator/deliveries").json()} == {False}
    gc.collect()  # tells of tasks that failed unseen
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("url", ["http://[::1", "http://"])
def test_a_webhook_to_what_is_no_address_is_not_called(
    emulator: LlamaCloudEmulator, plain: httpx.Client, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.control.change(webhook_private_targets=False, webhook_attempts=1)
    saved = plain.post("/api/v1/beta/webhook-configs", json={"webhook_url": url}).json()["id"]
    file = plain.post("/api/v1/beta/files", files={"file": ("a.txt", b"A")}, data={"purpose": "parse"})
    body = {"file_id": file.json()["id"], "tier": "fast", "version": "latest"}
    plain.post("/api/v2/parse", json={**body, "webhook_configuration_ids": [saved]}).raise_for_status()
    while not plain.get("/_emulator/deliveries").json():
        pass
    assert [one["delivered"] for one in plain.get("/_emulator/deliveries").json()] == [False]
    gc.collect()
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("wanted", ["bytes=0-1", "bytes=9-1", "bytes=99-", "lines=1-2", "bytes=-0"])
def test_a_download_answers_every_range_as_the_document_says(plain: httpx.Client, wanted: str) -> None:
    directory_id = plain.post(DIRECTORIES, json={"name": "d"}).json()["id"]
    files = f"{DIRECTORIES}/{directory_id}/files"
    plain.post(f"{files}/upload", files={"upload_file": ("a.txt", b"text")}).raise_for_status()
    (file,) = plain.get(files, params={"expand": "download_url"}).json()["items"]
    answer = plain.get(file["download_url"]["url"], headers={"Range": wanted})
    documented = api().openapi()["paths"]["/_emulator/downloads/{kind}/{id_}"]["get"]["responses"]
    kinds = documented[str(answer.status_code)].get("content")
    assert kinds is None or {"*/*", answer.headers["content-type"].partition(";")[0]} & kinds.keys()
