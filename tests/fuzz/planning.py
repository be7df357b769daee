"""Which requests are sent: what the document allows and what it forbids, with ids of things that exist."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.fuzz.controlling import BODIES
from tests.fuzz.examples import complete
from tests.fuzz.hostile import HEADERS, UPLOADS, WEBHOOKS, schemas
from tests.fuzz.served import KEY

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from schemathesis import APIOperation, Case, GenerationMode

    from tests.fuzz.served import Pool

Draw = st.DrawFn
UPLOAD_FIELDS = frozenset({"file", "upload_file"})
WORDS = [
    *("results", "download_url", "configuration", "extract_metadata", "usage", "job_metadata"),
    *("text", "markdown", "items", "metadata", "forms", "text_full", "markdown_full", "raw_parameters"),
    *(
        "text_content_metadata",
        "items_content_metadata",
        "images_content_metadata",
        "raw_words_content_metadata",
    ),
]


@st.composite
def cases(
    draw: Draw, operation: APIOperation, mode: GenerationMode, pool: Pool, parse: SearchStrategy[Case]
) -> Case:
    """
    Draw a request to an operation.

    Half of the ids, words and tokens that the document knows only as strings are such as exist. ``parse`` are
    requests whose bodies go, as JSON, into the form of an upload.
    """
    case: Case = draw(operation.as_strategy(generation_mode=mode))
    _headers(draw, case)
    _path(draw, case, pool)
    _query(draw, case, pool)
    if case.operation.label in BODIES and draw(st.booleans()):
        case.body = draw(BODIES[case.operation.label])
    elif isinstance(case.body, dict):
        if case.media_type == "multipart/form-data" and draw(st.booleans()):
            _form(draw, case, pool, parse)
        case.body = _body(draw, "", case.body, pool)
        if draw(st.booleans()):
            complete(draw, case, pool)
    return case


def _one_in(draw: Draw, number: int) -> bool:
    return draw(st.integers(1, number)) == number


def _headers(draw: Draw, case: Case) -> None:
    if not _one_in(draw, 12):
        case.headers["Authorization"] = f"Bearer {KEY}"
    if _one_in(draw, 12):
        name, value = draw(st.sampled_from(HEADERS))
        case.headers[name] = value


def _path(draw: Draw, case: Case, pool: Pool) -> None:
    given = case.path_parameters
    if not given or draw(st.booleans()):
        return
    if "kind" in given:  # all of a signed address or nothing of it
        url = draw(st.sampled_from(pool.downloads))
        given["kind"], given["id_"] = url.path.rsplit("/", 2)[1:]
        case.query.update(dict(url.params))
        return
    for name in given:
        if known := pool.named.get(_kind(name, case.operation.path)):
            given[name] = draw(st.sampled_from(known))
    if "directory_file_id" in given:
        given["directory_id"], given["directory_file_id"] = draw(st.sampled_from(pool.files))


def _kind(name: str, path: str) -> str:
    """Return whose id a path parameter takes, where one name is used for two kinds."""
    if name == "job_id":
        return "extract_job_id" if "/extract/" in path else "parse_job_id"
    return "webhook_config_id" if "webhook" in path else name


def _query(draw: Draw, case: Case, pool: Pool) -> None:
    given = case.query
    for name in ("project_id", "organization_id"):  # nothing else is looked at where these are another's
        if name in given and not _one_in(draw, 5):
            del given[name]
    for name in [*given]:
        if name == "expand" and draw(st.booleans()):
            given[name] = draw(st.lists(st.sampled_from(WORDS), max_size=4))
        elif name in pool.named and draw(st.booleans()):
            given[name] = draw(st.sampled_from(pool.named[name]))


def _form(draw: Draw, case: Case, pool: Pool, parse: SearchStrategy[Case]) -> None:
    body: Any = case.body
    if "configuration" in body:
        asked = draw(parse).body
        asked = _body(draw, "", asked, pool)
        if isinstance(asked, dict):
            asked = {**asked, "tier": "fast", "version": "latest"}
            for name in ("file_id", "source_url", "http_proxy"):
                asked.pop(name, None)
        body["configuration"] = json.dumps(asked)
    if "metadata" in body:
        body["metadata"] = json.dumps(
            draw(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False)))
        )


def _body(draw: Draw, name: str, value: Any, pool: Pool) -> Any:
    if name == "webhook_url" and isinstance(value, str):  # never an address of others
        return draw(st.sampled_from(WEBHOOKS)) if value.startswith("http") else value
    if name == "data_schema" and draw(st.booleans()):
        return draw(schemas(pool.black_hole))
    if isinstance(value, dict):
        return {key: _body(draw, key, part, pool) for key, part in value.items()}
    if name in pool.named and draw(st.booleans()):
        known = st.sampled_from(pool.named[name])
        return draw(st.lists(known, max_size=3)) if isinstance(value, list) else draw(known)
    if isinstance(value, list):
        return [_body(draw, name, part, pool) for part in value]
    return value


@st.composite
def uploads(draw: Draw) -> tuple[str, bytes] | None:
    """Draw the name and the bytes of a file, or nothing."""
    return draw(st.none() | st.sampled_from(UPLOADS) | st.tuples(st.text(), st.binary()))
