"""
What can go wrong with a call, and the one function that turns an answer into a value or an exception.

    LlamaCloudError
    ├── InvalidInputError           an argument or a setting is unusable; nothing was sent (also a ValueError)
    ├── NoResponseError               no answer arrived; ``reached_server`` says whether one may have been on its way
    ├── InvalidResponseError    an answer arrived that is not what the API documents (broken JSON, HTML)
    └── StatusError               the API answered with an error status
        ├── AuthenticationError     401  the key is missing, wrong, expired or of another region
        ├── PaymentRequiredError    402  credits or quota are used up
        ├── PermissionDeniedError   403  the key may not do this
        ├── NotFoundError           404  no such id, deleted, or expired
        ├── RefusedError            400, 413, 422, other 4xx and redirects: the request itself is at fault
        │   └── ConflictError       409  duplicate or concurrent change
        ├── RateLimitedError        429  too many requests, or a plan limit
        └── UnavailableError        408, 425 and 5xx: the service has trouble

No message carries the API key or a webhook secret: they are redacted in whatever the service says.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_llamabatch.llamacloud.call import Call

T = TypeVar("T")

REDACTED = "***"
LONGEST_DETAIL = 1000
MOST_FIELD_ERRORS = 10

_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_CORRELATION_HEADERS = ("x-correlation-id", "x-request-id")
_SERVER_TROUBLE = 500


class LlamaCloudError(Exception):
    """Any failure of a call to LlamaCloud."""


class InvalidInputError(LlamaCloudError, ValueError):
    """An argument or a connection setting cannot be used; nothing was sent."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument


class NoResponseError(LlamaCloudError):
    """
    No answer arrived.

    ``reached_server`` is False only when the connection was never made, so that nothing can have been processed.
    """

    def __init__(self, message: str, *, reached_server: bool) -> None:
        super().__init__(message)
        self.reached_server = reached_server


class InvalidResponseError(LlamaCloudError):
    """An answer arrived that is not what the API documents."""


class StatusError(LlamaCloudError):
    """The API answered with an error status; the attributes hold what it said."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        detail: str | None = None,
        correlation_id: str | None = None,
        retry_after: float | None = None,
        from_api: bool = False,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.detail = detail
        self.correlation_id = correlation_id
        self.retry_after = retry_after  # seconds
        self.from_api = from_api  # the body has the API's own error shape, so it is no gateway's page


class AuthenticationError(StatusError):
    """401: the key is missing, wrong, expired or belongs to another region."""


class PaymentRequiredError(StatusError):
    """402: credits or quota are used up."""


class PermissionDeniedError(StatusError):
    """403: the key may not do this."""


class NotFoundError(StatusError):
    """404: no such id, deleted, or expired."""


class RefusedError(StatusError):
    """400, 413, 422 and other 4xx: the request itself is at fault; ``detail`` names the fields."""


class ConflictError(RefusedError):
    """409: duplicate or concurrent change."""


class RateLimitedError(StatusError):
    """429: too many requests, or a plan limit that waiting does not cure."""


class UnavailableError(StatusError):
    """408, 425 and 5xx: the service has trouble."""


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


def decipher(
    call: Call[T], status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str]
) -> T:
    """
    Return the value that an HTTP answer carries, or raise the exception that says what it means.

    ``secrets`` (the API key, webhook secrets) are redacted in the exception, wherever the service repeats them; a
    value is left as it is, since a webhook header's value may well be a word like ``1`` that is part of every id.
    """
    redacted = _redactor(secrets)
    if status >= 400:
        raise _status_error(call, status, headers, body, redacted)
    if not 200 <= status < 300:
        where = f" to {_host_of(redacted(headers['location']))}" if "location" in headers else ""
        raise RefusedError(
            f"{call} was answered with a redirect ({status}){where}, which is never followed: "
            "check the connection's host.",
            status_code=status,
        )
    try:
        return call.parse(body)
    except ValueError as error:  # pydantic's ValidationError is one
        problem = redacted(_first_line(error))[:200]
    # Raised out here, since the other exception holds the answer.
    raise InvalidResponseError(
        f"{call} was answered with {status}, but not with what the API documents: {problem}"
    )


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """
    Return how long the server asks to wait, in seconds from ``now`` (epoch), or None if it does not say.

    Reads ``retry-after-ms`` and the seconds and HTTP-date forms of ``Retry-After``
    (RFC 9110, 10.2.3). LlamaCloud is documented not to send any of them; gateways in front of it do.
    """
    from email.utils import parsedate_to_datetime

    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
            return float(text) * scale
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what blots the secrets out of a text, as they are and as JSON writes them, and makes it fit for a log."""
    forms = {
        form
        for secret in secrets
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    }
    longest_first = sorted(forms, key=len, reverse=True)

    def redacted(text: str) -> str:
        for form in longest_first:
            text = text.replace(form, REDACTED)
        return text.encode("utf-8", "replace").decode()

    return redacted


def _status_error(
    call: Call[Any], status: int, headers: Mapping[str, str], body: bytes, redacted: Callable[[str], str]
) -> StatusError:
    import time

    detail, from_api = _detail_of(body, redacted)
    kind, advice = _BY_STATUS.get(
        status, (UnavailableError, "") if status >= _SERVER_TROUBLE else (RefusedError, "")
    )
    correlation_id = _correlation_id(headers, detail, redacted)
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
        retry_after=retry_after_seconds(headers, time.time()),
        from_api=from_api,
    )


def _detail_of(body: bytes, redacted: Callable[[str], str]) -> tuple[str | None, bool]:
    """Return what an error body says, shortened, and whether it has the API's own shape ``{"detail": ...}``."""
    try:
        detail = json.loads(body)["detail"]
        if isinstance(detail, list):
            text = "; ".join(_field_error(entry) for entry in detail[:MOST_FIELD_ERRORS])
        else:
            text = _json(detail)
    except (ValueError, KeyError, TypeError, RecursionError):
        text = re.sub(r"<[^>]*>|\s+", " ", redacted(body.decode("utf-8", "replace"))[: 4 * LONGEST_DETAIL])
        return _shortened(" ".join(text.split())) or None, False
    return _shortened(redacted(text)), True


def _field_error(entry: Any) -> str:
    """Return one entry of a 422 answer as ``field: problem``; its ``input`` is left out, it may be a secret."""
    if not isinstance(entry, dict):
        return _json(entry)
    loc = entry.get("loc")
    path = ".".join(_json(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    return f"{path or 'request'}: {_json(entry.get('msg', 'refused'))}"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _correlation_id(
    headers: Mapping[str, str], detail: str | None, redacted: Callable[[str], str]
) -> str | None:
    for name in _CORRELATION_HEADERS:
        if name in headers:
            return redacted(headers[name])[:64]
    found = _UUID.search(detail or "") if detail and "correlation" in detail.lower() else None
    return found.group() if found else None


def _host_of(location: str) -> str:
    return re.sub(r"^(https?://[^/?#]*).*", r"\1", location)[:200]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_DETAIL else text[:LONGEST_DETAIL] + " [...]"


def _first_line(error: ValueError) -> str:
    """Say what is wrong with an answer without showing the answer (a pydantic error prints its input)."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)
    first = problems(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'answer'}: {first['msg']}"
