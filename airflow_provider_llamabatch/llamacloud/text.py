"""
Makes what a server says fit to be shown and stored. Pure.

PostgreSQL's JSONB refuses NUL and lone surrogates, JSON knows no NaN, and a terminal obeys escape sequences.
"""

from __future__ import annotations

import re
import unicodedata
from math import isfinite
from typing import Any

from airflow_provider_llamabatch.defaults import (
    MAX_MESSAGE_CHARACTERS,
    MAX_METADATA_CHARACTERS,
    MAX_STATUS_CHARACTERS,
)

CUT = " [...]"
MAX_NUMBER_BITS = 1024
MAX_DEPTH = 200  # of nested values; what writes JSON later has a bound as well

_ESCAPE_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACED = {"Cc": " ", "Zl": " ", "Zp": " ", "Cf": "", "Cs": "\ufffd", "Co": "\ufffd"}  # by Unicode category


def clean_text(text: str, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """
    Return one line of at most ``limit`` characters, without control, bidirectional and zero-width characters.

    Line breaks and tabs become spaces, terminal escape sequences go, lone surrogates become U+FFFD.
    """
    if len(text) <= limit and text.isprintable():
        return text
    text = _ESCAPE_SEQUENCE.sub("", text[: 4 * limit + 64])
    if not text.isprintable():
        text = "".join(
            sign if sign.isprintable() else _REPLACED.get(unicodedata.category(sign), sign) for sign in text
        )
    return cut(text, limit)


def clean_word(text: str) -> str:
    """
    Return a status word: ASCII, at most 64 characters; anything odd is shown as its escape.

    Escapes keep ``COMPLETED`` with something invisible behind it from becoming ``COMPLETED``.
    """
    if not (text.isascii() and text.isprintable()):
        text = ascii(text[:MAX_STATUS_CHARACTERS])[1:-1]
    return cut(text, MAX_STATUS_CHARACTERS)


def clean_document(text: str) -> str:
    """Return a document's text as it is, but without NUL and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def cut(text: str, limit: int) -> str:
    """Return at most ``limit`` characters; what was cut ends with `` [...]``."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def clean_content(value: Any, *, depth: int = 0) -> Any:
    """
    Return a JSON value that is content: texts as documents are cleaned, numbers that JSON does not know are None.

    Raises ``ValueError`` for content that is nested too deeply: none of it may be lost without a word.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        return clean_document(value)
    if isinstance(value, dict):
        return {clean_document(str(key)): clean_content(held, depth=depth + 1) for key, held in value.items()}
    if isinstance(value, list):
        return [clean_content(held, depth=depth + 1) for held in value]
    return _clean_number(value)


def clean_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """
    Return a JSON object that is no content: one-line texts, no more than 64,000 characters in all, and 200 levels.

    What would go beyond is left out, and ``[...]`` stands there.
    """
    cleaned: dict[str, Any] = _Metadata().cleaned(value)
    return cleaned


class _Metadata:
    def __init__(self) -> None:
        self._left = MAX_METADATA_CHARACTERS

    def cleaned(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH:
            return CUT.strip()
        if isinstance(value, str):
            text = clean_text(value, min(len(value), max(self._left, len(CUT))) + 1)
            self._left -= len(text)
            return text
        if isinstance(value, dict):
            return {
                self.cleaned(str(key)): self.cleaned(held, depth + 1)
                for key, held in value.items()
                if self._left > 0
            }
        if isinstance(value, list):
            return [self.cleaned(held, depth + 1) for held in value if self._left > 0]
        return _clean_number(value)


def _clean_number(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
        return None
    return value
