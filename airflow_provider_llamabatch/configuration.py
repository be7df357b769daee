"""
What a deployment sets for all its tasks: the section ``[llamabatch]`` of Airflow's configuration, and its only reader.

Every option is read when it is needed: when a task is constructed or runs, or when a connection is read. An argument of
a task and a field of a connection win over it. A value that cannot be used raises an ``InvalidInputError`` that names
section, option and value. Airflow gets the options' descriptions from ``described``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

T = TypeVar("T")

SECTION = "llamabatch"
NO_LINKS = "none"

_BOOLEANS = {
    "true": True,
    "t": True,
    "1": True,
    "yes": True,
    "false": False,
    "f": False,
    "0": False,
    "no": False,
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option; ``type`` is one of Airflow's words, ``default`` and ``example`` are written as in airflow.cfg."""

    type: str
    default: str | None
    example: str
    description: str
    version_added: str = "0.2.0"


OPTIONS = {
    "default_deferrable": Option(
        "boolean",
        None,
        "False",
        "Whether operators and sensors wait deferred where their argument `deferrable` is not given. Without a value "
        "they do, unless the environment variable AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE says otherwise.",
    ),
    "poll_interval": Option(
        "float",
        f"{defaults.POLL_INTERVAL:g}",
        "60",
        "Seconds between two polls of a waiting task whose argument `poll_interval` is not given.",
    ),
    "wait_timeout": Option(
        "float",
        f"{defaults.WAIT_TIMEOUT:g}",
        "21600",
        "Seconds that CreateBatchOperator and BatchJobsSensor wait at most where their argument `timeout` is not "
        "given. BatchSensor has Airflow's own default, [sensors] default_timeout.",
    ),
    "request_timeout": Option(
        "float",
        f"{defaults.REQUEST_TIMEOUT:g}",
        "120",
        "Seconds that one request to LlamaCloud may take as a whole where the connection's extra `timeout_seconds` is "
        "empty.",
    ),
    "max_attempts": Option(
        "integer",
        str(defaults.MAX_ATTEMPTS),
        "3",
        "How often one request is tried in all where the connection's extra `max_attempts` is empty.",
    ),
    "api_host": Option(
        "string",
        "na",
        "eu",
        "Where connections without a host lead: a region (na, eu), a host name or a base URL.",
    ),
    "ui_host": Option(
        "string",
        None,
        "https://llamacloud.example.com",
        "The base URL of LlamaCloud's user interface, for the links on tasks. Without a value it is the one of the "
        f"connection's region, and other hosts have no link. `{NO_LINKS}` takes the links off all tasks.",
    ),
    "max_concurrency": Option(
        "integer",
        str(defaults.MAX_CONCURRENCY),
        "4",
        "Files under way at once in one task that uploads or saves where its argument `max_concurrency` is not given. "
        f"Each takes up to {defaults.SMALL_FILE_BYTES // 1024 // 1024} MB of memory.",
    ),
    "retry_dag_id": Option(
        "string",
        "process_failed_files",
        "my_second_attempt",
        "The DAG that the page in Airflow's UI starts to process a batch's failed files again; it gets `batch_id`, "
        "`llamabatch_conn_id`, `source_directory_id`, `file_ids`, `configuration_id` and `job_type` as conf. Without "
        "such a DAG the page offers nothing.",
    ),
}


def described() -> dict[str, Any]:
    """Return the section as provider metadata, from which Airflow takes names, descriptions and defaults."""
    options = {
        name: {
            "description": f"{option.description}\n",
            "version_added": option.version_added,
            "type": option.type,
            "example": option.example,
            "default": option.default,
        }
        for name, option in OPTIONS.items()
    }
    return {
        "description": "Defaults of airflow-provider-llamabatch for a whole deployment.",
        "options": options,
    }


def given() -> list[str]:
    """Return the names of the options that the deployment sets, in airflow.cfg or by environment variables."""
    from airflow.providers.common.compat.sdk import conf

    prefix = f"AIRFLOW__{SECTION.upper()}__"
    in_file = conf.options(SECTION) if conf.has_section(SECTION) else []
    return [*in_file, *(name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix))]


def check() -> None:
    """Read every option; raises what reading the first wrong one raises."""
    for read in (deferrable, poll_interval, wait_timeout, request_timeout, max_attempts, api_host, ui_host):
        read()
    max_concurrency()


def deferrable(given: bool | None = None) -> bool:
    """
    Return whether a task waits deferred: as its argument says, else yes, unless somebody chose otherwise.

    A choice is ``[llamabatch] default_deferrable``, or the environment variable for ``[operators] default_deferrable``.
    That option in airflow.cfg is none: Airflow 3.3 writes ``False`` there when it makes the file.
    """
    if given is not None:
        return given
    name = "default_deferrable"
    if (text := _text(name)) is not None:
        return _read(name, text, _boolean, "must be True or False")
    general = os.environ.get("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "").strip()
    return _boolean(general) if general.lower() in _BOOLEANS else True


def poll_interval(given: float | timedelta | None = None) -> float | timedelta:
    """Return a task's argument ``poll_interval``, or the seconds that are configured."""
    return _seconds("poll_interval") if given is None else given


def wait_timeout(given: float | timedelta | None = None) -> float | timedelta:
    """Return a task's argument ``timeout``, or the seconds that are configured."""
    return _seconds("wait_timeout") if given is None else given


def request_timeout() -> float:
    """Return the seconds that one request may take."""
    return _seconds("request_timeout", lowest=0.001, highest=defaults.MAX_TIMEOUT_SECONDS)


def max_attempts() -> int:
    """Return how often one request is tried in all."""
    return _whole_number("max_attempts", defaults.MAX_ALLOWED_ATTEMPTS)


def max_concurrency(given: int | None = None) -> int:
    """Return a task's argument ``max_concurrency``, or the number that is configured."""
    return _whole_number("max_concurrency", defaults.MAX_CONNECTIONS) if given is None else given


def api_host() -> str:
    """Return where connections without a host lead: a region or a base URL."""
    from airflow_provider_llamabatch.llamacloud.settings import base_url

    text = _text("api_host") or ""
    try:
        base_url(text, None, None, allow_http=True)  # whether http is allowed is the connection's to say
    except InvalidInputError:
        raise _unusable("api_host", text, "must be a region (na, eu), a host name or a base URL") from None
    return text


def ui_host() -> str | None:
    """Return the base URL of the user interface without ``/`` at its end, ``none`` for no links, None where not set."""
    text = _text("ui_host")
    if text is None or text.lower() == NO_LINKS:
        return text and NO_LINKS
    wanted = f"must be a URL that begins with https:// or http://, or {NO_LINKS}"
    return _read("ui_host", text, _url, wanted).rstrip("/")


def retry_dag_id() -> str:
    """Return the DAG that processes failed files again."""
    return _text("retry_dag_id") or ""


def _seconds(name: str, *, lowest: float = 0.0, highest: float = defaults.MAX_SECONDS) -> float:
    def read(text: str) -> float:
        number = float(text)
        if not lowest <= number <= highest or number == 0.0:
            raise ValueError(text)
        return number

    bounds = f"from {lowest:g} to {highest:g}" if lowest else "above 0 and up to ten years"
    return _read(name, _text(name), read, f"must be a number of seconds {bounds}")


def _whole_number(name: str, highest: int) -> int:
    def read(text: str) -> int:
        number = int(text)
        if not 1 <= number <= highest:
            raise ValueError(text)
        return number

    return _read(name, _text(name), read, f"must be a whole number from 1 to {highest}")


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or "@" in text:
        raise ValueError(text)
    return text


def _text(name: str) -> str | None:
    """Return what is configured, else the default; an empty value is none."""
    from airflow.providers.common.compat.sdk import conf

    configured = conf.get(SECTION, name, fallback=None)
    return str(configured or "").strip() or OPTIONS[name].default


def _read(name: str, text: str | None, read: Callable[[str], T], wanted: str) -> T:
    try:
        return read(text or "")
    except (KeyError, ValueError):
        raise _unusable(name, text, wanted) from None


def _unusable(name: str, text: str | None, problem: str) -> InvalidInputError:
    from airflow_provider_llamabatch.llamacloud.call import looks_like_key

    shown = "***" if looks_like_key(text or "") else f"{text!r:.200}"
    default = OPTIONS[name].default
    return InvalidInputError(
        f"[{SECTION}] {name} = {shown}",
        f"{problem}; correct it in airflow.cfg or in AIRFLOW__{SECTION.upper()}__{name.upper()}, or remove it"
        + (f" (the default is {default})" if default else ""),
    )
