"""TLS with a real certificate over a real socket: who is trusted, and that nobody is by accident."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from tests.support.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "llx-tls-key"
BATCH = {"id": "bat-1", "status": "RUNNING"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company's own CA: here the certificate of the server itself, with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("ca")
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Recorder]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(bundle, bundle.with_name("key.pem"))
    with Recorder(lambda asked: BATCH, tls) as running:
        yield running


def in_both_ways() -> list[str]:
    """Ask for the batch with the synchronous and the asynchronous client, and return the statuses."""

    async def ask() -> str:
        async with LlamaBatchHook() as hook:
            return (await hook.aget_batch("bat-1")).status

    with LlamaBatchHook() as hook:
        return [hook.get_batch("bat-1").status, asyncio.run(ask())]


@pytest.mark.parametrize("extra", [{}, {"verify": True}])
def test_a_certificate_nobody_vouches_for_is_refused_and_the_key_stays_here(
    server: Recorder, connect: Any, extra: dict[str, Any]
) -> None:
    connect(password=KEY, host=server.url, extra={**extra, "max_attempts": 1})
    server.take()
    with LlamaBatchHook() as hook, pytest.raises(LlamaCloudError, match=r"(?i)certificate.verify.failed"):
        hook.get_batch("bat-1")
    assert server.take() == []


def test_a_ca_bundle_makes_its_servers_trusted(server: Recorder, connect: Any, bundle: Path) -> None:
    connect(password=KEY, host=server.url, extra={"verify": str(bundle)})
    assert in_both_ways() == ["RUNNING", "RUNNING"]


def test_verify_false_trusts_anybody(server: Recorder, connect: Any) -> None:
    connect(password=KEY, host=server.url, extra={"verify": False})
    assert in_both_ways() == ["RUNNING", "RUNNING"]


def test_a_bundle_that_is_missing_or_holds_no_certificate_is_named(
    server: Recorder, connect: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("none.pem", "empty.pem"):
        connect(password=KEY, host=server.url, extra={"verify": str(tmp_path / name)})
        with LlamaBatchHook() as hook, pytest.raises(LlamaCloudError, match=f"extra verify.*{name}"):
            hook.get_batch("bat-1")
