"""
What a client needs to know, and how it is read from the parts of an Airflow connection. No Airflow, no I/O.

Facts: hosts and regions from https://developers.llamaindex.ai/llamaparse/general/regions.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_llamabatch.llamacloud.call import checked_id
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

REGIONS = {
    "na": "https://api.cloud.llamaindex.ai",
    "eu": "https://api.cloud.eu.llamaindex.ai",
}
DEFAULT_BASE_URL = REGIONS["na"]
DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_MAX_ATTEMPTS = 6

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Everything a client is made from. The key shows neither in ``repr`` nor in errors."""

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    project_id: str | None = None
    organization_id: str | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    verify: bool | str = True  # False, or the path of a CA bundle


def settings_from_connection(
    conn_id: str,
    *,
    password: str | None,
    host: str | None = None,
    schema: str | None = None,
    port: int | None = None,
    extra: Mapping[str, Any] | str | None = None,
) -> ClientSettings:
    """
    Read the parts of connection ``conn_id``; raises ``InvalidInputError`` naming the connection and the field.

    ``host`` is a URL, a host name (gets ``https://``), a region (``na``, ``eu``) or empty for North America.
    """

    def named(field_name: str) -> str:
        return f"connection {conn_id!r}, {field_name}"

    options = _extra(named("extra"), extra)
    allow_http = _boolean(named("extra allow_http"), options.get("allow_http", False))
    return ClientSettings(
        api_key=_key(named("password"), password),
        base_url=_base_url(named("host"), host, schema, port, allow_http=allow_http),
        project_id=_optional_id(named("extra project_id"), options.get("project_id")),
        organization_id=_optional_id(named("extra organization_id"), options.get("organization_id")),
        timeout_seconds=_number(
            named("extra timeout_seconds"), options.get("timeout_seconds"), DEFAULT_TIMEOUT_SECONDS
        ),
        max_attempts=int(
            _number(named("extra max_attempts"), options.get("max_attempts"), DEFAULT_MAX_ATTEMPTS, least=1)
        ),
        verify=_verify(named("extra verify"), options.get("verify", True)),
    )


def _key(name: str, value: str | None) -> str:
    if not value or not value.strip():
        raise InvalidInputError(name, "is empty; put the LlamaCloud API key (llx-...) there")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidInputError(
            name,
            "the API key has a space, a line break or another character that no key has; paste it again "
            "without what surrounds it",
        )
    return value


def _base_url(name: str, host: str | None, schema: str | None, port: int | None, *, allow_http: bool) -> str:
    text = (host or "").strip()
    if not text:
        return DEFAULT_BASE_URL
    if text.lower() in REGIONS:
        return REGIONS[text.lower()]
    if "://" not in text:
        text = f"{schema if schema in ('http', 'https') else 'https'}://{text}"
    url = _split(name, text)
    if url.scheme == "http" and not allow_http and not _is_loopback(url.hostname or ""):
        raise InvalidInputError(
            name,
            f"{text!r} would send the API key unencrypted; use https, or set the extra allow_http to true",
        )
    if port is not None and url.port is None:
        text = url._replace(netloc=f"{url.netloc.rstrip(':')}:{port}").geturl()
    return text.rstrip("/")


def _split(name: str, text: str) -> SplitResult:
    problem = (
        f"{text[:200]!r} is not a base URL; use https://HOST, a region "
        f"({', '.join(REGIONS)}), or leave it empty for {DEFAULT_BASE_URL}"
    )
    if "@" in text:
        raise InvalidInputError(name, "a base URL with a user or password in it is not supported")
    try:
        url = urlsplit(text)
        has_port = url.port is None or url.port > 0
    except ValueError:
        raise InvalidInputError(name, problem) from None
    unusual = url.query or url.fragment or any(character.isspace() for character in text)
    if url.scheme not in ("http", "https") or not url.hostname or not has_port or unusual:
        raise InvalidInputError(name, problem)
    return url


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"


def _extra(name: str, extra: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    if isinstance(extra, str):
        try:
            extra = json.loads(extra) if extra.strip() else {}
        except (ValueError, RecursionError):
            raise InvalidInputError(name, "is not JSON") from None
    if extra is not None and not isinstance(extra, Mapping):
        raise InvalidInputError(name, "must be a JSON object")
    return extra or {}


def _optional_id(name: str, value: Any) -> str | None:
    return None if value in (None, "") else checked_id(name, value)


def _number(name: str, value: Any, default: float, *, least: float = 0.001) -> float:
    if value in (None, ""):
        return default
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if isinstance(value, bool) or not least <= number < float("inf"):
        raise InvalidInputError(name, f"must be a number of at least {least:g}, not {value!r}"[:200])
    return number


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value or "false").strip().lower()]
    except KeyError:
        raise InvalidInputError(name, f"must be true or false, not {value!r}"[:200]) from None


def _verify(name: str, value: Any) -> bool | str:
    if isinstance(value, str) and value.strip().lower() not in _BOOLEANS and value.strip():
        return value
    return True if value in (None, "") else _boolean(name, value)
