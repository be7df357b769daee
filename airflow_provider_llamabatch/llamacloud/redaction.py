"""Keeps secrets out of everything that is shown, in whatever form a server or a library repeats them. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cached_property
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from pydantic import SecretStr

from airflow_provider_llamabatch.defaults import MAX_MESSAGE_CHARACTERS
from airflow_provider_llamabatch.llamacloud.text import clean_text, cut

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

REDACTED = "***"
WITHHELD = "(left out, since it repeats a secret)"
LOOKED_AT = 4 * MAX_MESSAGE_CHARACTERS  # characters of a long text, and as many again that are only looked at
MIN_ENCODED_LENGTH = 8  # shorter secrets are not looked for in base64, hex and pieces: everything would match

# What may stand between the characters of a secret: UTF-16 puts NULs there, MIME line ends, a page tags.
_GAP = r"[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]+|&(?:nbsp|shy);"
_ESCAPED_GAP = r"\\{1,8}(?:[nrt]|u00[01][0-9a-f]|x[01][0-9a-f])"
_GAPS = re.compile(f"{_GAP}|{_ESCAPED_GAP}", re.IGNORECASE)
_GAPS_AND_TAGS = re.compile(f"<[^<>]*>|{_GAP}|{_ESCAPED_GAP}", re.IGNORECASE)


class ApiKey(SecretStr):
    """The API key: it shows nowhere, cannot be pickled, and is unwrapped only where the header is written."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an API key is not pickled")

    def __copy__(self) -> ApiKey:
        return self

    def __deepcopy__(self, memo: object) -> ApiKey:
        return self


class Redactor:
    """
    Redacts secrets in texts: as they are, in another case, and as URLs, JSON, HTML, Python and base64 write them.

    Of a text that holds one in pieces nothing is shown: where the pieces are cannot be told for sure.
    It shows none of them itself; the patterns are built when first needed. No text can be read in two ways by one: a
    text that holds the beginning of a secret would be tried in all of them, twice as many with each character.
    """

    def __init__(self, secrets: Iterable[SecretStr | str]) -> None:
        self._secrets = [one if isinstance(one, SecretStr) else SecretStr(one) for one in secrets if one]

    def __repr__(self) -> str:
        return "Redactor()"

    def redact(self, text: str) -> str:
        """Return the text with every secret replaced by ``***``, or ``WITHHELD`` where one is in it in pieces."""
        if not self._secrets:
            return text
        text = self._pattern.sub(REDACTED, text)
        return WITHHELD if self._is_in_pieces_in(text) else text

    def redact_start(self, text: str, *, complete: bool = True) -> str:
        """
        Return the text redacted, of a long or incomplete one a beginning: looking takes time with each character.

        The end of what was looked at is left out then, since it may be half a secret.
        """
        redacted = self.redact(text[: 2 * LOOKED_AT])
        return redacted if complete and len(text) <= 2 * LOOKED_AT else redacted[:-LOOKED_AT]

    def blank(self, body: bytes) -> bytes:
        """Return a response's body without the secrets that it repeats as they are, for what becomes a value."""
        for secret in self._secrets:
            raw = secret.get_secret_value().encode("utf-8", "surrogatepass")
            if len(raw) >= MIN_ENCODED_LENGTH and raw in body:
                body = body.replace(raw, REDACTED.encode())
        return body

    def show(self, text: str, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
        """
        Return what may be shown of a text: without secrets, clean, at most ``limit`` characters.

        Redacted twice, since cleaning may join what was apart; cut last, since half a secret would not be found.
        """
        redacted = self.redact_start(text)
        return cut(self.redact(clean_text(redacted, max(len(redacted), 1))), limit)

    def _is_in_pieces_in(self, text: str) -> bool:
        for gaps in (_GAPS, _GAPS_AND_TAGS):
            joined = _joined(gaps, text)
            if any(form in joined for form in self._joined_forms):
                return True
        return False

    @cached_property
    def _joined_forms(self) -> set[str]:
        secrets = [secret.get_secret_value() for secret in self._secrets]
        forms = [*secrets, *(form for secret in secrets for form in _encoded(secret))]
        joined = {_joined(gaps, form) for gaps in (_GAPS, _GAPS_AND_TAGS) for form in forms}
        return {form for form in joined if len(form) >= MIN_ENCODED_LENGTH}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._secrets, key=len, reverse=True)
        forms = [form for secret in longest_first for form in _forms(secret.get_secret_value())]
        return re.compile("|".join(forms), re.IGNORECASE | re.DOTALL)


def _joined(gaps: re.Pattern[str], text: str) -> str:
    return gaps.sub("", text).lower()


def _forms(secret: str) -> list[str]:
    """Return a pattern for each way in which a whole secret may be written."""
    written = "".join(_signs(sign, len(list(run))) for sign, run in groupby(secret))
    return [written, *(re.escape(form) for form in _encoded(secret))]


def _encoded(secret: str) -> list[str]:
    """Return a secret as hex and as base64 write it."""
    raw = secret.encode("utf-8", "surrogatepass")
    if len(raw) < MIN_ENCODED_LENGTH:
        return []
    return [raw.hex(), *(core for offset in range(3) for core in _base64(raw, offset))]


def _signs(sign: str, count: int) -> str:
    """Return a pattern for one character ``count`` times in a row."""
    if sign != "\\":
        return _sign(sign) * count
    # How many are escapes of the others cannot be told, so they are counted together.
    return rf"(?:\\|%5c|\\{{1,8}}u005c|\\{{1,8}}x5c|&#0*92;|&#x0*5c;){{{count},{9 * count}}}"


def _sign(sign: str) -> str:
    """Return a pattern for one character in all the ways it may be written."""
    raw, number = sign.encode("utf-8", "surrogatepass"), ord(sign)
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    slash = r"\\{1,8}"
    forms = [
        r"\\{0,8}" + re.escape(sign),
        "".join(f"%{byte:02x}" for byte in raw),
        "".join(f"{slash}u{units[at : at + 4]}" for at in range(0, len(units), 4)),
        "".join(f"{slash}x{byte:02x}" for byte in raw),
        f"&#0*{number};",
        f"&#x0*{number:x};",
        *([re.escape(written)] if (written := escape(sign)) != sign else ()),
    ]
    if number > 127:
        forms += [re.escape(raw.decode("latin-1")), f"{slash}U{number:08x}"]
        if number < 256:
            forms += [f"{slash}x{number:02x}"]
    return f"(?:{'|'.join(dict.fromkeys(forms))})"


def _base64(raw: bytes, offset: int) -> list[str]:
    """Return what base64 makes of a secret that begins ``offset`` bytes into a group of three."""
    text = b64encode(bytes(offset) + raw).decode()
    core = text[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
    return [core, core.replace("+", "-").replace("/", "_")]
