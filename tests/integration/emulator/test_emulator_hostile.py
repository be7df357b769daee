"""What no well-meaning client sends: refused, and nothing of it is kept."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

DIRECTORIES = "/api/v1/beta/directories"
CONFIGURATIONS = "/api/v1/beta/configurations"


@pytest.fixture
def http(emulator: LlamaCloudEmulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with httpx.Client(base_url=emulator.url, headers=headers) as plain:
        yield plain


@pytest.mark.parametrize(
    "value",
    [
        "1e999",
        "-1e999",
        "NaN",
        '"\\ud800"',
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 500 + "1" + "}" * 500,
        "9" * 5000,
    ],
)
def test_values_that_could_not_be_sent_back_are_refused_and_not_kept(http: httpx.Client, value: str) -> None:
    body = f'{{"name": "x", "system_metadata": {{"value": {value}}}}}'
    answer = http.post(DIRECTORIES, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert http.get(DIRECTORIES).json()["items"] == []
    files = {"upload_file": ("a.txt", b"Alpha")}
    directory = http.post(DIRECTORIES, json={"name": "fine"}).json()["id"]
    form = {"metadata": f'{{"value": {value}}}'}
    assert http.post(f"{DIRECTORIES}/{directory}/files/upload", files=files, data=form).status_code == 422
    assert http.get(f"{DIRECTORIES}/{directory}/files").json()["items"] == []


def test_a_form_without_a_boundary_is_a_bad_request(http: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    assert http.post("/api/v1/beta/files", content=b"x", headers=headers).status_code == 400


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_the_key_is_read_in_any_case(emulator: LlamaCloudEmulator, word: str) -> None:
    headers = {"Authorization": f"{word} {emulator.api_key}"}
    assert httpx.get(f"{emulator.url}/api/v2/batches", headers=headers).status_code == 200


@pytest.mark.parametrize("target", [b"/api/v2/batches?a=\x01", b"/api/v2/batches/\x00", b""])
def test_what_is_no_http_is_refused_as_json(emulator: LlamaCloudEmulator, target: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(emulator.url.rpartition(":")[2]))) as raw:
        raw.sendall(b"DELETE " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = raw.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert json.loads(body) == {"detail": "Invalid HTTP request received."}


def test_a_method_that_is_none_names_those_that_are(http: httpx.Client) -> None:
    answer = http.delete("/api/v2/batches")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_413_and_nothing_is_kept(
    emulator: LlamaCloudEmulator, http: httpx.Client, announced: bool
) -> None:
    emulator.control.change(max_upload_bytes=100_000)
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + b"x" * 300_000
    content: Any = body if announced else iter([body])
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = http.post("/api/v1/beta/files", content=content, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (413, "The request body is too large")
    assert http.get("/api/v1/beta/files").json()["items"] == []


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/json"])
def test_a_client_that_goes_away_amid_its_body_leaves_nothing_and_is_no_trouble(
    emulator: LlamaCloudEmulator, http: httpx.Client, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    path = "/api/v1/beta/files" if "form" in content_type else "/api/v2/parse"
    began = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhalf of'
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {http.headers['authorization']}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: 5000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", httpx.URL(emulator.url).port or 0)) as client:
        client.sendall(head.encode() + began)
    seen = emulator.control.requests
    while not any(request.path == path for request in seen()):
        time.sleep(0.01)
    assert http.get("/api/v1/beta/files").json()["items"] == []
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.long
def test_a_connection_that_idles_is_not_closed_under_the_next_request(emulator: LlamaCloudEmulator) -> None:
    with contextlib.closing(HTTPConnection("127.0.0.1", httpx.URL(emulator.url).port)) as client:
        for pause in (6, 0):  # clients of httpx keep one for five seconds
            client.request("GET", "/api/v2/parse/versions")
            assert client.getresponse().read()
            time.sleep(pause)


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/api/v2/parse", {"file_id": "x", "tier": "best", "version": "latest"}, "tier"),
        ("/api/v2/parse", {"file_id": "x", "tier": "fast", "version": "latest", "oops": 1}, "oops"),
        ("/api/v2/parse", {"file_id": "x", "version": "latest"}, "tier"),
        (
            "/api/v2/extract",
            {"file_input": "x", "configuration": {"data_schema": {"type": "oops"}}},
            "data_schema",
        ),
        (
            "/api/v2/extract",
            {
                "file_input": "x",
                "configuration": {"data_schema": {"type": "object", "properties": {}}, "tier": "fast"},
            },
            "tier",
        ),
        (
            "/api/v2/extract",
            {
                "file_input": "x",
                "configuration": {"data_schema": {"type": "object", "properties": {}}, "parse_tier": "best"},
            },
            "parse_tier",
        ),
        (CONFIGURATIONS, {"name": "x", "parameters": {"product_type": "parse_v3"}}, "parameters"),
        ("/api/v1/beta/webhook-configs", {"webhook_url": "https://x", "webhook_events": ["batch.done"]}, 0),
        (
            "/api/v1/beta/webhook-configs",
            {"webhook_url": "https://x", "webhook_events": []},
            "webhook_events",
        ),
    ],
)
def test_closed_lists_are_closed(http: httpx.Client, path: str, body: Any, where: str | int) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == where


@pytest.mark.parametrize(
    "pattern", ["(", "a{999999999}", "(a{9999}){9999}b", "(((a{99}){99}){99}){99}", "a" * 2000, "(?:" * 200]
)
def test_a_pattern_that_cannot_be_searched_for_is_refused(http: httpx.Client, pattern: str) -> None:
    schemas: list[dict[str, Any]] = [
        {"properties": {"x": {"pattern": pattern}}},
        {"properties": {}, "patternProperties": {pattern: {}}},
    ]
    for schema in schemas:
        parameters = {"product_type": "extract_v2", "data_schema": {"type": "object", **schema}}
        answer = http.post(CONFIGURATIONS, json={"name": "x", "parameters": parameters})
        assert answer.status_code == 422
        assert "not a JSON Schema" in answer.text


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array"},
        {"type": "string"},
        {"type": "object"},
        {"properties": {"a": {}}},
        {"type": ["object", "null"], "properties": {}},
        {"type": "object", "properties": None},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"a": {"items": {"$ref": "#none"}}}},
        {"type": "object", "properties": {"a": {"$ref": "#/type/0"}}},
        {"type": "object", "properties": {"a": {"minimum": 1}, "b": {"$ref": "#/properties/a/minimum/0"}}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/elsewhere"}}},
    ],
)
def test_a_schema_that_validation_refuses_is_refused_wherever_it_comes(
    http: httpx.Client, schema: dict[str, Any]
) -> None:
    path = "/api/v2/extract"
    parameters = {"product_type": "extract_v2", "data_schema": schema}
    assert http.post(f"{path}/schema/validation", json={"data_schema": schema}).status_code == 400
    answers = [
        http.post(path, json={"file_input": "x", "configuration": {"data_schema": schema}}),
        http.post(f"{path}/schema/generate", json={"data_schema": schema, "prompt": "x"}),
        http.post(CONFIGURATIONS, json={"name": "x", "parameters": parameters}),
    ]
    assert [(answer.status_code, "data_schema" in answer.text) for answer in answers] == [(422, True)] * 3


def test_a_schema_of_more_characters_than_the_service_takes_is_refused(http: httpx.Client) -> None:
    properties = {f"p{index}": {"type": "string", "description": "x" * 40} for index in range(2000)}
    schema = {"type": "object", "properties": properties}
    asked = {"file_input": "x", "configuration": {"data_schema": schema}}
    answer = http.post("/api/v2/extract", json=asked)
    assert (answer.status_code, "150000" in answer.text) == (422, True)
    answer = http.post("/api/v2/extract/schema/validation", json={"data_schema": schema})
    assert answer.status_code == 400


def test_json_of_more_than_ten_megabytes_is_413(http: httpx.Client) -> None:
    body = {"name": "x", "description": "x" * 11_000_000}
    assert http.post(DIRECTORIES, json=body).status_code == 413
    assert http.get(DIRECTORIES).json()["items"] == []


@pytest.mark.timeout(60)
def test_page_ranges_without_end_are_read_at_once(http: httpx.Client) -> None:
    file = ("a.txt", b"x\f" * 1999 + b"x")
    file_id = http.post("/api/v1/beta/files", files={"file": file}, data={"purpose": "parse"}).json()["id"]
    asked = {"file_id": file_id, "tier": "fast", "version": "latest"}
    for pages in ("1-999999999,0-0,5", "3000-4000," * 100_000 + "1-2000"):
        job = http.post("/api/v2/parse", json={**asked, "page_ranges": {"target_pages": pages}}).json()["id"]
        found = http.get(f"/api/v2/parse/{job}", params={"expand": "job_metadata"}).json()
        assert found["job_metadata"] == {"pages": 2000}


def test_the_bound_of_a_page_is_that_of_its_list(http: httpx.Client) -> None:
    sizes = {"/api/v1/beta/files": 1000, CONFIGURATIONS: 1000, "/api/v2/batches": 100, "/api/v2/parse": 100}
    for path, longest in sizes.items():
        assert http.get(path, params={"page_size": longest}).status_code == 200
        assert http.get(path, params={"page_size": longest + 1}).status_code == 422


def test_a_configured_tier_is_that_of_the_saved_configuration(http: httpx.Client) -> None:
    file_id = http.post(
        "/api/v1/beta/files", files={"file": ("a.txt", b"A")}, data={"purpose": "parse"}
    ).json()["id"]
    parameters = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    saved = http.post(CONFIGURATIONS, json={"name": "x", "parameters": parameters}).json()["id"]
    for more in ({}, {"tier": "configured", "version": "configured"}):
        answer = http.post("/api/v2/parse", json={"file_id": file_id, "configuration_id": saved, **more})
        assert (answer.status_code, answer.json()["tier"]) == (200, "fast")
    unknown = http.post("/api/v2/parse", json={"file_id": file_id, "configuration_id": "cfg-none"})
    assert unknown.status_code == 404


def test_a_key_reaches_nothing_of_another_project(emulator: LlamaCloudEmulator, http: httpx.Client) -> None:
    other = emulator.control.add_project("other")
    mine = http.post(DIRECTORIES, json={"name": "mine"}).json()
    headers = {"Authorization": f"Bearer {other['api_key']}"}
    with httpx.Client(base_url=emulator.url, headers=headers) as foreign:
        assert foreign.get(DIRECTORIES).json()["items"] == []
        assert foreign.get(f"{DIRECTORIES}/{mine['id']}").status_code == 404
        assert foreign.get(DIRECTORIES, params={"project_id": mine["project_id"]}).status_code == 403
        assert foreign.get("/api/v1/projects").json()[0]["id"] == other["project_id"] != mine["project_id"]
        fine = {"project_id": other["project_id"], "organization_id": other["organization_id"]}
        assert foreign.get(DIRECTORIES, params=fine).status_code == 200


def test_quotas_are_refused_as_the_documentation_says(
    emulator: LlamaCloudEmulator, http: httpx.Client
) -> None:
    def upload() -> httpx.Response:
        return http.post("/api/v1/beta/files", files={"file": ("a.txt", b"A")}, data={"purpose": "parse"})

    emulator.control.change(max_files_per_project=1, credits_available=10)
    file_id = upload().json()["id"]
    assert upload().status_code == 402
    job = {"file_id": file_id, "tier": "agentic", "version": "latest"}
    assert http.post("/api/v2/parse", json=job).status_code == 200
    emulator.control.advance(60)
    assert http.post("/api/v2/parse", json=job).status_code == 402
    emulator.control.change(requests_per_minute=2)
    assert [http.get("/api/v2/parse").status_code for _ in range(3)] == [200, 200, 429]
    emulator.control.advance(61)
    assert http.get("/api/v2/parse").status_code == 200


def test_settings_of_files_survive_the_way_over_http(emulator: LlamaCloudEmulator) -> None:
    results = {"*.pdf": {"error_message": "no"}}
    answer = httpx.patch(f"{emulator.url}/_emulator/settings", json={"file_results": results})
    assert answer.status_code == 200
    assert json.loads(answer.text)["file_results"]["*.pdf"]["error_message"] == "no"
