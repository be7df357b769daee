"""Run LlamaCloud batches from Apache Airflow: submit once, wait cheaply, map the results."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_NAME = "LlamaCloud"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata; Airflow finds it through the ``apache_airflow_provider`` entry point."""
    from airflow_provider_llamabatch.connection_form import FIELD_BEHAVIOUR, conn_fields

    return {
        "package-name": "airflow-provider-llamabatch",
        "name": "LlamaCloud batches",
        "description": "Run `LlamaCloud <https://developers.llamaindex.ai/llamaparse/>`__ batches.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": "https://developers.llamaindex.ai/llamaparse/batches/getting_started",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.llamabatch")],
        "operators": [_modules("operators.batch", "operators.directory", "operators.results")],
        "sensors": [_modules("sensors.batch", "sensors.jobs")],
        "triggers": [_modules("triggers.assets", "triggers.batch", "triggers.jobs")],
        "asset-uris": [_assets()],
        "dataset-uris": [_assets()],
        "connection-types": [
            {
                "connection-type": "llamabatch",
                "hook-name": _NAME,
                "hook-class-name": "airflow_provider_llamabatch.hooks.llamabatch.LlamaBatchHook",
                "conn-fields": conn_fields(),
                "ui-field-behaviour": {
                    name.replace("_", "-"): value for name, value in FIELD_BEHAVIOUR.items()
                },
            }
        ],
        "extra-links": ["airflow_provider_llamabatch.links.LlamaCloudProjectLink"],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {
        "integration-name": _NAME,
        "python-modules": [f"airflow_provider_llamabatch.{name}" for name in names],
    }


def _assets() -> dict[str, Any]:
    handler = "airflow_provider_llamabatch.assets.checked_uri"
    return {"schemes": ["llamacloud"], "handler": handler}
