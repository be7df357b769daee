"""Proxies, certificates and hosts that cannot be used: one error that names what is at fault, and no password."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider_llamabatch.llamacloud import transport
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

PASSWORD = "hunter2-never-shown"


def refusal(host: str = "https://api.example.com", **extra: object) -> str:
    transport.ssl_context.cache_clear()
    with pytest.raises(InvalidInputError) as raised:
        AsyncClient(settings_from_connection("c", password="llx-never-shown", host=host, extra=extra))
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    assert "never-shown" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", f"socks5://me:{PASSWORD}@127.0.0.1:9"),
        ("all_proxy", f"socks5://me:{PASSWORD}@127.0.0.1:9"),
        ("HTTPS_PROXY", f"foo://me:{PASSWORD}@127.0.0.1:9"),
        ("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:99999"),
        ("HTTPS_PROXY", f"http://me:{PASSWORD}/a@b@127.0.0.1:x"),
        ("NO_PROXY", "::1,[::1]:80,*:x"),
    ],
)
def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(name, value, monkeypatch):
    for other in transport.PROXY_VARIABLES:
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.lower(), raising=False)
    monkeypatch.setenv(name, value)

    said = refusal()

    host = value.rpartition("@")[2]
    assert said.startswith(f"environment variables {name}='")
    assert f"{host}': they must name proxies such as http://proxy.example.com:3128" in said


@pytest.mark.skipif(
    httpx.__version__.startswith("0.27"), reason="httpx before 0.28 passes over a file that is not there"
)
def test_a_missing_bundle_of_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")

    assert refusal().startswith(
        "environment variable SSL_CERT_FILE='/nonexistent/ca.pem': is not a CA bundle ("
    )


@pytest.mark.parametrize("verify", ["x" * 5000, "/nonexistent.pem", "/etc/passwd/x"])
def test_a_missing_bundle_of_the_connection_is_named_and_cut(verify):
    said = refusal(verify=verify)

    assert said.startswith(f"connection extra verify: there is no CA bundle at {verify!r:.100}")
    assert len(said) < 300


@pytest.mark.parametrize("host", ["https://xn--", "https://exa\u200bmple.com"])
def test_a_host_whose_name_is_none_is_named(host):
    assert refusal(host=host).startswith(f"connection host: {host!r} is not a base URL: ")
