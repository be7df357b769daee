"""What the Grafana dashboard asks Prometheus for, and what the metrics are called there."""

from __future__ import annotations

import json
import re
from pathlib import Path

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana.json"

_NAME = re.compile(r"\bairflow_\w+")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_SELECTED = re.compile(r"(\w+)=\"")


def queries() -> list[str]:
    """Return every expression of the dashboard."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def asked_for(query: str) -> tuple[set[str], set[str]]:
    """Return the metrics of a query and the labels it groups or selects by; ``quantile`` is statsd_exporter's own."""
    grouped = {label.strip() for labels in _GROUPED.findall(query) for label in labels.split(",")}
    return set(_NAME.findall(query)), (grouped | set(_SELECTED.findall(query))) - {"quantile"}


def in_prometheus(name: str) -> str:
    """Return what statsd_exporter makes of a metric's name."""
    return "airflow_" + name.replace(".", "_")
