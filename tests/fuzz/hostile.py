"""What no document tells to send: headers, files, addresses and schemas that have broken servers before."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

HEADERS = [
    ("Host", "["),
    ("Host", "a b"),
    ("Host", "\xff:99999"),
    ("Authorization", "Bearer"),
    ("Authorization", "Basic bGx4"),
    ("Authorization", "Bearer \xff"),
    ("Accept", "text/html"),
    ("Accept-Encoding", "gzip;q=x"),
    ("Content-Type", "text/plain"),
    ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Content-Type", "multipart/form-data"),
    ("Content-Type", "multipart/form-data; boundary="),
    ("Content-Type", "multipart/form-data; boundary=x; charset=idna"),
    ("Range", "bytes=9-1"),
    ("Range", "bytes=0-0,2-999999999999999999999"),
    ("Expect", "100-continue"),
    ("X-Forwarded-Proto", "ftp"),
]
WEBHOOKS = [
    *("http://127.0.0.1:9/", "https://127.0.0.1:9/hook?x=%00", "http://[::1", "http://127.0.0.1:99999/"),
    *("http://", "http://\x00", "http://127.0.0.1:9/\u2603", "https://user:pass@127.0.0.1:9/"),
]


def _zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("word/document.xml", "<oops")
    return target.getvalue()


UPLOADS = [
    ("a.txt", b"Total: 1\n\nDate: 2026-01-31"),
    ("huge.txt", b"Total: " + b"9" * 400),
    ("headings.md", b"# a\n" * 3000),
    ("marks.md", b"* " * 20_000),
    ("spaces.md", b" " * 20_000 + b"x"),
    ("items.md", b"- a\n" * 500),
    ("table.md", b"| a |\n| - |\n" + b"| 1 |\n" * 200),
    ("empty.txt", b""),
    ("blank.txt", b" \n\f\n "),
    ("latin.txt", b"Stra\xdfe: \xff"),
    ("data.json", b'{"a":' * 200),
    ("page.html", b"<table><tr><td>" * 50),
    ("torn.pdf", b"%PDF-1.7\n1 0 obj\n<<"),
    ("torn.docx", _zipped()),
    ("torn.xlsx", b"PK\x03\x04"),
    ("torn.png", b"\x89PNG\r\n\x1a\n"),
    ("mail.eml", b"Content-Type: text/plain; charset=oops\n\nx"),
    ("../../up.txt", b"x"),
    ("a\x00b.txt", b"x"),
    ('quote".txt', b"x"),
    (".hidden", b"x"),
    ("no-suffix", b"x"),
    ("\u2603" * 300 + ".txt", b"x"),
]

REFERENCES = ["#", "#/properties/a", "#/$defs/x", "#/nowhere", "#/properties/a/items"]
NUMBERS: SearchStrategy[Any] = st.integers(-3, 10**6) | st.sampled_from([1e308, -1e308, 0.1, 10**400])


@cache
def schemas(black_hole: str) -> SearchStrategy[dict[str, Any]]:
    """Draw schemas of data that refer to themselves and to others, ask for much, and contradict themselves."""
    leaf = st.one_of(
        st.fixed_dictionaries({"$ref": st.sampled_from([*REFERENCES, black_hole])}),
        st.fixed_dictionaries(
            {"type": st.sampled_from(["string", "number", "integer", "boolean", "null", ["string", "null"]])},
            optional={
                "minLength": st.integers(0, 10**7),
                "minimum": NUMBERS,
                "exclusiveMinimum": NUMBERS,
                "exclusiveMaximum": NUMBERS,
                "multipleOf": st.sampled_from([1e-308, 0.1, 3]),
                "pattern": st.sampled_from(["^a+$", "(", "\\d{99}", "^\\S+@\\S+$"]),
                "format": st.sampled_from(["date", "uuid", "oops", "regex"]),
                "enum": st.just([{}, [], None, 1]),
                "default": st.just([1]),
            },
        ),
        st.booleans(),
    )
    return st.recursive(leaf, _grown, max_leaves=8).flatmap(_whole)


def _grown(part: SearchStrategy[Any]) -> SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "total", "names", "date"])
    properties = st.dictionaries(names, part, max_size=4)
    needed = st.lists(names, max_size=3, unique=True)
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("object"), "properties": properties, "required": needed}),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": part}, optional={"minItems": st.integers(0, 2000)}
        ),
        st.fixed_dictionaries({"anyOf": st.lists(part, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(part, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": part}),
    )


def _whole(part: Any) -> SearchStrategy[dict[str, Any]]:
    inner: dict[str, Any] = {"type": "object", "properties": {"a": part, "b": part}, "required": ["a", "b"]}
    return st.sampled_from([{**inner, "$defs": {"x": part}}, {**inner, "additionalProperties": part}])
