"""
What can go wrong with a call.

::

    LlamaCloudError
    ├── InvalidInputError           an argument or a setting is unusable; nothing was sent (also a ValueError)
    ├── NoResponseError             no response arrived; ``reached_server`` says whether one may have been on its way
    ├── InvalidResponseError        a response arrived that is not what the API documents (broken JSON, HTML)
    │   └── ResponseTooLargeError   the same, and asking again would not help: it is longer than its call allows
    └── StatusError                 the response has an error status; ``from_api`` says whether the API itself says so
        ├── AuthenticationError     401  the key is missing, wrong, expired or of another region
        ├── PaymentRequiredError    402  credits or quota are used up
        ├── PermissionDeniedError   403  the key may not do this
        ├── NotFoundError           404  no such id, deleted, or expired
        ├── RefusedError            400, 413, 422, other 4xx and redirects: the request itself is at fault
        │   └── ConflictError       409  duplicate or concurrent change
        ├── RateLimitedError        429  too many requests, or a plan limit
        └── UnavailableError        408, 425 and 5xx: the service has trouble

No message carries the API key or a webhook secret: they are redacted in whatever the service says. ``retries.py`` says
what each of them means for the next attempt.
"""

from __future__ import annotations


class LlamaCloudError(Exception):
    """Any failure of a call to LlamaCloud."""


class InvalidInputError(LlamaCloudError, ValueError):
    """An argument or a connection setting cannot be used; nothing was sent."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument
        self.problem = problem


class NoResponseError(LlamaCloudError):
    """
    No response arrived.

    ``reached_server`` is False only when the connection was never made, so that nothing can have been processed.
    """

    def __init__(self, message: str, *, reached_server: bool) -> None:
        super().__init__(message)
        self.reached_server = reached_server


class InvalidResponseError(LlamaCloudError):
    """A response arrived that is not what the API documents."""


class ResponseTooLargeError(InvalidResponseError):
    """A response is longer than its call allows; asking again would give the same."""


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
