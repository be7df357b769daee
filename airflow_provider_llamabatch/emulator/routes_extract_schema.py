"""``/api/v2/extract/schema``: validate a data schema, generate one from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from airflow_provider_llamabatch.emulator.answers import Answer
from airflow_provider_llamabatch.emulator.extraction import schema_of

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World


class SchemaValidate(BaseModel):
    """Body of a validation."""

    data_schema: dict[str, Any]


class SchemaGenerate(BaseModel):
    """Body of a generation. No model runs here, so ``prompt`` adds nothing."""

    data_schema: dict[str, Any] | None = None
    file_id: str | None = None
    name: str | None = None
    prompt: str | None = None


def validate_schema(world: World, ask: Ask) -> Answer:
    """Return the schema when it can be used: an object with properties."""
    schema = ask.body(SchemaValidate).data_schema
    usable = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
    world.refuse_when(not usable, 400, "data_schema must be an object with properties")
    return Answer({"data_schema": schema})


def generate_schema(world: World, ask: Ask) -> Answer:
    """Return a configuration to save: the given schema, grown by the ``Name: value`` lines of the file."""
    asked = ask.body(SchemaGenerate)
    nothing = not (asked.prompt or asked.file_id or asked.data_schema)
    world.refuse_when(nothing, 400, "At least one of prompt, file_id and data_schema is required")
    given = asked.data_schema or {}
    found = schema_of(world.input_blob(asked.file_id).document.text) if asked.file_id else {}
    schema = {"type": "object", **given, "properties": {**found, **given.get("properties", {})}}
    parameters = {"product_type": "extract_v2", "data_schema": schema}
    return Answer({"name": asked.name or "generated", "parameters": parameters})


ROUTES = [
    ("POST", "/api/v2/extract/schema/validation", validate_schema),
    ("POST", "/api/v2/extract/schema/generate", generate_schema),
]
