"""Extract results validate against their schema, whatever it asks for; values come from the document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_llamabatch.emulator.documents.extraction import extract
from airflow_provider_llamabatch.emulator.documents.fitting import NoFitError
from airflow_provider_llamabatch.emulator.documents.items import items
from airflow_provider_llamabatch.emulator.documents.schemas import FORMATS
from airflow_provider_llamabatch.emulator.documents.values import values

TEXT = """# Invoice 7

Vendor: Acme GmbH
- **Currency**: EUR

| Item | Amount | Paid |
| --- | --- | --- |
| Bolts | 1,200.50 | yes |
| Nuts | 3 | no |

## Approved by

Jane Roe

## Tags

- urgent
- export

| Field | Value |
| --- | --- |
| Due date | 2026-12-01 |
"""

LINES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "item": {"type": "string"},
            "amount": {"type": "number"},
            "paid": {"type": "boolean"},
        },
        "required": ["item", "amount"],
    },
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"vendor": {"type": "string"}}, {"vendor": "Acme GmbH"}),
        ({"currency": {"enum": ["USD", "EUR"]}}, {"currency": "EUR"}),
        ({"currency": {"const": "eur"}}, {"currency": "eur"}),
        ({"due_date": {"type": "string", "format": "date"}}, {"due_date": "2026-12-01"}),
        ({"approved_by": {"type": "string"}}, {"approved_by": "Jane Roe"}),
        ({"tags": {"type": "array", "items": {"type": "string"}}}, {"tags": ["urgent", "export"]}),
        (
            {"lines": LINES},
            {
                "lines": [
                    {"item": "Bolts", "amount": 1200.5, "paid": True},
                    {"item": "Nuts", "amount": 3.0, "paid": False},
                ]
            },
        ),
        ({"lines": {"$ref": "#/$defs/lines"}}, {"lines": [{"item": "Bolts"}, {"item": "Nuts"}]}),
        (
            {"seller": {"allOf": [{"$ref": "#/$defs/party"}, {"type": "object"}]}},
            {"seller": {"vendor": "Acme GmbH"}},
        ),
        ({"missing": {"type": "string"}}, {}),
        ({"missing": {"type": ["string", "null"]}}, {"missing": None}),
    ],
)
def test_values_are_taken_from_the_document(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    line = {"type": "object", "properties": {"item": {"type": "string"}}, "additionalProperties": False}
    party = {"type": "object", "properties": {"vendor": {"type": "string"}}}
    defs = {"lines": {"type": "array", "items": line}, "party": party}
    whole = {"type": "object", "properties": schema, "$defs": defs}
    assert extract(whole, values(TEXT)) == expected


def test_values_are_taken_from_rows_that_are_text_alone_as_in_a_pdf() -> None:
    text = (
        "Invoice number 87B37C9\nDate paid July 19, 2024\nTotal $10.00\nTotal $12.00\nNotes none\n2024 Tax 7"
    )
    names = ("invoice_number", "date_paid", "date", "notes", "tax")
    schema = {"properties": {name: {"type": "string"} for name in names} | {"total": {"type": "number"}}}

    extracted = extract(schema, values(text))
    assert extracted == {"invoice_number": "87B37C9", "date_paid": "July 19, 2024", "total": 10.0}


WRITTEN = """Shipped: 12 January 2024
Due: March 5, 2024
Paid: 05.03.2024
Soon: next week
Opens: 10:30
Begins: 2024-03-05 10:30
Site: https://example.com/x
Shop: see brochure
Desk: call us
"""


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("shipped", "date", {"shipped": "2024-01-12"}),
        ("due", "date", {"due": "2024-03-05"}),
        ("paid", "date", {"paid": "2024-03-05"}),
        ("soon", "date", {}),
        ("opens", "time", {"opens": "10:30:00Z"}),
        ("begins", "date-time", {"begins": "2024-03-05T10:30:00Z"}),
        ("site", "uri", {"site": "https://example.com/x"}),
        ("shop", "uri", {}),
        ("desk", "email", {}),
    ],
)
def test_a_value_is_taken_where_it_has_the_format_or_can_be_written_so(
    name: str, form: str, expected: dict[str, Any]
) -> None:
    part = {"type": "string", "format": form}
    assert extract({"type": "object", "properties": {name: part}}, values(WRITTEN)) == expected


@pytest.mark.parametrize("form", sorted(FORMATS.checkers))
def test_what_is_required_and_not_offered_has_its_format(form: str) -> None:
    part = {"type": "string", "format": form}
    made = extract({"type": "object", "properties": {"x": part}, "required": ["x"]}, values(TEXT))
    assert FORMATS.conforms(made["x"], form)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Notes:\nTotal: 5", {"total": "5"}),
        ("Notes:\n\nTotal: 5", {"total": "5"}),
        ("Notes:\nTotal:\n\n5", {"total": "5"}),
        ("Notes:\n\nnone so far\nTotal: 5", {"notes": "none so far", "total": "5"}),
        ("Total:\n10:30", {"total": "10:30"}),
        ("Notes:\nhttps://example.com/x", {"notes": "https://example.com/x"}),
        ("Notes:\n\n", {}),
    ],
)
def test_a_name_without_a_value_takes_the_line_below_unless_that_has_its_own_name(
    text: str, expected: dict[str, str]
) -> None:
    properties = {name: {"type": "string"} for name in ("notes", "total")}
    assert extract({"type": "object", "properties": properties}, values(text)) == expected


BOLTS = "| Item | Qty |\n| --- | --- |\n| Bolt | 2 |\n"
NUTS = "| Item | Qty |\n| --- | --- |\n| Nut | 3 |\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|  |  |\n| --- | --- |\n| Item | Qty |\n| Bolt | 2 |", [("Bolt", 2)]),
        ("| Item | Qty |\n| --- | --- |\n| Bolt\\|Nut | 2 |", [("Bolt|Nut", 2)]),
        ("| Qty | Item |\n| --- | --- |\n| 2 | Bolt\\||", [("Bolt|", 2)]),
        ("| Qty | Item |\n| --- | --- |\n| 2 |", [("", 2)]),
        (f"{BOLTS}\nPage 1\n\n{NUTS}", [("Bolt", 2), ("Nut", 3)]),
        (f"{BOLTS}\n# Returned\n\n{NUTS}", [("Bolt", 2)]),
        (f"{BOLTS}\n| Item | Sum |\n| --- | --- |\n| Nut | 3 |", [("Bolt", 2)]),
    ],
)
def test_the_rows_of_a_table_are_taken_as_documents_have_them(
    text: str, expected: list[tuple[str, int]]
) -> None:
    properties = {"item": {"type": "string"}, "qty": {"type": "integer"}}
    lines = {"type": "array", "items": {"type": "object", "properties": properties}}
    extracted = extract({"type": "object", "properties": {"lines": lines}}, values(text))
    assert [(row["item"], row["qty"]) for row in extracted["lines"]] == expected


LONG = "a" * 40 + "!"
NAMED = {"type": "object", "properties": {LONG: {"type": "string"}}, "required": [LONG]}


def fanned_out(keyword: str) -> dict[str, Any]:
    """Each step is taken twice in each that comes before it."""
    steps = {str(one): {"allOf": [{keyword: f"#/$defs/{one + 1}"}] * 2} for one in range(40)}
    return {"anyOf": [{keyword: "#/$defs/0"}], "$defs": {**steps, "40": {"type": "string"}}}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "part",
    [
        {"type": "string", "pattern": "^(a|aa)+$"},
        {"type": "string", "pattern": "(x+x+)+y", "maxLength": 2},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "pattern": "^(a|aa)+$"},
        {"type": "array", "minItems": 10**9, "items": {"type": "string", "minLength": 10**9}},
        {"type": "array", "minItems": 1000, "uniqueItems": True, "items": {"type": "object"}},
    ],
)
def test_a_part_that_asks_for_endless_work_ends(part: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"total": part}, "required": ["total"]}
    with pytest.raises(NoFitError):
        extract(schema, values(f"Total: {LONG}\n\nOther: {'x' * 60}"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_references_that_fan_out_end(keyword: str) -> None:
    wide = fanned_out(keyword)
    schema = {"type": "object", "properties": {"total": {"anyOf": wide["anyOf"]}}, "required": ["total"]}
    with pytest.raises(NoFitError, match=r"takes too long|more than there is"):
        extract({**schema, "$defs": wide["$defs"]}, values("Total: 1"))


@pytest.mark.timeout(60)
def test_names_are_held_against_patterns_that_backtrack_in_bounded_time() -> None:
    schema = {**NAMED, "patternProperties": {"^(a+)+$": {}}, "additionalProperties": {"type": "integer"}}
    assert extract(schema, values("A: 1")) == {LONG: ""}


def test_patterns_hold_for_names_and_what_has_none_is_additional() -> None:
    schema = {
        "type": "object",
        "properties": {"one": {"type": "string"}},
        "required": ["one", "x_two"],
        "patternProperties": {"^x_": {"enum": ["", "b"]}},
        "additionalProperties": False,
    }
    assert extract(schema, values("One: a")) == {"one": "a", "x_two": ""}
    with pytest.raises(NoFitError):
        extract({**schema, "patternProperties": {}}, values("One: a"))


def test_a_value_is_taken_where_the_pattern_finds_it() -> None:
    part = {"type": "string", "pattern": r"(?i)^(?!draft)acme"}
    assert extract({"type": "object", "properties": {"vendor": part}}, values(TEXT)) == {
        "vendor": "Acme GmbH"
    }


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {"type": "object", "properties": {"vendor": {"type": "string"}, "next": {"$ref": "#"}}}
    assert Draft202012Validator(node).is_valid(extract(node, values(TEXT)))


SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "number", "maximum": 9},
        {"type": ["integer", "null"]},
        {"enum": ["EUR", 1, None]},
        {"type": "string", "format": "date"},
        {},
    ]
)
NAMES = st.sampled_from(["vendor", "currency", "item", "amount", "tags", "due date", "other"])


def grown(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, parts, max_size=4)
    objects = st.builds(
        lambda found, required: {"type": "object", "properties": found, "required": [*found][:required]},
        properties,
        st.integers(0, 4),
    )
    arrays = st.builds(
        lambda item, least: {"type": "array", "items": item, "minItems": least}, parts, st.integers(0, 2)
    )
    return objects | arrays | st.builds(lambda one, two: {"anyOf": [one, two]}, parts, parts)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.recursive(SCALARS, grown, max_leaves=8), max_size=5))
def test_every_result_validates_or_is_an_error(properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties, "required": [*properties][:2]}
    try:
        result = extract(schema, values(TEXT))
    except NoFitError:
        return
    Draft202012Validator(schema, format_checker=FORMATS).validate(result)


def test_the_items_of_a_page_are_headings_tables_lists_and_text() -> None:
    found = items("# Title\nIntro\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | x,y |\n\nEnd")
    assert [one["type"] for one in found] == ["heading", "text", "list", "table", "text"]
    assert (found[0]["level"], found[0]["value"]) == (1, "Title")
    assert found[2]["ordered"] is True
    assert [one["value"] for one in found[2]["items"]] == ["one", "two"]
    assert found[3]["rows"] == [["a", "b"], ["1", "x,y"]]
    assert found[3]["csv"] == 'a,b\n1,"x,y"\n'
    assert "<td>x,y</td>" in found[3]["html"]
