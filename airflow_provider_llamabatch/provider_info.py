"""
The provider's metadata, in the shape of Airflow's ``provider_info.schema.json``.

Read at every start of Airflow, so nothing here imports what sends or what runs tasks. What an older Airflow does not
know (``cli``, ``asset-uris``) it leaves alone.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_llamabatch import __version__

_NAME = "LlamaCloud"
_PACKAGE = "airflow_provider_llamabatch"


def get_provider_info() -> dict[str, Any]:
    """Return the metadata."""
    from airflow_provider_llamabatch.configuration import SECTION, described
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
                "hook-class-name": f"{_PACKAGE}.hooks.llamabatch.LlamaBatchHook",
                "conn-fields": conn_fields(),
                "ui-field-behaviour": {
                    name.replace("_", "-"): value for name, value in FIELD_BEHAVIOUR.items()
                },
            }
        ],
        "extra-links": [f"{_PACKAGE}.links.LlamaCloudProjectLink"],
        "config": {SECTION: described()},
        "cli": [f"{_PACKAGE}.cli.definition.get_cli_commands"],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _NAME, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}


def _assets() -> dict[str, Any]:
    return {
        "schemes": ["llamacloud"],
        "handler": f"{_PACKAGE}.assets.checked_uri",
        "to_openlineage_converter": f"{_PACKAGE}.lineage.to_openlineage",
    }
