"""Words, numbers and times as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING = "\N{EN DASH}"  # where there is nothing to show
MINUTE, HOUR, DAY = 60, 3600, 86400

# Statuses that have a colour of their own; whatever else the service says is shown as it is, in the plain colour.
_KINDS = {
    "COMPLETED": "good",
    "FAILED": "bad",
    "CANCELLED": "off",
    "RUNNING": "busy",
    "PENDING": "wait",
    "THROTTLED": "wait",
    "NO JOB": "bad",
}
_ACTIONS = {
    "submit": "submitted",
    "rejoin": "rejoined",
    "adopt": "adopted",
    "return": "returned",
}


def kind_of(status: str) -> str:
    """Return which colour a status has: good, bad, busy, wait, off or plain."""
    return _KINDS.get(status, "plain")


def decision_in_words(action: str) -> str:
    """Return what a task did to come to its batch, in one word."""
    return _ACTIONS.get(action, action)


def duration(seconds: float) -> str:
    """Return a length of time in its one or two largest units."""
    left = max(0, int(seconds))
    if left < MINUTE:
        return f"{left} s"
    if left < HOUR:
        return f"{left // MINUTE} min"
    if left < DAY:
        return f"{left // HOUR} h {left % HOUR // MINUTE} min"
    days, hours = left // DAY, left % DAY // HOUR
    return f"{days} d {hours} h" if days < 10 else f"{days} d"


def number(value: float | None) -> str:
    """Return a number with thousands separated, at most one decimal; a dash for None."""
    if value is None:
        return NOTHING
    return f"{value:,.1f}".removesuffix(".0")


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return ``1 file`` or ``2 files``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def problem_in_words(error: errors.LlamaCloudError) -> str:
    """Return what is wrong and what to do about it, in one or two sentences without anything secret."""
    for kinds, words in _PROBLEMS:
        if isinstance(error, kinds):
            return words
    said = str(error).removeprefix(
        "connection: "
    )  # unusable input: it names what is wrong with the connection
    return f"{said[:1].upper()}{said[1:]}."


_PROBLEMS: Iterable[tuple[type[Exception], str]] = (
    (
        errors.AuthenticationError,
        "LlamaCloud refuses the API key of this connection. It is wrong, expired, or of another region: "
        "put a valid one into the connection's password.",
    ),
    (errors.PaymentRequiredError, "LlamaCloud says that the project's credits are used up."),
    (errors.PermissionDeniedError, "LlamaCloud does not let the API key of this connection do this."),
    (errors.NotFoundError, "LlamaCloud does not know it: the id is wrong, or it was deleted."),
    (errors.RateLimitedError, "LlamaCloud asks for fewer requests; the page waits before it asks again."),
    (errors.UnavailableError, "LlamaCloud has trouble of its own; the page asks again by itself."),
    (
        errors.NoResponseError,
        "LlamaCloud does not respond: it cannot be reached, or takes too long. The page asks again by itself.",
    ),
    (errors.ResponseTooLargeError, "The result is too large to be shown here."),
    (errors.InvalidResponseError, "What LlamaCloud answered cannot be read; the page asks again by itself."),
    (errors.RefusedError, "LlamaCloud refuses the request."),
)
