"""The connection form: one description for the provider's metadata (Airflow 3.2+) and the hook (below)."""

from __future__ import annotations

from typing import Any

_EXTRA_FIELDS: dict[str, tuple[str, str, Any, str]] = {
    # name: label, JSON type, default, help
    "project_id": ("Project id", "string", None, "empty: the project of the API key"),
    "organization_id": ("Organization id", "string", None, "empty: the organization of the API key"),
    "timeout_seconds": ("Timeout (seconds)", "number", 60, "how long one request may take"),
    "max_attempts": ("Attempts", "integer", 6, "how often one request is tried in all"),
    "verify": ("Verify TLS", "string", None, "empty or true, false, or the path of a CA bundle"),
    "allow_http": (
        "Allow plain http",
        "boolean",
        False,
        "sends the API key unencrypted to a host that is not this one",
    ),
}

FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden_fields": ["schema", "login", "port", "extra"],
    "relabeling": {"password": "API key", "host": "Base URL or region"},
    "placeholders": {
        "password": "llx-...",
        "host": "na (default), eu, or https://api.cloud.llamaindex.ai",
    },
}


def conn_fields() -> dict[str, Any]:
    """Return the extra fields as the provider's ``conn-fields``."""
    return {
        name: {
            "label": label,
            "description": text,
            "schema": {"type": [kind, "null"], **({} if default is None else {"default": default})},
        }
        for name, (label, kind, default, text) in _EXTRA_FIELDS.items()
    }


def widgets() -> dict[str, Any]:
    """Return the extra fields as wtforms widgets; wtforms is imported here, it is there where they are asked for."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import BooleanField, StringField

    return {
        name: BooleanField(label, default=default, description=text)
        if kind == "boolean"
        else StringField(label, widget=BS3TextFieldWidget(), description=text)
        for name, (label, kind, default, text) in _EXTRA_FIELDS.items()
    }
