from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_llamabatch.documents.arrow import schema_from, table_of


def column(of: dict[str, Any], **definitions: Any) -> pa.DataType:
    return schema_from({"properties": {"x": of}, "$defs": definitions}).field("x").type


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({"type": "string"}, pa.string()),
        ({"type": "integer"}, pa.int64()),
        ({"type": ["number", "null"]}, pa.float64()),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, pa.bool_()),
        ({"type": "array", "items": {"type": "integer"}}, pa.list_(pa.int64())),
        ({"type": "object", "properties": {"y": {"type": "string"}}}, pa.struct([("y", pa.string())])),
        ({"type": "object"}, pa.string()),
        ({"type": ["string", "number"]}, pa.string()),
        ({"$ref": "#/$defs/money"}, pa.float64()),
        ({"$ref": "#/$defs/nobody"}, pa.string()),
        ({"$ref": "#/$defs/loop"}, pa.string()),
        ({}, pa.string()),
    ],
)
def test_each_property_has_the_type_that_its_schema_says(of: dict[str, Any], expected: pa.DataType):
    assert column(of, money={"type": "number"}, loop={"$ref": "#/$defs/loop"}) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", 3.0, 3),
        ("integer", 3.5, None),
        ("integer", "3", None),
        ("integer", True, None),
        ("integer", 2**70, None),
        ("number", 3, 3.0),
        ("boolean", "yes", None),
        ("string", {"a": 1}, '{"a": 1}'),
        ("string", None, None),
    ],
)
def test_a_value_that_does_not_fit_is_missing_and_never_a_wrong_one(kind: str, value: Any, expected: Any):
    schema = schema_from({"properties": {"x": {"type": kind}}})
    table = table_of([{"file": "a.txt", "x": value}], schema)
    assert table.to_pylist() == [{"file": "a.txt", "x": expected}]


def test_a_record_without_a_property_has_none_there():
    schema = schema_from({"properties": {"x": {"type": "object", "properties": {"y": {"type": "integer"}}}}})
    assert table_of([{"file": "a"}, {"file": "b", "x": {"y": 1, "z": 2}}], schema).to_pylist() == [
        {"file": "a", "x": None},
        {"file": "b", "x": {"y": 1}},
    ]
