"""Every fault as a client meets it, and whether the change was made."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

if TYPE_CHECKING:
    from collections.abc import Callable

BATCHES = "/api/v2/batches"


@pytest.fixture
def http(emulator: LlamaCloudEmulator) -> Any:
    with httpx.Client(
        base_url=emulator.url, headers={"Authorization": f"Bearer {emulator.api_key}"}
    ) as plain:
        yield plain


@pytest.fixture
def create(http: httpx.Client, make_directory: Callable[..., str]) -> Callable[..., httpx.Response]:
    """Send a create over one directory, as often as wanted."""
    directory_id = make_directory({"a.txt": b"Alpha"})
    job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
    body = {"source_directory_id": directory_id, "config": {"job": job}}
    return lambda **options: http.post(BATCHES, json=body, **options)


def batches_made(emulator: LlamaCloudEmulator) -> int:
    made: int = emulator.control.counters()["batches"]
    return made


@pytest.mark.parametrize(("kind", "made"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_gives_no_answer_at_all(
    emulator: LlamaCloudEmulator, create: Callable[..., httpx.Response], kind: str, made: int
) -> None:
    emulator.control.add_fault(kind=kind, method="POST", path=f"^{BATCHES}$", times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        create()
    assert batches_made(emulator) == made
    assert create().status_code == 201
    assert batches_made(emulator) == made + 1


@pytest.mark.parametrize("kind", ["delay", "stall"])
def test_a_late_answer_outlives_the_clients_patience_and_the_batch_is_made(
    emulator: LlamaCloudEmulator, create: Callable[..., httpx.Response], kind: str
) -> None:
    emulator.control.add_fault(kind=kind, seconds=60, method="POST", path=BATCHES)
    with pytest.raises(httpx.ReadTimeout):
        create(timeout=0.3)
    assert batches_made(emulator) == 1


def test_a_delay_may_come_before_the_change(
    emulator: LlamaCloudEmulator, create: Callable[..., httpx.Response]
) -> None:
    emulator.control.add_fault(kind="delay", seconds=60, committed=False, path=BATCHES)
    with pytest.raises(httpx.ReadTimeout):
        create(timeout=0.3)
    assert batches_made(emulator) == 0


def test_an_answer_that_is_a_little_late_is_complete(
    emulator: LlamaCloudEmulator, create: Callable[..., httpx.Response]
) -> None:
    for kind in ("delay", "stall"):
        emulator.control.add_fault(kind=kind, seconds=0.01, path=BATCHES, times=1)
        answer = create()
        assert (answer.status_code, answer.json()["status"]) == (201, "PENDING")


@pytest.mark.parametrize(("committed", "made"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504])
def test_a_status_comes_with_a_detail_with_or_without_the_change(
    emulator: LlamaCloudEmulator, create: Callable[..., httpx.Response], code: int, committed: bool, made: int
) -> None:
    emulator.control.add_fault(kind="status", status=code, committed=committed, path=BATCHES)
    answer = create()
    assert answer.status_code == code
    assert isinstance(answer.json()["detail"], str)
    assert batches_made(emulator) == made
    assert "retry-after" not in answer.headers


def test_a_server_error_names_a_correlation_id(emulator: LlamaCloudEmulator, http: httpx.Client) -> None:
    emulator.control.add_fault(kind="status", status=500)
    assert re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", http.get(BATCHES).json()["detail"])


def test_a_status_can_say_what_it_is_told_to(emulator: LlamaCloudEmulator, http: httpx.Client) -> None:
    emulator.control.change(retry_after_seconds=3)
    emulator.control.add_fault(kind="status", status=429, detail={"limit": "x"}, headers={"X-Extra": "1"})
    answer = http.get(BATCHES)
    assert answer.json() == {"detail": {"limit": "x"}}
    assert (answer.headers["retry-after"], answer.headers["x-extra"]) == ("3", "1")


def test_a_gateway_answers_in_html(emulator: LlamaCloudEmulator, http: httpx.Client) -> None:
    emulator.control.add_fault(kind="html", times=1)
    emulator.control.add_fault(kind="html", status=200, body="<p>Sign in</p>")
    first, second = http.get(BATCHES), http.get(BATCHES)
    assert (first.status_code, first.headers["content-type"]) == (502, "text/html")
    assert (second.status_code, second.text) == (200, "<p>Sign in</p>")


def test_a_malformed_answer_is_no_json(
    emulator: LlamaCloudEmulator, create: Callable[..., httpx.Response]
) -> None:
    emulator.control.add_fault(kind="malformed", path=BATCHES)
    answer = create()
    assert answer.status_code == 201
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert batches_made(emulator) == 1


def test_fields_can_be_missing_in_an_answer_and_in_its_items(
    emulator: LlamaCloudEmulator, http: httpx.Client, create: Callable[..., httpx.Response]
) -> None:
    emulator.control.add_fault(kind="missing_fields", fields=["status", "next_page_token"], path=BATCHES)
    assert "status" not in create().json()
    listed = http.get(BATCHES).json()
    assert "next_page_token" not in listed
    assert "status" not in listed["items"][0]
    assert "id" in listed["items"][0]


def test_a_batch_can_vanish_while_it_is_polled(
    emulator: LlamaCloudEmulator, http: httpx.Client, create: Callable[..., httpx.Response]
) -> None:
    path = f"{BATCHES}/{create().json()['id']}"
    emulator.control.add_fault(kind="status", status=404, path=path, times=2)
    assert [http.get(path).status_code for _ in range(3)] == [404, 404, 200]


def test_faults_score_and_can_be_removed(emulator: LlamaCloudEmulator, http: httpx.Client) -> None:
    first = emulator.control.add_fault(kind="status", status=503, every=2)
    assert [http.get(BATCHES).status_code for _ in range(4)] == [200, 503, 200, 503]
    (shown,) = emulator.control.faults()
    assert (shown["id"], shown["matched"], shown["fired"], shown["kind"]) == (first, 4, 2, "status")
    emulator.control.remove_fault(first)
    assert emulator.control.faults() == []
    emulator.control.add_fault(kind="status", status=503)
    emulator.control.clear_faults()
    assert http.get(BATCHES).status_code == 200


def test_the_official_client_makes_more_than_one_batch_out_of_a_lost_answer(
    emulator: LlamaCloudEmulator, make_batch: Callable[..., Any], client: LlamaCloud
) -> None:
    first = make_batch()
    emulator.control.add_fault(kind="drop_after", method="POST", path=f"^{BATCHES}$", times=1)
    job: Any = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
    with LlamaCloud(base_url=emulator.url, api_key=emulator.api_key, max_retries=1) as retrying:
        retrying.batches.create(source_directory_id=first.source_directory_id, config={"job": job})
    assert len(list(client.batches.list(source_directory_id=first.source_directory_id))) == 3


def test_the_official_client_sees_the_faults_as_its_own_errors(
    emulator: LlamaCloudEmulator, client: LlamaCloud
) -> None:
    emulator.control.add_fault(kind="drop_before", times=1)
    emulator.control.add_fault(kind="status", status=503, times=1)
    emulator.control.add_fault(kind="delay", seconds=60, times=1)
    with pytest.raises(llama_cloud.APIConnectionError):
        client.batches.list()
    with pytest.raises(llama_cloud.InternalServerError):
        client.batches.list()
    with pytest.raises(llama_cloud.APITimeoutError):
        client.with_options(timeout=0.3).batches.list()


def test_an_upload_can_be_dropped_as_well(
    emulator: LlamaCloudEmulator, http: httpx.Client, client: LlamaCloud
) -> None:
    directory = client.beta.directories.create(name="x")
    emulator.control.add_fault(kind="drop_before", path="/upload$")
    with pytest.raises(httpx.TransportError):
        http.post(
            f"/api/v1/beta/directories/{directory.id}/files/upload",
            files={"upload_file": ("big.txt", b"x" * 5_000_000)},
        )
    assert list(client.beta.directories.files.list(directory.id)) == []


def test_the_emulator_stops_although_an_answer_is_held_back() -> None:
    answers: list[int] = []
    with LlamaCloudEmulator() as emulator:
        emulator.control.add_fault(kind="delay", seconds=3600)
        url = f"{emulator.url}/api/v2/parse/versions"
        waiting = threading.Thread(target=lambda: answers.append(httpx.get(url, timeout=30).status_code))
        waiting.start()
        while not emulator.control.requests():
            threading.Event().wait(0.01)
    waiting.join()
    assert answers == [200]


def test_the_emulator_ends_a_connection_whose_request_never_ends() -> None:
    head = b"POST /api/v2/batches HTTP/1.1\r\nHost: emulator\r\nContent-Length: 100\r\n"
    with LlamaCloudEmulator() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.sendall(head + f"Authorization: Bearer {emulator.api_key}\r\n\r\n{{".encode())
        while not emulator.control.requests():
            threading.Event().wait(0.01)
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
