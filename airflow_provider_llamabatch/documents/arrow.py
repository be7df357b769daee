"""From the JSON schema of an extraction to the columns of a Parquet file. Needs pyarrow."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from airflow_provider_llamabatch.documents.results import name_beside_file

_SCALARS = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


def schema_from(schema: dict[str, Any]) -> pa.Schema:
    """
    Return a column per property, and ``file``, the document's path, first.

    What has no single type in the schema (a union, an object without properties) is JSON text.
    """
    definitions = schema.get("$defs") or schema.get("definitions") or {}
    properties = schema.get("properties") or {}
    columns = [
        (name_beside_file(name, properties), _type(of, definitions, 0)) for name, of in properties.items()
    ]
    return pa.schema([("file", pa.string()), *columns])


def table_of(records: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return records as rows; a value that does not fit its column's type is None, never a wrong value."""
    rows = [
        {column.name: _fitted(record.get(column.name), column.type) for column in schema}
        for record in records
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _type(schema: Any, definitions: dict[str, Any], depth: int) -> pa.DataType:
    schema = _resolved(schema, definitions)
    kind = schema.get("type")
    if isinstance(kind, list):
        others = [word for word in kind if word != "null"]
        kind = others[0] if len(others) == 1 else None
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "array" and depth < 16:
        return pa.list_(_type(schema.get("items") or {}, definitions, depth + 1))
    if kind == "object" and schema.get("properties") and depth < 16:
        fields = schema["properties"].items()
        return pa.struct([(name, _type(of, definitions, depth + 1)) for name, of in fields])
    return pa.string()


def _resolved(schema: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, and look through "this or null"."""
    for _ in range(16):
        if not isinstance(schema, dict):
            return {}
        options = [one for one in schema.get("anyOf") or () if one != {"type": "null"}]
        if len(options) == 1:
            schema = options[0]
        elif "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rpartition("/")[2])
        else:
            return schema
    return {}


def _fitted(value: Any, to: pa.DataType) -> Any:
    """Return a value as its column takes it, None where it does not fit."""
    if pa.types.is_struct(to):
        return {f.name: _fitted(value.get(f.name), f.type) for f in to} if isinstance(value, dict) else None
    if pa.types.is_list(to):
        return [_fitted(one, to.value_type) for one in value] if isinstance(value, list) else None
    if pa.types.is_string(to):
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if pa.types.is_boolean(to):
        return value if isinstance(value, bool) else None
    return _fitted_number(value, to)


def _fitted_number(value: Any, to: pa.DataType) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if pa.types.is_floating(to):
        try:
            return float(value)
        except OverflowError:  # an integer beyond every float
            return None
    is_whole = isinstance(value, int) or value.is_integer()
    return int(value) if is_whole and -(2**63) <= value < 2**63 else None
