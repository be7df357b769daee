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
_PASSWORD = "password"  # noqa: S105  # not one: the format of a text that the form does not show


def conn_fields() -> dict[str, Any]:
    """Return the extra fields as the provider's ``conn-fields`` (Airflow 3.2+ makes the form from them)."""
    return {
        name: {
            "label": field.title,
            "description": field.description,
            "schema": {
                "type": ["string" if kind == _PASSWORD else kind, "null"],
                **({"format": kind} if kind == _PASSWORD else {}),
                **({} if default is None else {"default": default}),
            },
        }
        for name, (field, kind, default) in _fields().items()
    }


def widgets() -> dict[str, Any]:
    """Return the extra fields as wtforms widgets; wtforms is imported here, it is there where they are asked for."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import BooleanField, PasswordField, StringField

    def widget(field: Any, kind: str, default: Any) -> Any:
        if kind == "boolean":
            return BooleanField(field.title, default=default, description=field.description)
        if kind == _PASSWORD:
            return PasswordField(field.title, widget=BS3PasswordFieldWidget(), description=field.description)
        return StringField(field.title, widget=BS3TextFieldWidget(), description=field.description)

    return {name: widget(*read) for name, read in _fields().items()}


def _fields() -> dict[str, tuple[Any, str, Any]]:
    """Return each extra field with its JSON type, or ``password``, and the default that the form shows."""
    from pydantic import SecretStr

    from airflow_provider_llamabatch.llamacloud.settings import EXTRA_FIELDS, ClientSettings

    fields = {}
    for name in EXTRA_FIELDS:
        field = ClientSettings.model_fields[name]
        # A field of several types, such as true or a path, is a text that may be left empty.
        types = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
        kinds = {**_JSON_TYPES, SecretStr: _PASSWORD}
        kind = kinds[types[0]] if len(types) == 1 else "string"
        # A number that the form filled in would win over what the deployment configures.
        shows_default = kind == "boolean"
        fields[name] = (field, kind, field.default if shows_default else None)
    return fields
