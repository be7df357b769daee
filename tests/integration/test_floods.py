"""What a server may send at full speed: raw sockets that flood the client with what costs more than it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client
from tests.integration.test_bounds import Raw

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = calls.get_batch("bat-1")


@pytest.fixture
def raw() -> Iterator[Raw]:
    server = Raw()
    yield server
    server.close()


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
