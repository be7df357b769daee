"""The connection form, made from the fields of ``ClientSettings``: for the provider's metadata and for the hook."""

from __future__ import annotations

from typing import Any, get_args

FIELD_BEHAVIOUR: dict[str, Any] = {
    # The port is shown since Airflow 3.3's form sends 0 for an empty one, and refuses to test what has none.
    "hidden_fields": ["schema", "login", "extra"],
    "relabeling": {"password": "API key", "host": "Base URL or region", "port": "Port (443)"},
    "placeholders": {
        "password": "llx-...",
        "host": "na (default), eu, or https://api.cloud.llamaindex.ai",
        "port": "443, needed by the Test button",
    },
}

_JSON_TYPES: dict[Any, str] = {str: "string", float: "number", int: "integer", bool: "boolean"}


def conn_fields() -> dict[str, Any]:
    """Return the extra fields as the provider's ``conn-fields`` (Airflow 3.2+ makes the form from them)."""
    return {
        name: {
            "label": field.title,
            "description": field.description,
            "schema": {"type": [kind, "null"], **({} if default is None else {"default": default})},
        }
        for name, (field, kind, default) in _fields().items()
    }


def widgets() -> dict[str, Any]:
    """Return the extra fields as wtforms widgets; wtforms is imported here, it is there where they are asked for."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import BooleanField, StringField

    return {
        name: BooleanField(field.title, default=default, description=field.description)
        if kind == "boolean"
        else StringField(field.title, widget=BS3TextFieldWidget(), description=field.description)
        for name, (field, kind, default) in _fields().items()
    }


def _fields() -> dict[str, tuple[Any, str, Any]]:
    """Return each extra field with its JSON type and the default that the form shows."""
    from airflow_provider_llamabatch.llamacloud.settings import EXTRA_FIELDS, ClientSettings

    fields = {}
    for name in EXTRA_FIELDS:
        field = ClientSettings.model_fields[name]
        # A field of several types, such as true or a path, is a text that may be left empty.
        types = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
        kind = _JSON_TYPES[types[0]] if len(types) == 1 else "string"
        # A number that the form filled in would win over what the deployment configures.
        shows_default = kind == "boolean"
        fields[name] = (field, kind, field.default if shows_default else None)
    return fields
