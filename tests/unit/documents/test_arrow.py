from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_llamabatch.documents.arrow import schema_from, table_of
from airflow_provider_llamabatch.documents.results import records_in


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
        ({"type": ["integer", "number"]}, pa.string()),
        ({"type": ["null"]}, pa.string()),
        ({"type": "array", "items": {"$ref": "#/$defs/money"}}, pa.list_(pa.float64())),
        (
            {"type": "object", "properties": {"y": {"$ref": "#/$defs/money"}}},
            pa.struct([("y", pa.float64())]),
        ),
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
        ("integer", 2**63, None),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", -(2**63), -(2**63)),
        pytest.param("integer", 2**1024 - 1, None, id="a huge integer"),
        ("integer", float("inf"), None),
        pytest.param("number", 2**1024 - 1, None, id="beyond every float"),
        ("boolean", True, True),
        ("number", 3, 3.0),
        ("boolean", "yes", None),
        ("string", {"a": "ü"}, '{"a": "ü"}'),
        ("string", None, None),
        ("integer", -(2**63) - 1, None),
    ],
)
def test_a_value_that_does_not_fit_is_missing_and_never_a_wrong_one(kind: str, value: Any, expected: Any):
    schema = schema_from({"properties": {"x": {"type": kind}}})
    table = table_of([{"file": "a.txt", "x": value}], schema)
    assert table.schema == schema
    assert table.to_pylist() == [{"file": "a.txt", "x": expected}]


def test_definitions_may_have_their_older_name():
    schema = {"properties": {"x": {"$ref": "#/definitions/y"}}, "definitions": {"y": {"type": "integer"}}}
    assert schema_from(schema).field("x").type == pa.int64()


def test_a_property_called_file_has_a_column_beside_the_documents_own():
    schema = schema_from({"properties": {"file": {"type": "integer"}, "x": {"type": "integer"}}})
    assert schema == pa.schema([("file", pa.string()), ("record_file", pa.int64()), ("x", pa.int64())])


def test_a_list_has_its_values_and_nothing_else_is_one():
    schema = schema_from({"properties": {"x": {"type": "array", "items": {"type": "integer"}}}})
    records = [{"file": "a", "x": value} for value in ([1, "two", 3], "no list", None, [])]
    assert table_of(records, schema).column("x").to_pylist() == [[1, None, 3], None, None, []]


def depth_of(kind: pa.DataType) -> int:
    if pa.types.is_list(kind):
        return 1 + depth_of(kind.value_type)
    return 1 + depth_of(kind.field(0).type) if pa.types.is_struct(kind) else 0


@pytest.mark.parametrize(
    "tree",
    [
        {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        {"type": "object", "properties": {"y": {"$ref": "#/$defs/tree"}}},
    ],
)
def test_a_schema_that_holds_itself_is_followed_sixteen_levels_down(tree: dict[str, Any]):
    assert depth_of(column({"$ref": "#/$defs/tree"}, tree=tree)) == 16


@pytest.mark.parametrize(("links", "expected"), [(15, pa.int64()), (16, pa.string())])
def test_a_chain_of_references_is_followed_fifteen_links(links: int, expected: pa.DataType):
    chain: dict[str, Any] = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(1, links)}
    chain[f"d{links}"] = {"type": "integer"}
    assert column({"$ref": "#/$defs/d1"}, **chain) == expected


def test_a_record_without_a_property_has_none_there():
    schema = schema_from({"properties": {"x": {"type": "object", "properties": {"y": {"type": "integer"}}}}})
    assert table_of([{"file": "a"}, {"file": "b", "x": {"y": 1, "z": 2}}], schema).to_pylist() == [
        {"file": "a", "x": None},
        {"file": "b", "x": {"y": 1}},
    ]


def test_a_field_that_is_called_file_is_in_the_same_column_of_every_record():
    fields = {"file": {"type": "string"}, "record_file": {"type": "string"}}
    content = b'[{"file": "one", "record_file": "other"}, {"file": "two"}]'
    table = table_of(records_in(content, "x.pdf", fields), schema_from({"properties": fields}))
    assert table.to_pydict() == {
        "file": ["x.pdf", "x.pdf"], "record_file_": ["one", "two"], "record_file": ["other", None]
    }  # fmt: skip
