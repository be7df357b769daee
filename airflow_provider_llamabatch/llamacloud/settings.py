"""
What a client needs to know, and how it is read from the parts of an Airflow connection. No Airflow, no I/O.

The connection form is made from the model's fields (``connection_form.py``).
Facts: hosts and regions from https://developers.llamaindex.ai/llamaparse/general/regions.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from airflow_provider_llamabatch.defaults import (
    MAX_ALLOWED_ATTEMPTS,
    MAX_ATTEMPTS,
    MAX_TIMEOUT_SECONDS,
    MIN_REQUESTS_PER_MINUTE,
    REQUEST_TIMEOUT,
)
from airflow_provider_llamabatch.llamacloud.call import checked_id, looks_like_key
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.redaction import ApiKey

T = TypeVar("T")

REGIONS = {
    "na": "https://api.cloud.llamaindex.ai",
    "eu": "https://api.cloud.eu.llamaindex.ai",
}
DEFAULT_BASE_URL = REGIONS["na"]

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_VERSION = re.compile(r"/api/v\d+/*$")  # as the API's own documentation writes addresses


def _key(value: Any) -> ApiKey:
    text = value.get_secret_value() if isinstance(value, ApiKey) else value
    if not isinstance(text, str) or not text.strip():
        raise ValueError("is empty; put the LlamaCloud API key (llx-...) there")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "the API key has a space, a line break or another character that no key has; paste it again "
            "without what surrounds it",
        )
    return ApiKey(text)


def _optional_id(value: Any) -> str | None:
    try:
        return None if value in (None, "") else checked_id("id", value)
    except InvalidInputError as error:
        problem = str(error).removeprefix("id: ")
    raise ValueError(problem)


def _timeout(value: Any) -> float:
    number = REQUEST_TIMEOUT if value in (None, "") else _number(value)
    if not 0.001 <= number <= MAX_TIMEOUT_SECONDS:
        raise ValueError(f"must be a number from 0.001 to {MAX_TIMEOUT_SECONDS:.0f}, not {value!r:.100}")
    return number


def _attempts(value: Any) -> int:
    number = MAX_ATTEMPTS if value in (None, "") else _number(value)
    if not 1 <= number <= MAX_ALLOWED_ATTEMPTS or number != int(number):
        raise ValueError(f"must be a whole number from 1 to {MAX_ALLOWED_ATTEMPTS}, not {value!r:.100}")
    return int(number)


def _rate(value: Any) -> float | None:
    if value in (None, ""):
        return None
    number = _number(value)
    if not MIN_REQUESTS_PER_MINUTE <= number < float("inf"):
        raise ValueError(f"must be a number from {MIN_REQUESTS_PER_MINUTE:g}, or empty, not {value!r:.100}")
    return number


def _number(value: Any) -> float:
    """Return a number, -1 for what is none."""
    try:
        return -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return -1.0


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str("false" if value in (None, "") else value).strip().lower()]
    except (KeyError, ValueError):
        raise ValueError(f"must be true or false, not {value!r:.100}") from None


def _verify(value: Any) -> bool | str:
    if isinstance(value, str) and value.strip().lower() not in _BOOLEANS and value.strip():
        if "\0" in value:
            raise ValueError(f"must be true, false or a path, not {value!r:.100}")
        return value
    return True if value in (None, "") else _boolean(value)


def _proxy(value: Any) -> SecretStr | None:
    """Return a proxy's URL; a user and a password may be in it, so it is shown nowhere."""
    if value in (None, ""):
        return None
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    with contextlib.suppress(TypeError, AttributeError, ValueError):
        url = urlsplit(text)
        unusual = url.path.strip("/") or url.query or url.fragment or " " in text or not text.isprintable()
        if url.scheme in _DEFAULT_PORTS and url.hostname and url.port != 0 and not unusual:
            return SecretStr(text)
    raise ValueError("must be the URL of a proxy, such as http://proxy.example.com:3128, or empty")


class ClientSettings(BaseModel):
    """Everything a client is made from. The key shows neither in ``repr`` nor in errors."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    api_key: Annotated[ApiKey, BeforeValidator(_key)]
    base_url: str = DEFAULT_BASE_URL
    project_id: Annotated[str | None, BeforeValidator(_optional_id)] = Field(
        None, title="Project id", description="empty: the project of the API key"
    )
    organization_id: Annotated[str | None, BeforeValidator(_optional_id)] = Field(
        None, title="Organization id", description="empty: the organization of the API key"
    )
    timeout_seconds: Annotated[float, BeforeValidator(_timeout)] = Field(
        REQUEST_TIMEOUT,
        title="Timeout (seconds)",
        description=f"how long one request may take as a whole, at most {MAX_TIMEOUT_SECONDS:.0f}; empty: "
        f"[llamabatch] request_timeout, {REQUEST_TIMEOUT:.0f}",
    )
    max_attempts: Annotated[int, BeforeValidator(_attempts)] = Field(
        MAX_ATTEMPTS, title="Attempts", description="how often one request is tried in all"
    )
    requests_per_minute: Annotated[float | None, BeforeValidator(_rate)] = Field(
        None,
        title="Requests per minute",
        description="how many one process may send (a task, a triggerer); empty: no limit",
    )
    verify: Annotated[bool | str, BeforeValidator(_verify)] = Field(
        True, title="Verify TLS", description="empty or true, false, or the path of a CA bundle"
    )
    proxy: Annotated[SecretStr | None, BeforeValidator(_proxy)] = Field(
        None,
        title="Proxy",
        description="http://[USER:PASSWORD@]HOST:PORT of the proxy for this connection; empty: the environment's",
    )
    allow_http: Annotated[bool, BeforeValidator(_boolean)] = Field(
        False,
        title="Allow plain http",
        description="sends the API key unencrypted to a host that is not this one",
    )

    @property
    def secrets(self) -> list[SecretStr]:
        """Return what is shown nowhere: the key, and the password of the proxy as it is written and as it is meant."""
        password = urlsplit(self.proxy.get_secret_value()).password if self.proxy else None
        written = dict.fromkeys([password, unquote(password)] if password else ())
        return [self.api_key, *map(SecretStr, written)]


EXTRA_FIELDS = tuple(name for name in ClientSettings.model_fields if name not in ("api_key", "base_url"))


def settings_from_connection(
    conn_id: str,
    *,
    password: str | ApiKey | None,
    host: str | None = None,
    schema: str | None = None,
    port: int | None = None,
    extra: Mapping[str, Any] | str | None = None,
) -> ClientSettings:
    """
    Read the parts of connection ``conn_id``; raises ``InvalidInputError`` naming the connection and the field.

    ``host`` is a URL, a host name (gets ``https://``), a region (``na``, ``eu``) or empty for North America. Port 0 is
    no port: Airflow's form sends it for an empty field.
    """
    read = settings_or_problem(conn_id, password=password, host=host, schema=schema, port=port, extra=extra)
    # A traceback that shows local variables must show neither the key nor what was typed into the wrong field.
    del password, host, schema, extra
    if isinstance(read, InvalidInputError):
        raise read
    return read


def settings_or_problem(
    conn_id: str,
    *,
    password: str | ApiKey | None,
    host: str | None,
    schema: str | None,
    port: int | None,
    extra: Mapping[str, Any] | str | None,
    default_host: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> ClientSettings | InvalidInputError:
    """
    Return what ``settings_from_connection`` returns, or the exception that it raises.

    ``default_host`` stands in for an empty host, ``defaults`` for extras that are empty.
    """
    try:
        options = _options(extra)
        key = _named("password", _key, password)
        _refuse_keys({"host": host, "schema": schema, "extra": options}, key)
        allow_http = _named("extra allow_http", _boolean, options.get("allow_http"))
        url = base_url((host or "").strip() or default_host, schema, port or None, allow_http=allow_http)
        given = {name: options[name] for name in EXTRA_FIELDS if options.get(name) not in (None, "")}
        return ClientSettings(api_key=key, base_url=url, **{**(defaults or {}), **given})
    except InvalidInputError as error:
        field, problem = error.argument, str(error).removeprefix(f"{error.argument}: ")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field, problem = f"extra {first['loc'][0]}", first["msg"].removeprefix("Value error, ")
    except RecursionError:
        field, problem = "extra", "is nested too deeply; it is a JSON object with a value for each field"
    return InvalidInputError(f"connection {conn_id!r}, {field}", problem)


def is_loopback(hostname: str) -> bool:
    """Say whether a host name is this machine's own, whatever a name server says."""
    try:
        address = ipaddress.ip_address(hostname)
    except ValueError:
        return hostname.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _named(field: str, read: Any, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        problem = str(error)
    raise InvalidInputError(field, problem)


def _refuse_keys(fields: Mapping[str, Any], key: ApiKey) -> None:
    """Refuse an API key in a field that is shown."""
    for field, value in fields.items():
        for place, text in _texts(field, value):
            if looks_like_key(text) or (len(key) > 3 and key.get_secret_value() in text):
                raise InvalidInputError(
                    place, "holds an API key; it belongs into the password and nowhere else"
                )


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return every text in a value, with the name of the field that it is in."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, held in value.items():
            yield place, str(name)
            yield from _texts(f"extra {name}" if place == "extra" and name in EXTRA_FIELDS else place, held)
    elif isinstance(value, (list, tuple)):
        for held in value:
            yield from _texts(place, held)


def base_url(host: str | None, schema: str | None, port: int | None, *, allow_http: bool) -> str:
    """Return the base URL for a host as a connection names it; raises ``InvalidInputError``."""
    text = (host or "").strip()
    text = REGIONS.get(text.lower() or "na", text)
    is_word = text.replace("-", "").isalnum() and text.lower() != "localhost"
    if is_word and not schema and port in (None, _DEFAULT_PORTS["https"]):  # a region that there is not
        raise InvalidInputError("host", _no_base_url(text))
    if ":/" not in text:  # with one slash it is a scheme too, and no host for another one
        text = f"{schema if schema in ('http', 'https') else 'https'}://{text}"
    url = _split(text)
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
        raise InvalidInputError(
            "host",
            f"{text!r:.200} would send the API key unencrypted; use https, or set the extra allow_http to true",
        )
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536):
        raise InvalidInputError("port", f"must be a number from 1 to 65535, or empty, not {port!r:.100}")
    if port is not None and url.port is None and port != _DEFAULT_PORTS[url.scheme]:
        text = url._replace(netloc=f"{url.netloc.rstrip(':')}:{port}").geturl()
    return text.rstrip("/")


def _no_base_url(text: str) -> str:
    return (
        f"{text[:200]!r} is not a base URL; use https://HOST, a region "
        f"({', '.join(REGIONS)}), or leave it empty for {DEFAULT_BASE_URL}"
    )


def _split(text: str) -> SplitResult:
    if "@" in text:
        raise InvalidInputError("host", "a base URL with a user or password in it is not supported")
    try:
        url = urlsplit(text)
        has_port = url.port is None or url.port > 0
    except ValueError:
        raise InvalidInputError("host", _no_base_url(text)) from None
    has_two_schemes = text.count("://") > 1
    unusual = url.query or url.fragment or has_two_schemes or any(map(str.isspace, text))
    if url.scheme not in ("http", "https") or not url.hostname or not has_port or unusual:
        raise InvalidInputError("host", _no_base_url(text))
    if version := _VERSION.search(url.path):
        raise InvalidInputError(
            "host",
            f"{text[:200]!r} ends in {version[0].rstrip('/')}, which every request adds itself; leave it out",
        )
    return url


def _options(extra: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    if isinstance(extra, str):
        try:
            extra = json.loads(extra) if extra.strip() else {}
        except (ValueError, RecursionError):
            raise InvalidInputError(
                "extra", """is not JSON; write it as {"project_id": "prj-...", "timeout_seconds": 60}"""
            ) from None
    if extra is not None and not isinstance(extra, Mapping):
        raise InvalidInputError("extra", "must be a JSON object")
    return extra or {}
