"""What is required and not in the document is made to fit its schema, by the plainest change for each rule."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llamabatch.emulator.documents.extraction import extract
from airflow_provider_llamabatch.emulator.documents.fitting import NoFitError
from airflow_provider_llamabatch.emulator.documents.values import values

TEXT = "Vendor: Acme GmbH\n\n## Tags\n\n- urgent\n- export\n"


@pytest.mark.parametrize(
    ("part", "plain"),
    [
        ({"type": "string"}, ""),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "number", "exclusiveMinimum": 2}, 3),
        ({"type": "boolean"}, False),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [0, 0]),
        ({"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}, {"x": 0}),
        ({"type": ["integer", "null"]}, None),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "boolean"}]}, 1),
    ],
)
def test_what_is_required_and_not_offered_is_the_plainest_value_allowed(
    part: dict[str, Any], plain: Any
) -> None:
    schema = {"type": "object", "properties": {"missing": part}, "required": ["missing"]}
    assert extract(schema, values(TEXT)) == {"missing": plain}


NEEDED: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"}, "AAA-0000"),
    ({"type": "string", "pattern": r"^(?=.*\d)(?=.*[a-z]).{4,}$"}, "Aa0A"),
    ({"type": "string", "pattern": "^[0-9]+$", "minLength": 3, "maxLength": 3}, "000"),
    ({"type": "string", "pattern": "foo$"}, "foo"),
    ({"type": "string", "pattern": "^(a+)+$"}, "a"),
    ({"type": "string", "not": {"const": ""}}, "1"),
    ({"not": {"type": ["string", "null"]}}, False),
    ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
    ({"type": "integer", "maximum": -7, "multipleOf": 5}, -10),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1}, 0.05),
    ({"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 4}, 3),
    ({"type": "integer", "allOf": [{"minimum": 5}, {"minimum": 8}]}, 8),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 0.5),
    ({"anyOf": [False, {"type": "integer"}]}, 0),
    ({"anyOf": [False]}, None),
    ({"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "string"}}, ["", "1", "2"]),
    ({"type": "array", "minItems": 3, "uniqueItems": True, "items": {"enum": [3, 2, 1]}}, [3, 2, 1]),
    ({"type": "array", "minItems": 2, "prefixItems": [{"type": "string"}], "items": {"const": 1}}, ["", 1]),
    ({"type": "array", "minItems": 1, "maxItems": 1, "contains": {"const": 5}}, [5]),
    ({"type": "array", "contains": {"const": 5}, "minContains": 2, "prefixItems": [{}]}, [5, 5]),
    ({"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1}}, [[None]]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "required": ["a"]}, {"a": 0}),
    ({"type": "object", "patternProperties": {"^a": {"const": 7}}, "required": ["ab"]}, {"ab": 7}),
    ({"type": "object", "minProperties": 1, "properties": {"a": {"type": "string"}}}, {"a": ""}),
    ({"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}, {"property_1": ""}),
    ({"type": "object", "minProperties": 1, "propertyNames": {"const": "property_2"}}, None),
    (
        {
            "type": "object",
            "minProperties": 2,
            "patternProperties": {"^a$": {"const": 7}, "^b_": {"type": "string"}},
            "additionalProperties": False,
        },
        {"a": 7, "b_": ""},
    ),
    (
        {"type": "object", "required": ["a"], "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"a": None, "b": None},
    ),
    ({"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"]}}, {"a": None, "b": None}),
    ({"$ref": "#/$defs/count", "minimum": 7}, 7),
    ({"$ref": "#count"}, 0),
    ({"$ref": "https://example.com/schema#/$defs/count"}, 0),
    ({"$ref": "#/$defs/of%20two"}, 0),
    ({"$ref": "#/$defs/of two/anyOf/1"}, ""),
]


@pytest.mark.parametrize(("part", "plain"), NEEDED)
def test_a_value_that_is_needed_is_made_to_fit_every_rule_of_its_schema(
    part: dict[str, Any], plain: Any
) -> None:
    count = {"type": "integer", "$anchor": "count"}
    schema = {
        "$id": "https://example.com/schema",
        "type": "object",
        "properties": {"missing": part},
        "required": ["missing"],
        "$defs": {"count": count, "of two": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
    }
    if plain is None:
        with pytest.raises(NoFitError):
            extract(schema, values(TEXT))
    else:
        assert extract(schema, values(TEXT)) == {"missing": plain}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"required": ["vendor"]}, {"required": ["missing"]}]}, {"vendor": "Acme GmbH"}),
        ({"oneOf": [{"required": ["missing"]}, {"required": ["vendor"]}]}, {"vendor": "Acme GmbH"}),
        ({"propertyNames": {"maxLength": 3}}, {}),
        ({"maxProperties": 0}, {}),
        ({"required": ["again"], "maxProperties": 1}, {"again": "a, b, a"}),
        ({"properties": {"tags": {"type": "array", "maxItems": 1}}}, {"tags": ["urgent"]}),
        (
            {"properties": {"again": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}},
            {"again": ["a", "b"]},
        ),
    ],
)
def test_what_the_document_offers_is_changed_only_where_a_rule_wants_it(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    properties = {"vendor": {"type": "string"}}
    assert extract({"properties": properties, **schema}, values(f"Again: a, b, a\n\n{TEXT}")) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"x": {"type": "string", "pattern": "^[A-Z]{7}$", "maxLength": 6}},
            "required": ["x"],
        },
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"x": {"type": "string", "pattern": "("}}, "required": ["x"]},
        {"type": "object", "properties": {"x": False}, "required": ["x"]},
        {"not": {}},
    ],
)
def test_a_schema_that_nothing_fits_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(NoFitError):
        extract(schema, values(TEXT))
