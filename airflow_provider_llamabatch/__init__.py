"""Run LlamaCloud batches from Apache Airflow: submit once, wait cheaply, map the results."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, read by Airflow through the ``apache_airflow_provider`` entry point."""
    return {"package-name": "airflow-provider-llamabatch", "name": "LlamaCloud batches", "versions": [__version__]}
