"""What requests made up from the document have found: each is answered as the document says, and harms nothing."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from airflow_provider_llamabatch.emulator.app import api, document

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
