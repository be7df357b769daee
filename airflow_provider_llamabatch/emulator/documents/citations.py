"""Where in a document the values of an extract result were found. Pure."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.extraction import readings
from airflow_provider_llamabatch.emulator.documents.values import Values, fold, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator.documents.results import JobPage

Json = dict[str, Any]


class Citations:
    """Finds the text that a field's value was taken from, by the name of the field."""

    def __init__(self, pages: list[JobPage], schema: Any) -> None:
        self._pages = {one.number: one.page.markdown for one in pages if one.error is None}
        self._titles = dict(_titles(schema))
        self._found: dict[str, dict[Any, Json]] = {}

    def of(self, name: str, value: Any) -> list[Json]:
        """Return the page and the text of a value, or nothing where the document does not have it."""
        for key in filter(None, (fold(name), self._titles.get(name))):
            if key not in self._found:
                self._found[key] = self._citations(key)
            if _comparable(value) in self._found[key]:
                return [self._found[key][_comparable(value)]]
        return []

    def _citations(self, key: str) -> dict[Any, Json]:
        """Return the citation of every value that the text offers for a name."""
        first: dict[str, int] = {}
        for number, found in self._sources:
            for text in _texts(found, key):
                first.setdefault(text, number)
        cited: dict[Any, Json] = {}
        for text in filter(None, _texts(offers("\n\n".join(self._pages.values())), key)):
            holding = (number for number, page in self._pages.items() if text in page)
            page = first.get(text) or next(holding, min(self._pages))  # its name may be on the page before
            for reading in readings(text):
                cited.setdefault(_comparable(reading), {"page": page, "matching_text": text})
        return cited

    @cached_property
    def _sources(self) -> list[tuple[int, Values]]:
        return [(number, offers(page)) for number, page in self._pages.items()]


@lru_cache(maxsize=64)
def offers(text: str) -> Values:
    """Return what a text offers, read once."""
    return values(text)


def _texts(found: Values, key: str) -> Iterator[str]:
    if key in found.named:
        yield found.named[key]
        yield from (part.strip() for part in re.split(r"[,;]", found.named[key]))
    yield from found.lists.get(key, [])
    yield from (row[key] for rows in found.rows for row in rows if key in row)


def _titles(schema: Any) -> Iterator[tuple[str, str]]:
    """Go through the names of all properties that have a title as well."""
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        for name, part in schema["properties"].items():
            if isinstance(part, dict) and "title" in part:
                yield name, fold(str(part["title"]))
    if isinstance(schema, dict | list):
        for one in schema.values() if isinstance(schema, dict) else schema:
            yield from _titles(one)


def _comparable(value: Any) -> tuple[bool, Any]:
    return isinstance(value, bool), fold(value) if isinstance(value, str) else value
