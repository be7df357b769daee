"""Run LlamaCloud batches from Apache Airflow: submit once, wait cheaply, map the results."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
PROJECT_URL = "https://github.com/airflow-provider-llamabatch/airflow-provider-llamabatch"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata; Airflow finds it through the ``apache_airflow_provider`` entry point."""
    from airflow_provider_llamabatch import provider_info

    return provider_info.get_provider_info()
