"""
Turns an HTTP response into a value or an exception. Pure.

What raises here holds no text of the server in a local variable: tracebacks with locals show what a frame holds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_llamabatch.defaults import MAX_FIELD_ERRORS
from airflow_provider_llamabatch.llamacloud.errors import (
    AuthenticationError,
    ConflictError,
    InvalidResponseError,
    LlamaCloudError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    RefusedError,
    StatusError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.redaction import Redactor

T = TypeVar("T")

_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_CORRELATION_HEADERS = ("x-correlation-id", "x-request-id")
_MAX_CORRELATION_ID = 64
_MAX_PAGE_TEXT = 4000  # characters of a gateway's page whose tags are taken out
_PROBLEM_KEYS = {
    "title",
    "status",
    "type",
    "instance",
}  # RFC 9457: what gateways answer with, the API does not
_SERVER_TROUBLE = 500

# The advice is for the person who reads the failed task's log.
_BY_STATUS: dict[int, tuple[type[StatusError], str]] = {
    401: (
        AuthenticationError,
        "The API key was not accepted: check the connection's password (API key) and its region (host).",
    ),
    402: (PaymentRequiredError, "Credits or the plan's quota are used up."),
    403: (PermissionDeniedError, "The API key may not do this: check project_id and the plan."),
    404: (
        NotFoundError,
        "Check the id and the project: it does not exist there, was deleted, or has expired.",
    ),
    408: (UnavailableError, ""),
    409: (ConflictError, ""),
    425: (UnavailableError, ""),
    429: (RateLimitedError, ""),
}
_GATEWAY = (
    "This is not an answer of LlamaCloud itself but of something on the way, such as a proxy: check the connection's "
    "host if it stays."
)


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it arrived; ``complete`` is False where the rest of a long error body was not read."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True


def decipher(call: Call[T], response: Response, redactor: Redactor) -> T:
    """
    Return the value that a response carries, or raise the exception that says what it means.

    Secrets are redacted in the exception, wherever the service repeats them. Of a value only the connection's own are
    taken out, before: a webhook header's value may well be a word like ``1`` that is part of every id.
    """
    value, problem = _read(call, response, redactor)
    if problem is not None:
        raise problem
    return value


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """
    Return how long the server asks to wait, in seconds from ``now`` (epoch), or None if it does not say.

    Reads ``retry-after-ms`` and the seconds and HTTP-date forms of ``Retry-After``
    (RFC 9110, 10.2.3). LlamaCloud is documented not to send any of them; gateways in front of it do.
    """
    from email.utils import parsedate_to_datetime

    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            return float(text) * scale
    try:
        date = parsedate_to_datetime(headers.get("retry-after", "")[:100])
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _read(
    call: Call[T], response: Response, redactor: Redactor
) -> tuple[T, None] | tuple[Any, LlamaCloudError]:
    if response.status >= 400:
        return None, _status_error(call, response, redactor)
    if not 200 <= response.status < 300:
        return None, _redirect_error(call, response, redactor)
    try:
        return call.parse(response.body), None
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        problem = redactor.show(_first_problem(error), 200)
    return None, InvalidResponseError(
        f"{call} was answered with {response.status}, but not with what the API documents: {problem}"
    )


def _redirect_error(call: Call[Any], response: Response, redactor: Redactor) -> StatusError:
    location = response.headers.get("location")
    host = (
        re.sub(r"^(https?://[^/?#]*).*", r"\1", redactor.redact_start(location), flags=re.DOTALL)
        if location
        else ""
    )
    return RefusedError(
        f"{call} was answered with a redirect ({response.status}){f' to {redactor.show(host, 200)}' if host else ''}, "
        "which is never followed: check the connection's host.",
        status_code=response.status,
    )


def _status_error(call: Call[Any], response: Response, redactor: Redactor) -> StatusError:
    import time

    status = response.status
    said = _detail_of(response)
    from_api = said is not None
    detail = redactor.show(_page_text(response, redactor) if said is None else said) or None
    kind, advice = _BY_STATUS.get(
        status, (UnavailableError, "") if status >= _SERVER_TROUBLE else (RefusedError, "")
    )
    if not from_api and status < _SERVER_TROUBLE:
        advice = _GATEWAY
    elif kind is RefusedError:
        advice = advice or call.advice
    if kind is AuthenticationError and "region" in (detail or "").lower():
        advice = advice.replace("region (host)", "host")  # the service has named the region already
    correlation_id = _correlation_id(response.headers, detail, redactor)
    message = f"{call} was answered with {status}: {detail or 'no reason given'}"
    if correlation_id and correlation_id not in message:
        message += f" [correlation id {correlation_id}]"
    if advice:
        message = f"{message.rstrip('.')}. {advice}"
    return kind(
        message,
        status_code=status,
        detail=detail,
        correlation_id=correlation_id,
        retry_after=retry_after_seconds(response.headers, time.time()),
        from_api=from_api,
    )


def _detail_of(response: Response) -> str | None:
    """
    Return what an error body in the API's own shape says, None for any other body: that is a gateway's.

    The shape is ``{"detail": ...}`` with a text, an object, or the list of problems of a 422.
    """
    if not response.complete:
        return None
    try:
        body = json.loads(response.body)
        if not isinstance(body, dict) or _PROBLEM_KEYS & body.keys():
            return None
        detail = body.get("detail")
        if isinstance(detail, list) and all(isinstance(entry, dict) and "msg" in entry for entry in detail):
            return "; ".join(_field_error(entry) for entry in detail[:MAX_FIELD_ERRORS]) or None
        return _json(detail) if detail and isinstance(detail, (str, dict)) else None
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        return None


def _page_text(response: Response, redactor: Redactor) -> str:
    """Return what a gateway's page says, without its tags."""
    text = redactor.redact_start(response.body.decode("utf-8", "replace"), complete=response.complete)
    return " ".join(re.sub(r"<[^>]*>|\s+", " ", text[:_MAX_PAGE_TEXT]).split())


def _field_error(entry: dict[str, Any]) -> str:
    """Return one entry of a 422 response as ``field: problem``; its ``input`` is left out, it may be a secret."""
    loc = entry.get("loc")
    path = ".".join(_json(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    return f"{path or 'request'}: {_json(entry['msg'])}"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _correlation_id(headers: Mapping[str, str], detail: str | None, redactor: Redactor) -> str | None:
    for name in _CORRELATION_HEADERS:
        if name in headers:
            return redactor.show(headers[name], _MAX_CORRELATION_ID)
    found = _UUID.search(detail or "") if detail and "correlation" in detail.lower() else None
    return found.group() if found else None


def _first_problem(error: BaseException) -> str:
    """Say what is wrong with a response without showing the response (a pydantic error prints its input)."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error) or type(error).__name__
    first = problems(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'response'}: {first['msg']}"
