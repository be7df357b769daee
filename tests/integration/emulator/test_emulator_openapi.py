"""The emulator's own OpenAPI document beside the vendor's: every difference is listed here, with its reason."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.emulator.app import document

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

# The part of the vendor's document (August 2026) that is emulated, without its texts.
VENDOR: Json = json.loads((Path(__file__).parent / "llamacloud_openapi.json").read_text())

# A pattern over the differences, and the reason for what it matches.
DIFFERENCES = {
    r"without cookie session$": "the browser's cookie is no way in here",
    r"tier is one of": "the SDK, two months newer, knows the tier turbo; a saved configuration's is 'configured'",
    r"version (is one of|minLength)": "any version is taken: the list grows every week",
    r"POST /api/v2/parse: .* body\.(tier|version)\b": "both default to the saved configuration's (SDK)",
    r"POST /api/v2/parse/upload: with body": "the vendor's document leaves the form out",
    r"(watermark_handling|annotate_line_numbers|include_hidden_slides|advanced_citations)": "options of the newer SDK",
    r"splitting_strategy\.(custom_instructions|min_pages_per_split)": "options of the newer SDK",
    r"(job|job_reference)\.type is one of": "the vendor writes the closed list as two constants",
    r"webhook_events\[\] is one of": "the SDK has the events of one more product",
    r"webhook_(url|configurations|output_format)": "inline webhooks are bounded like saved ones",
    r"without answer.*(name (min|max)Length|url minLength)": "what an answer shows was bounded when it came in",
    r"body\.name minLength": "a configuration with an empty name could not be saved",
    r"without answer\.metadata\.pages\[\]": "what only a parser that looks at pages finds out",
    r"without answer\.items\.pages\[\]": "kinds of items and marks that are not made here",
    r"without answer\.(forms|images_content_metadata)": "neither forms nor images are looked for",
    r"GET /api/v2/parse/versions: ": "some of the versions, and what 'latest' means (SDK)",
    r"DELETE /api/v2/extract/.*: with query force": "newer than the document (SDK)",
    r"with body\.expires_at$": "a field of older versions, which a setting refuses",
    r"with query (project_id|organization_id)$": "both are taken everywhere",
}


def resolved(schema: Json, whole: Json) -> Json:
    while "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def shape(schema: Json, whole: Json, path: str = "", depth: int = 0) -> Iterator[str]:
    """Go through what a schema says, a line per fact: names, which are required, closed lists, bounds."""
    schema = resolved(schema, whole)
    if depth > 8:
        return
    for option in schema.get("anyOf", []) + schema.get("oneOf", []) + schema.get("allOf", []):
        yield from shape(option, whole, path, depth + 1)
    if closed := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        yield f"{path} is one of {' '.join(sorted(map(str, closed)))}"
    for bound in ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum"):
        if bound in schema:
            yield f"{path} {bound} {float(schema[bound]):g}"
    for name, part in schema.get("properties", {}).items():
        needed = " (required)" if name in schema.get("required", []) else ""
        yield f"{path}.{name}{needed}"
        yield from shape(part, whole, f"{path}.{name}", depth + 1)
    if "items" in schema:
        yield from shape(schema["items"], whole, f"{path}[]", depth + 1)


def facts(whole: Json) -> dict[str, set[str]]:
    """Return what a document says about each operation."""
    found: dict[str, set[str]] = {}
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            said = found.setdefault(f"{method.upper()} {path}", set())
            for one in operation.get("parameters", []):
                said.add(f"{one['in']} {one['name']}{' (required)' if one.get('required') else ''}")
                said.update(shape(one["schema"], whole, f"{one['in']} {one['name']}"))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                said.update(shape(content["schema"], whole, "body"))
            for status, answer in operation["responses"].items():
                if status.startswith("2"):
                    said.add(f"answers {status}")
                    for content in answer.get("content", {}).values():
                        said.update(shape(content["schema"], whole, "answer"))
            if operation.get("security"):
                said.add("wants a key")
    return found


@cache
def differences() -> list[str]:
    theirs, ours = facts(VENDOR), facts(document())
    lines = []
    for operation, said in theirs.items():
        mine = ours.get(operation, set())
        lines += [f"{operation}: without {fact}" for fact in said - mine]
        lines += [f"{operation}: with {fact}" for fact in mine - said]
    return sorted(lines)


def test_every_operation_of_the_vendor_is_there() -> None:
    assert {*facts(VENDOR)} - {*facts(document())} == set()


def test_the_documents_differ_only_where_a_reason_is_given() -> None:
    assert [line for line in differences() if not any(re.search(one, line) for one in DIFFERENCES)] == []


@pytest.mark.parametrize("pattern", DIFFERENCES)
def test_every_reason_is_about_a_difference(pattern: str) -> None:
    assert any(re.search(pattern, line) for line in differences())


def test_what_is_there_beyond_the_document_is_known_from_the_sdk() -> None:
    extra = {*facts(document())} - {*facts(VENDOR)}
    assert extra == {
        "DELETE /api/v1/beta/files/{file_id}",
        "DELETE /api/v1/beta/webhook-configs/{config_id}",
        "DELETE /api/v2/parse/{job_id}",
        "GET /api/v1/beta/files",
        "GET /api/v1/beta/files/{file_id}",
        "GET /api/v1/beta/files/{file_id}/content",
        "GET /api/v1/beta/webhook-configs",
        "GET /api/v1/beta/webhook-configs/{config_id}",
        "GET /api/v2/webhook-configs",
        "POST /api/v1/beta/files",
        "POST /api/v1/beta/webhook-configs",
        "PUT /api/v1/beta/webhook-configs/{config_id}",
    }
