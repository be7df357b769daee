"""What a server may send at full speed: raw sockets that flood the client with what costs more than it says."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client
from tests.integration.test_bounds import OK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.raw_server import Raw

GET = calls.get_batch("bat-1")


@pytest.fixture
def client(raw: Raw) -> Iterator[Client]:
    extra = {"timeout_seconds": 20, "max_attempts": 1}
    with Client(
        settings_from_connection("c", password="llx-floods-Zq8Rt5X", host=raw.url, extra=extra)
    ) as made:
        yield made


def test_a_body_in_tens_of_thousands_of_chunks_is_refused_and_not_asked_for_again(raw, client):
    raw.pieces = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 20_001]

    with pytest.raises(e.ResponseTooLargeError, match="more than 20000 chunks of a few bytes"):
        client.send(GET)


EARLY = b"HTTP/1.1 103 Early Hints\r\n\r\n"


def test_1xx_responses_without_end_are_refused(raw, client):
    raw.pieces = [EARLY * 20_000]

    with pytest.raises(e.InvalidResponseError, match=r"answered with \d+ bytes without a status"):
        client.send(GET)


def test_1xx_responses_are_refused_on_a_connection_that_has_answered_before(client):
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            for answer in (EARLY * 100 + OK, OK, EARLY * 20_000):
                connection.recv(65536)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(client.settings.model_copy(update={"base_url": url})) as one:
            assert one.send(GET).status == "RUNNING"
            assert one.send(GET).status == "RUNNING"
            with pytest.raises(e.InvalidResponseError, match="without a status"):
                one.send(GET, ONCE)


def test_a_large_body_is_no_flood_before_its_status(raw, client):
    body = b'{"id": "bat-1", "status": "RUNNING"}' + b" " * 1_000_000
    raw.pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body]

    assert client.send(GET).status == "RUNNING"
