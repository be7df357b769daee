"""Webhooks: saved and inline, signed, in time, tried again."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import llama_cloud
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

JOB: Any = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}


class Receiver(HTTPServer):
    """Keeps what it gets; answers with ``statuses``, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses = [204]
        self.arrived = threading.Condition()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, timeout=20)
        return self.got


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        status = server.statuses.pop(0) if len(server.statuses) > 1 else server.statuses[0]
        self.send_response(status)
        self.end_headers()
        with server.arrived:
            server.got.append((dict(self.headers.items()), body))
            server.arrived.notify_all()

    def log_message(self, *_: Any) -> None:
        pass


def payload(body: bytes) -> Any:
    """Read a body of the default format."""
    return json.loads(json.loads(body))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_saved_webhook_hears_of_a_batch_as_the_clock_comes_to_it(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str], receiver: Receiver
) -> None:
    saved = client.webhook_configs.create(
        webhook_url=receiver.url, webhook_signing_secret="hush", webhook_headers={"X-Mine": "yes"}
    )
    assert (saved.has_secret, saved.webhook_headers) == (True, {"X-Mine": "********"})
    directory_id = make_directory()
    batch = client.batches.create(
        source_directory_id=directory_id, config={"job": JOB}, webhook_configuration_ids=[saved.id]
    )
    receiver.wait_for(1)
    emulator.control.advance(600)
    got = receiver.wait_for(3)
    events = {payload(body)["event_type"]: (headers, body) for headers, body in got}
    assert {*events} == {"batch.pending", "batch.running", "batch.success"}
    headers, body = events["batch.success"]
    signature = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    assert headers["LC-Signature"] == f"sha256={signature}"
    assert (headers["X-Mine"], headers["User-Agent"]) == ("yes", "llamaindex-webhook-service/1.0")
    told = payload(body)
    assert headers["X-Webhook-Event-ID"] == told["event_id"]
    assert headers["X-Webhook-Event-Type"] == told["event_type"]
    assert (told["data"]["id"], told["data"]["status"]) == (batch.id, "COMPLETED")
    assert isinstance(told["timestamp"], float)


def test_an_inline_webhook_hears_only_what_it_asked_for_and_is_tried_again(
    emulator: LlamaCloudEmulator, client: Any, receiver: Receiver
) -> None:
    emulator.control.change(webhook_retry_seconds=0.01)
    receiver.statuses = [500, 503, 200]
    hook = {"webhook_url": receiver.url, "webhook_events": ["parse.success"]}
    file = client.files.create(file=("a.txt", b"A"), purpose="parse")
    client.parsing.create(file_id=file.id, tier="fast", version="latest", webhook_configurations=[hook])
    emulator.control.advance(60)
    got = receiver.wait_for(3)
    assert {headers["X-Webhook-Event-Type"] for headers, _ in got} == {"parse.success"}
    assert "LC-Signature" not in got[0][0]
    while not (seen := emulator.control.deliveries())[0]["delivered"]:
        threading.Event().wait(0.01)
    assert [(one["attempts"], one["status"]) for one in seen] == [(3, 200)]


def test_the_payload_comes_as_a_string_unless_an_object_is_asked_for(
    emulator: LlamaCloudEmulator, client: Any, receiver: Receiver
) -> None:
    hook = {
        "webhook_url": receiver.url,
        "webhook_events": ["parse.success"],
        "webhook_signing_secret": "hush",
    }
    formats: list[Any] = [{}, {"webhook_output_format": "string"}, {"webhook_output_format": "json"}]
    file = client.files.create(file=("a.txt", b"A"), purpose="parse")
    for given in formats:
        client.parsing.create(
            file_id=file.id, tier="fast", version="latest", webhook_configurations=[{**hook, **given}]
        )
    emulator.control.advance(60)
    got = receiver.wait_for(3)
    assert sorted(type(json.loads(body)).__name__ for _, body in got) == ["dict", "str", "str"]
    for headers, body in got:
        assert headers["LC-Signature"] == f"sha256={hmac.new(b'hush', body, hashlib.sha256).hexdigest()}"
        read = json.loads(body)
        told = json.loads(read) if isinstance(read, str) else read
        assert (told["event_type"], told["event_id"]) == ("parse.success", headers["X-Webhook-Event-ID"])
    assert {one["body"]["event_type"] for one in emulator.control.deliveries()} == {"parse.success"}


def test_only_events_that_the_api_knows_are_sent(
    emulator: LlamaCloudEmulator, client: Any, receiver: Receiver
) -> None:
    hook: Any = {"webhook_url": receiver.url}
    file = client.files.create(file=("a.txt", b"total: 1"), purpose="extract")
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}}
    client.extract.create(
        file_input=file.id, configuration={"data_schema": schema}, webhook_configurations=[hook]
    )
    client.parsing.create(file_id=file.id, tier="fast", version="latest", webhook_configurations=[hook])
    emulator.control.advance(60)
    told = sorted(payload(body)["event_type"] for _, body in receiver.wait_for(5))
    assert told == ["extract.pending", "extract.success", "parse.pending", "parse.running", "parse.success"]


def test_a_job_that_could_not_read_every_page_is_a_partial_success(
    emulator: LlamaCloudEmulator, client: Any, receiver: Receiver
) -> None:
    emulator.control.change(failed_pages=[2])
    hook: Any = {"webhook_url": receiver.url, "webhook_events": ["parse.success", "parse.partial_success"]}
    for content in (b"one", b"one\ftwo"):
        file = client.files.create(file=("a.txt", content), purpose="parse")
        client.parsing.create(file_id=file.id, tier="fast", version="latest", webhook_configurations=[hook])
    emulator.control.advance(60)
    told = [payload(body) for _, body in receiver.wait_for(2)]
    assert {one["event_type"] for one in told} == {"parse.success", "parse.partial_success"}
    assert {one["data"]["status"] for one in told} == {"COMPLETED"}


def test_the_webhooks_of_a_saved_configuration_hear_of_its_jobs(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any], receiver: Receiver
) -> None:
    ended: Any = {"webhook_url": receiver.url, "webhook_events": ["parse.success"]}
    saved = client.webhook_configs.create(webhook_url=receiver.url, webhook_events=["parse.pending"])
    parameters: Any = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    parameters |= {"webhook_configurations": [ended], "webhook_configuration_ids": [saved.id]}
    configuration = client.configurations.create(name="told", parameters=parameters)
    file = client.files.create(file=("a.txt", b"A"), purpose="parse")
    job = client.parsing.create(
        file_id=file.id, tier="configured", version="configured", configuration_id=configuration.id
    )
    emulator.control.advance(60)
    alone = [payload(body) for _, body in receiver.wait_for(2)]
    assert {(one["event_type"], one["data"]["id"]) for one in alone} == {
        ("parse.pending", job.id),
        ("parse.success", job.id),
    }
    client.webhook_configs.delete(saved.id)
    make_batch(configuration_id=configuration.id)
    emulator.control.advance(60)
    told = [payload(body) for _, body in receiver.wait_for(5)[2:]]
    made = {one.id for one in client.parsing.list()} - {job.id}
    assert {(one["event_type"], one["data"]["id"]) for one in told} == {
        ("parse.success", id_) for id_ in made
    }


def test_nobody_hears_of_jobs_that_a_cancelled_batch_never_made(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any], receiver: Receiver
) -> None:
    parameters: Any = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    parameters["webhook_configurations"] = [{"webhook_url": receiver.url}]
    configuration = client.configurations.create(name="told", parameters=parameters)
    batch = make_batch(configuration_id=configuration.id)
    emulator.control.advance(1)
    client.batches.cancel(batch.id)
    emulator.control.advance(60)
    told = [payload(body) for _, body in receiver.wait_for(2)]
    deadline = time.monotonic() + 5
    while emulator._service.watched and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {one["data"]["id"] for one in told} == {one.id for one in client.parsing.list()}
    assert len(emulator.control.deliveries()) == len(receiver.got) == 2


def test_a_receiver_that_is_not_there_harms_nobody_and_private_ones_can_be_refused(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str], receiver: Receiver
) -> None:
    emulator.control.change(webhook_retry_seconds=0, webhook_private_targets=False)
    hooks = [{"webhook_url": url} for url in ("http://127.0.0.1:9/x", receiver.url, "http://[", "https://")]
    client.batches.create(
        source_directory_id=make_directory(), config={"job": JOB}, webhook_configurations=hooks
    )
    emulator.control.advance(60)
    while len(emulator.control.deliveries()) < 6:
        threading.Event().wait(0.01)
    assert receiver.got == []
    assert httpx.get(f"{emulator.url}/_emulator/deliveries").status_code == 200


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0", "localhost", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_not_called_however_it_is_spelled(
    emulator: LlamaCloudEmulator, client: Any, receiver: Receiver, host: str
) -> None:
    file = client.files.create(file=("a.txt", b"A"), purpose="parse")
    refused = receiver.url.replace("127.0.0.1", host)
    for url, allowed in ((refused, False), (receiver.url, True)):
        emulator.control.change(webhook_private_targets=allowed)
        hook: Any = {"webhook_url": url, "webhook_events": ["parse.success"]}
        client.parsing.create(file_id=file.id, tier="fast", version="latest", webhook_configurations=[hook])
        emulator.control.advance(60)
        deadline = time.monotonic() + 20
        while not any(one["url"] == url for one in emulator.control.deliveries()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    receiver.wait_for(1)
    assert {one["url"]: one["attempts"] for one in emulator.control.deliveries()} == {
        refused: 0,
        receiver.url: 1,
    }


def test_a_header_that_is_no_text_is_sent_as_json(
    emulator: LlamaCloudEmulator, client: Any, receiver: Receiver
) -> None:
    hook: Any = {"webhook_url": receiver.url, "webhook_headers": {"X-Number": 5, "X-List": [1, "a"]}}
    file = client.files.create(file=("a.txt", b"A"), purpose="parse")
    client.parsing.create(file_id=file.id, tier="fast", version="latest", webhook_configurations=[hook])
    headers, _ = receiver.wait_for(1)[0]
    assert (headers["X-Number"], headers["X-List"]) == ("5", '[1, "a"]')


def test_unknown_webhooks_and_other_addresses_and_more_than_four_are_refused(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str]
) -> None:
    directory_id = make_directory()
    for wrong in (
        {"webhook_configuration_ids": ["whc-none"]},
        {"webhook_configuration_ids": ["whc-none"] * 5},
        {"webhook_configurations": [{"webhook_url": "https://example.com"}] * 9},
        {"webhook_configurations": [{"webhook_url": "ftp://example.com"}]},
    ):
        with pytest.raises(llama_cloud.UnprocessableEntityError):
            client.batches.create(source_directory_id=directory_id, config={"job": JOB}, **wrong)
        parameters: Any = {"product_type": "parse_v2", "tier": "fast", "version": "latest", **wrong}
        with pytest.raises(llama_cloud.UnprocessableEntityError):
            client.configurations.create(name="wrong", parameters=parameters)
    assert emulator.control.counters()["batches"] == 0
    assert [one.name for one in client.configurations.list()] == ["PARSE_AGENTIC"]


def test_a_batch_that_ends_with_a_word_nobody_knows_is_not_looked_at_for_ever(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str], receiver: Receiver
) -> None:
    emulator.control.change(final_status="DISSOLVED")
    webhook: Any = {"webhook_url": receiver.url}
    client.batches.create(
        source_directory_id=make_directory(), config={"job": JOB}, webhook_configurations=[webhook]
    )
    emulator.control.advance(3)
    receiver.wait_for(2)
    emulator.control.advance(60)
    deadline = time.monotonic() + 5
    while emulator._service.watched and time.monotonic() < deadline:
        time.sleep(0.05)
    assert emulator._service.watched == []
    assert {payload(body)["event_type"] for _, body in receiver.got} == {"batch.pending", "batch.running"}
