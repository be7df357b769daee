"""What a request may cost at most, whatever the server does: raw sockets that drip, flood, echo and lie."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import signal
import threading
import time
import traceback
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_provider_llamabatch.llamacloud import calls, downloads
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import AsyncClient, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.raw_server import Raw

KEY = "llx-bounds-Zq8Rt5Xw2"
GET = calls.get_batch("bat-1")
BATCH = b'{"id": "bat-1", "status": "RUNNING"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n" + BATCH


@pytest.fixture
def client(raw: Raw) -> Iterator[Client]:
    extra = {"timeout_seconds": 20, "max_attempts": 1}
    with Client(settings_from_connection("c", password=KEY, host=raw.url, extra=extra)) as made:
        yield made


DRIPPING = {
    "status line": [b"H"],
    "headers": [b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"],
    "early hints": [b"HTTP/1.1 103 Early Hints\r\n\r\n"],
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "],
    "chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"],
}


@pytest.mark.parametrize("part", DRIPPING)
async def test_a_response_that_drips_is_given_up(part, raw, client):
    raw.pieces, raw.drip = DRIPPING[part], True

    with pytest.raises(e.NoResponseError) as raised:
        client.send(GET, within=1.0)
    assert raised.value.reached_server
    async with AsyncClient(client.settings) as twin:
        with pytest.raises(e.NoResponseError):
            await twin.send(GET, within=0.1)


def encoded(encoding: str, body: bytes) -> list[bytes]:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode(), body]


BOMB = gzip.compress(b" " * 20_000_000)


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        (encoded("gzip", BOMB), "more than 1000000 bytes"),
        (encoded("gzip, gzip", gzip.compress(BOMB)), "content encoding that was not asked for"),
        (encoded("br", b"x"), "content encoding that was not asked for"),
        (encoded("gzip", gzip.compress(BATCH)[:-5]), "breaks off"),
        (encoded("gzip", gzip.compress(BATCH) + b"x"), "something behind"),
        (encoded("gzip", BATCH), "broken compression"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"], "not with what the API documents"),
    ],
    ids=["bomb", "nested", "brotli", "torn", "tail", "plain", "html"],
)
def test_a_body_that_is_not_what_was_asked_for_is_an_error(pieces, problem, raw, client):
    raw.pieces = pieces

    with pytest.raises(e.InvalidResponseError, match=problem):
        client.send(replace(GET, max_bytes=1_000_000))


def test_a_compressed_body_is_read(raw, client):
    raw.pieces = encoded("gzip", gzip.compress(BATCH))

    assert client.send(GET).status == "RUNNING"


class OffTheLoop(BytesIO):
    """A file whose disk may be slow."""

    def write(self, piece: Any, /) -> int:
        assert threading.current_thread() is not threading.main_thread()
        return super().write(piece)


async def downloaded(raw: Raw, seconds: float = 20) -> bytes:
    """Fetch what the server gives as what is behind a presigned URL; the event loop never stands still for long."""
    settings = settings_from_connection("c", password=KEY, host=raw.url, extra={"timeout_seconds": seconds})
    async with AsyncClient(settings) as client:
        file, longest = OffTheLoop(), 0.0
        task = asyncio.create_task(client.download(f"{raw.url}/signed", file))
        while not task.done():
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)
            longest = max(longest, asyncio.get_running_loop().time() - began)
        await task
    assert longest < 1.0
    return file.getvalue()


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        (encoded("gzip, gzip", gzip.compress(BOMB)), "content encoding that was not asked for"),
        (encoded("gzip", BOMB), "more than 1000000 bytes"),
        (encoded("gzip", gzip.compress(b"text")[:-5]), "breaks off"),
        (encoded("identity", b"x" * 1_000_001), "more than 1000000 bytes"),
    ],
    ids=["nested", "bomb", "torn", "long"],
)
async def test_a_download_that_is_not_what_was_asked_for_is_an_error(pieces, problem, raw, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD_BYTES", 1_000_000)
    raw.pieces = pieces

    with pytest.raises(e.InvalidResponseError, match=problem):
        await downloaded(raw)


async def test_a_download_is_decompressed_as_a_whole(raw):
    content = b"".join(b"%d," % number for number in range(300_000)) + b" " * 5_000_000
    raw.pieces = encoded("gzip", gzip.compress(content))

    assert await downloaded(raw) == content
    assert KEY.encode() not in raw.read


@pytest.mark.parametrize("part", DRIPPING)
async def test_a_download_that_drips_is_given_up(part, raw):
    raw.pieces, raw.drip = DRIPPING[part], True

    with pytest.raises(e.NoResponseError):
        await asyncio.wait_for(downloaded(raw, seconds=1.0), 10)


async def test_a_download_may_take_longer_the_more_there_is_of_it(raw, monkeypatch):
    monkeypatch.setattr(downloads, "DOWNLOAD_BYTES_PER_SECOND", 10)
    length = 100  # dripped in 20 ms each
    raw.pieces, raw.drip = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length, b"x"], True

    assert await downloaded(raw, seconds=1.0) == b"x" * length


async def test_cookies_are_neither_kept_nor_sent_nor_even_read(raw, client):
    hostile = b"Set-Cookie: a=b; Path=/\r\nSet-Cookie2: " + b"; " * 30_000 + b"x\r\n"
    raw.pieces = [
        b"HTTP/1.1 200 OK\r\n" + hostile + b"Connection: close\r\nContent-Length: 36\r\n\r\n" + BATCH
    ]

    async with AsyncClient(client.settings) as twin:
        began = time.process_time()
        for _ in range(3):
            await twin.send(GET)
        await twin.download(f"{raw.url}/signed", BytesIO())
        assert time.process_time() - began < 1.0
        assert not twin._http.cookies
    assert b"cookie" not in raw.read.lower()


def test_a_long_error_is_cut_and_is_no_verdict(raw, client):
    body = b'{"detail": "' + b"x" * 1_000_000 + b'"}'
    raw.pieces = [f"HTTP/1.1 404 No\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]

    with pytest.raises(e.NotFoundError) as raised:
        client.send(GET)
    assert not raised.value.from_api
    assert len(str(raised.value)) < 2000


ECHOES = {
    "plain": KEY,
    "upper": KEY.upper(),
    "percent": "".join(f"%{byte:02x}" for byte in KEY.encode()),
    "quoted": quote(f" {KEY} "),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "basic": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "escaped": "".join(f"\\u{ord(sign):04X}" for sign in KEY),
    "hex": KEY.encode().hex(),
}
IN_PIECES = {
    "utf-16": f"<p>not {KEY}</p>".encode("utf-16"),
    "utf-16 of the other order": f"<p>not {KEY}</p>".encode("utf-16-be"),
    "lines": f"<p>{KEY[:9]}\r\n {KEY[9:]}</p>".encode(),
    "tags": f"<p>{KEY[:9]}<wbr>{KEY[9:]}</p>".encode(),
    "behind tags": b"<br>" * 990 + b"<p>" + b" ".join(KEY[at : at + 1].encode() for at in range(len(KEY))),
    "mime": base64.encodebytes(b"x" * 50 + KEY.encode()),
    "json": json.dumps({"detail": "\0".join(KEY)}).encode(),
    "json of a gateway": json.dumps({"message": "\0".join(KEY)}).encode(),
}
PLACES = {
    "status line": "HTTP/1.1 {0} OK\r\n\r\n",
    "reason": "HTTP/1.1 401 {0}\r\nContent-Length: 0\r\n\r\n",
    "header line": "HTTP/1.1 200 OK\r\n{0}\r\n\r\n",
    "chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{0}\r\n",
    "location": "HTTP/1.1 302 Found\r\nLocation: http://{0}:x/{0}\r\nContent-Length: 0\r\n\r\n",
    "body": "HTTP/1.1 400 No\r\nConnection: close\r\n\r\n<p>{0}",
    "cookie": "HTTP/1.1 500 No\r\nSet-Cookie: a={0}\r\nContent-Length: 0\r\n\r\n",
}


def everything_about(error: BaseException) -> str:
    """An exception with the local variables of this package's frames, and whatever hangs on it."""
    told: traceback.TracebackException | None
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = [f"{error} {error!r} {vars(error)}"]
    while told is not None:
        for frame in told.stack:
            assert "httpx" not in frame.filename
            if "airflow_provider_llamabatch" in frame.filename:
                shown.append(str(frame.locals))
        told = told.__context__
    return "\n".join(shown)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", ECHOES)
def test_a_key_that_the_server_repeats_shows_nowhere(form, place, raw, client, caplog):
    raw.pieces = [PLACES[place].format(ECHOES[form]).encode()]

    with caplog.at_level(logging.DEBUG), pytest.raises(e.LlamaCloudError) as raised:
        client.send(GET)

    assert f"Bearer {KEY}".encode() in raw.read
    shown = everything_about(raised.value) + caplog.text
    assert "httpcore" in caplog.text
    for hidden in (KEY, KEY.upper(), ECHOES[form].strip()):
        assert hidden.lower() not in shown.lower()


@pytest.mark.parametrize("form", IN_PIECES)
def test_a_key_that_the_server_repeats_in_pieces_shows_nowhere(form, raw, client):
    body = IN_PIECES[form]
    raw.pieces = [b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n" % len(body), body]

    with pytest.raises(e.LlamaCloudError, match=r"was answered with 400: \(left out") as raised:
        client.send(GET)

    letters = "".join(sign for sign in everything_about(raised.value) if sign.isalnum())
    assert KEY[4:12].replace("-", "") not in letters


def test_no_proxy_sees_what_is_meant_for_this_machine(raw, monkeypatch):
    raw.pieces = [OK]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    with Client(settings_from_connection("c", password=KEY, host=raw.url)) as client:
        assert client.send(GET).status == "RUNNING"
    elsewhere = settings_from_connection(
        "c", password=KEY, host="http://llama.invalid", extra={"allow_http": True}
    )
    monkeypatch.setenv("HTTP_PROXY", raw.url)
    with Client(elsewhere) as client:
        assert client.send(GET).status == "RUNNING"
    assert raw.read.startswith(b"GET http://llama.invalid/")


def test_a_connection_has_a_proxy_of_its_own_before_the_environments(raw, monkeypatch):
    raw.pieces = [OK]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "llama.invalid")
    proxy = raw.url.replace("//", "//team:p%40ss@")
    extra = {"allow_http": True, "proxy": proxy}

    with Client(
        settings_from_connection("c", password=KEY, host="http://llama.invalid", extra=extra)
    ) as client:
        assert client.send(GET).status == "RUNNING"
    assert raw.read.startswith(b"GET http://llama.invalid/")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"team:p@ss") in raw.read

    extra = {"proxy": "http://127.0.0.1:9"}
    with Client(settings_from_connection("c", password=KEY, host=raw.url, extra=extra)) as client:
        assert client.send(GET).status == "RUNNING"


def test_what_a_proxy_repeats_of_its_password_is_not_shown(raw):
    raw.pieces = [b"HTTP/1.1 407 No\r\nContent-Length: 24\r\n\r\nnot p@ss-1 nor p%40ss-1!"]
    extra = {"allow_http": True, "proxy": raw.url.replace("//", "//team:p%40ss-1@"), "max_attempts": 1}

    with (
        Client(
            settings_from_connection("c", password=KEY, host="http://llama.invalid", extra=extra)
        ) as client,
        pytest.raises(e.LlamaCloudError) as raised,
    ):
        client.send(GET)
    assert "407" in str(raised.value)
    shown = everything_about(raised.value)
    assert "p@ss-1" not in shown
    assert "p%40ss-1" not in shown


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 No\r\n\r\n",
        b"HTTP/1.1 407 No\r\n\r\n",
        b"HTTP/1.1 102 Wait\r\n\r\n" * 9999,
        b"junk",
        b"",
    ],
)
def test_what_a_proxy_does_not_let_through_was_not_sent(answer, raw):
    raw.pieces = [answer]
    settings = settings_from_connection(
        "c", password=KEY, host="https://llama.invalid", extra={"proxy": raw.url}
    )

    with Client(settings) as client, pytest.raises(e.NoResponseError, match="could not be sent") as raised:
        client.send(calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-1"), ONCE)
    assert raw.read.startswith(b"CONNECT llama.invalid:443")
    assert not raised.value.reached_server


def test_a_signal_handler_may_send_while_a_send_is_under_way(raw, client):
    statuses: list[str] = []
    raw.pieces, raw.drip = DRIPPING["body"], True

    def handle(*_: object) -> None:
        raw.pieces, raw.drip = [OK], False
        statuses.append(client.send(GET).status)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(e.NoResponseError):
            client.send(GET)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert statuses == ["RUNNING"]


def test_closing_ends_what_is_under_way(raw, client):
    raw.pieces, raw.drip = DRIPPING["body"], True
    threading.Timer(0.1, client.close).start()

    with pytest.raises(e.NoResponseError, match="closed"):
        client.send(GET)


def test_a_file_is_sent_in_pieces_and_closed(emulator, hook):
    directory_id = hook.send(calls.create_directory(name="d")).id
    opened: list[Pieces] = []

    def open_file() -> Pieces:
        opened.append(Pieces(b"x" * 3_000_000))
        return opened[-1]

    call = calls.upload_directory_file(directory_id, open_file, size=3_000_000, display_name="a.txt")
    assert hook.send(call).display_name == "a.txt"
    assert asyncio.run(sent_again(hook, call)) == "a.txt"
    assert [(file.largest <= 262_144, file.closed) for file in opened] == [(True, True)] * 2

    wrong = calls.upload_directory_file(directory_id, open_file, size=7, display_name="b.txt")
    with pytest.raises(e.InvalidInputError, match="not 7 bytes long"):
        hook.send(wrong, ONCE)


async def sent_again(hook, call) -> str:
    async with AsyncClient(hook.get_conn().settings) as twin:
        return (await twin.send(call)).display_name


class Pieces(BytesIO):
    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.largest = max(self.largest, size if size is not None and size > 0 else 10**9)
        return super().read(size)
