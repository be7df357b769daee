"""What a request of the simulated submission can end with."""

from __future__ import annotations

from airflow_provider_llamabatch.llamacloud import errors as e

NOTHING_DONE: tuple[Exception, ...] = (
    e.NoResponseError("connection refused", reached_server=False),
    e.RateLimitedError("429", status_code=429, retry_after=3.0, from_api=True),
)
REFUSALS: tuple[Exception, ...] = (
    e.PaymentRequiredError("402", status_code=402, from_api=True),
    e.RefusedError("422", status_code=422, from_api=True),
    e.NotFoundError("404 of an ingress", status_code=404),
    e.PermissionDeniedError("403 of an ingress", status_code=403),
)
AMBIGUOUS: tuple[Exception, ...] = (
    e.NoResponseError("read timed out", reached_server=True),
    e.InvalidResponseError("not JSON"),
    e.UnavailableError("502", status_code=502),
    e.RateLimitedError("429 of a gateway", status_code=429),
)
GATEWAYS: tuple[Exception, ...] = (
    e.NotFoundError("404 of an ingress", status_code=404),
    e.AuthenticationError("401 of an ingress", status_code=401),
    e.UnavailableError("503", status_code=503),
)
