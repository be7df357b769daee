"""Spans of what takes long, through OpenTelemetry; nothing where nobody collects traces."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SPANS = ("llamabatch.submit", "llamabatch.wait", "llamabatch.upload", "llamabatch.save")


@contextlib.contextmanager
def span(name: str, **attributes: Any) -> Iterator[Any]:
    """
    Open one of ``SPANS`` below the one that is current; ``attributes`` that are None are left out.

    Gives an object with ``set_attribute``. Airflow installs the tracer, where ``[traces] otel_on`` says so.
    """
    from opentelemetry import trace  # a dependency of every supported Airflow

    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span(name, attributes=_named(attributes)) as current:
        yield current


def record(name: str, began: float, **attributes: Any) -> None:
    """Record a span of something that is over, begun at ``began`` (epoch seconds): it has held no memory until now."""
    from opentelemetry import trace

    tracer = trace.get_tracer(__name__)
    tracer.start_span(name, start_time=int(began * 1e9), attributes=_named(attributes)).end()


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"llamabatch.{key}": value for key, value in attributes.items() if value is not None}
