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

    known = {f"llamabatch.{key}": value for key, value in attributes.items() if value is not None}
    with trace.get_tracer(__name__).start_as_current_span(name, attributes=known) as current:
        yield current
