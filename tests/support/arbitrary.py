"""Strategies: answers of a service that has lost its mind, connections filled in by anybody; and how many to try."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.settings import EXTRA_FIELDS

KEY = "llx-Kq7/p+Zr9wT4xYb2nV6mC8d"
WEBHOOK_SECRET = 'wh"säc\\ret-5fTn0Lq8'
SECRETS = (KEY, WEBHOOK_SECRET)

BATCH = {
    "id": "bat-1",
    "project_id": "prj-1",
    "source_directory_id": "dir-1",
    "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
    "status": "COMPLETED",
    "created_at": "2026-11-01T12:00:00Z",
    "results": [
        {"source_directory_file_id": "dfl-1", "job_reference": {"id": "pjb-1", "type": "parse_v2"}},
        {"source_directory_file_id": "dfl-2", "job_reference": None, "error_message": "too large"},
    ],
}
DIRECTORY = {"id": "dir-1", "name": "n", "system_metadata": {"a": [1]}, "expires_at": "2026-11-01T12:00:00Z"}
FILE = {"id": "dfl-1", "display_name": "a.pdf", "metadata": {"a": 1}, "download_url": {"url": "https://x"}}
JOB = {"id": "pjb-1", "status": "FAILED", "error_message": "no", "usage": {"credits": 1.5}}
PARSED = {
    "job": JOB,
    "markdown": {"pages": [{"page_number": 1, "markdown": "# A", "success": True}]},
    "text_full": "A",
}
EXTRACTED = {**JOB, "id": "ext-1", "extract_result": [{"total": 3}], "extract_metadata": {"fields": {}}}
PRESET = {"id": "cfg-1", "name": "n", "product_type": "parse_v2", "parameters": {"tier": "agentic"}}
PROJECTS = [{"id": "prj-1", "name": "Default", "is_default": True}]


def bounded(examples: int) -> settings:
    """The same examples in every run, so many and no more; fewer where the profile is the brief one."""
    brief = settings.get_profile("brief")
    return settings(
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=brief.max_examples if settings.default is brief else examples,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def page_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item, item], "next_page_token": "t2", "total_size": 2}


# One call of each kind of answer, with an answer that is right.
ANSWERED: list[tuple[Any, Any]] = [
    (
        calls.create_batch(
            source_directory_id="dir-1",
            configuration_id="cfg-1",
            webhook_configurations=[{"webhook_signing_secret": WEBHOOK_SECRET}],
        ),
        BATCH,
    ),
    (calls.get_batch("bat-1", expand_results=True), BATCH),
    (calls.list_batches(), page_of(BATCH)),
    (calls.list_batch_statuses(created_at_on_or_after=None, page_size=2), page_of(BATCH)),
    (calls.get_directory("dir-1"), DIRECTORY),
    (calls.list_directories(), page_of(DIRECTORY)),
    (calls.delete_directory("dir-1"), None),
    (calls.get_directory_file("dir-1", "dfl-1"), FILE),
    (calls.list_directory_files("dir-1"), page_of(FILE)),
    (calls.list_parse_jobs(), page_of(JOB)),
    (calls.get_parse_job("pjb-1"), PARSED),
    (calls.list_extract_jobs(), page_of(EXTRACTED)),
    (calls.get_extract_job("ext-1"), EXTRACTED),
    (calls.get_parse_job_status("pjb-1"), PARSED),
    (calls.get_extract_job_status("ext-1"), EXTRACTED),
    (calls.list_configurations(), page_of(PRESET)),
    (calls.get_configuration("cfg-1"), PRESET),
    (calls.list_projects(), PROJECTS),
]


def json_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """JSON values as Python reads them, infinities and lone surrogates included."""
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400), texts)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=8,
    )


def after_padding(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    """A secret behind so many characters that shortening a text may cut it in two."""
    return st.builds(lambda size, secret: "x" * size + secret, sizes, st.sampled_from(SECRETS))


texts = st.text(max_size=20) | st.just("\ud800")
words = st.one_of(
    texts,
    st.sampled_from([*SECRETS, *(f"no {secret}." for secret in SECRETS)]),
    after_padding(st.integers(40, 64) | st.integers(160, 200)),
    after_padding(st.integers(980, 1005) | st.integers(3950, 4005)),
)
json_values = json_of(texts)
json_with_secrets = json_of(words)


@st.composite
def mutated(draw: st.DrawFn, right: Any) -> Any:
    """A right answer in which some things are dropped, of another type, nested, or huge."""
    root = {"": copy.deepcopy(right)}
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(_places(root)))
        change = draw(st.sampled_from(["drop", "replace", "nest", "swell", "add"]))
        if change == "drop" and holder is not root:
            del holder[key]
        elif change == "nest":
            holder[key] = _nested(holder[key], draw(st.integers(1, 300)))
        elif change == "swell":
            holder[key] = draw(st.sampled_from(["x" * 100_000, 10**300, [holder[key]] * 50]))
        elif change == "add" and isinstance(holder[key], dict):
            holder[key][draw(words)] = draw(json_with_secrets)
        else:
            holder[key] = draw(json_with_secrets)
    return root[""]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as what holds it and its key there."""
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    inner = [place for _, held in pairs if isinstance(held, (dict, list)) for place in _places(held)]
    return [(value, key) for key, _ in pairs] + inner


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value] if depth % 2 else {"detail": value}
    return value


def _encoded(value: Any, encoding: str, escape: bool = False) -> bytes:
    """JSON as servers write it: in some encoding, ASCII only or not, or with every character of a secret escaped."""
    text = json.dumps(value, ensure_ascii=encoding == "utf-8")
    for secret in SECRETS if escape else ():
        text = text.replace(json.dumps(secret)[1:-1], "".join(f"\\u{ord(sign):04x}" for sign in secret))
    return text.encode(encoding, "surrogatepass")


def bodies(right: Any) -> st.SearchStrategy[bytes]:
    """Bytes of all kinds: noise, JSON, pages of a gateway, right answers gone wrong."""
    error_shapes = st.fixed_dictionaries(
        {
            "detail": st.one_of(
                json_with_secrets,
                words,
                st.lists(
                    st.fixed_dictionaries({"loc": json_with_secrets, "msg": words}) | json_with_secrets,
                    max_size=3,
                ),
            )
        }
    )
    pages = words.map(lambda word: f"<html><p title='{word}'>{word}</p>".encode("utf-8", "surrogatepass"))
    values = json_with_secrets | error_shapes | mutated(right)
    encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
    whole = st.builds(_encoded, values, encodings, st.booleans())
    torn = st.builds(
        lambda body, at: body[:at], st.builds(_encoded, json_values, encodings), st.integers(0, 50)
    )
    return st.one_of(st.binary(max_size=200), pages, whole, torn)


dates = st.from_regex(
    r"[A-Za-z]{0,3},? ?\d{0,3} [A-Za-z]{3} \d{1,5} \d\d?:\d\d?(:\d\d?)? ?([+-]\d{1,5}|GMT)?", fullmatch=True
)
header_values = (
    words | st.floats().map(str) | dates | st.builds("https://{}/{}?{}".format, words, words, words)
)
headers = st.dictionaries(
    st.sampled_from(
        ["retry-after", "retry-after-ms", "x-correlation-id", "x-request-id", "location", "server"]
    ),
    header_values,
    max_size=3,
)
statuses = st.one_of(
    st.sampled_from([200, 201, 204, 301, 307, 401, 403, 404, 409, 422, 429, 500, 503]), st.integers(100, 999)
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Any, int, dict[str, str], bytes]:
    """A call, and an HTTP answer to it: status, headers and body."""
    call, right = draw(st.sampled_from(ANSWERED))
    return call, draw(statuses), draw(headers), draw(bodies(right))


# fmt: off
NAMES = [
    "127.0.0.1", "127.1", "2130706433", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::ffff:127.0.0.1]",
    "0.0.0.0", "example.com", "127.0.0.1.example.com", "ü.example", "\uff11\uff12\uff17.0.0.1", "h", "p", "na",
]
# fmt: on
hosts = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.builds(
        "{}{}{}{}{}{}".format,
        st.sampled_from(["", "http://", "https://", "HTTP://", "ftp://", "//", "\x00http://", " http://"]),
        st.sampled_from(["", "", "", "user@", f"user:{KEY}@", "\\@", "127.0.0.1\\"]),
        st.sampled_from(NAMES),
        st.text(alphabet="a.\\/@:\x00\t%[]é", max_size=2),
        st.sampled_from(["", ":80", ":0", ":99999", ":x", ":"]),
        st.sampled_from(["", "/", "/a/b/", "?", "?x=1", "#"]),
    ),
)
extra_fields = st.dictionaries(
    st.sampled_from([*EXTRA_FIELDS, "other"]),
    st.one_of(json_values, st.sampled_from(["7", 0.5, "true", "nan", 1e308])),
    max_size=3,
)
extras = st.one_of(st.none(), extra_fields, extra_fields.map(json.dumps), st.text(max_size=10))
passwords = st.one_of(
    st.none(),
    st.text(max_size=10),
    st.just(KEY),
    st.builds(
        "{}{}{}".format, st.text(max_size=2), st.just(KEY), st.sampled_from(["", " ", "\n", "ü", "\x00"])
    ),
)
