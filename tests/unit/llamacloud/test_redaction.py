"""A secret is redacted however it is written, in a time that depends on nothing but the text's length."""

from __future__ import annotations

import base64
import json
from html import escape
from urllib.parse import quote

import pytest

from airflow_provider_llamabatch.llamacloud.redaction import WITHHELD, Redactor

KEY = "llx-AbCdEf0123456789GhIjKlMnOpQrStUvWxYz0123456789ab"
BACKSLASHES = "domain" + "\\" * 12 + "user<&>'%\""
# A tenth of a second is enough; what grows with the square of the length, or faster, takes minutes.
AT_ONCE = pytest.mark.timeout(90)
REST = " was not accepted: it was revoked, or it is of another region. Look it up in the settings of your project."


@AT_ONCE
@pytest.mark.parametrize("secret", [KEY, KEY.lower(), "llx-" + "a" * 48, BACKSLASHES])
def test_a_text_that_holds_the_beginning_of_a_secret_is_redacted_at_once(secret: str) -> None:
    text = "".join(f"{secret[:length]}!{REST}" for length in range(1, len(secret)))

    assert Redactor([secret]).redact(text) == text


@pytest.mark.parametrize("secret", [KEY, BACKSLASHES])
@pytest.mark.parametrize(
    "written",
    [
        str,
        json.dumps,
        lambda secret: json.dumps(json.dumps(secret)),
        escape,
        quote,
        lambda secret: "".join(f"&#{ord(sign)};" for sign in secret),
        lambda secret: "".join(f"\\u{ord(sign):04x}" for sign in secret),
    ],
)
def test_a_secret_is_redacted_however_it_is_written(secret: str, written: object) -> None:
    shown = Redactor([secret]).redact(f"before {written(secret)} after")  # type: ignore[operator]

    assert shown.replace('"', "").replace("\\", "") == "before *** after"


def wrapped(secret: str) -> str:
    """Base64 as MIME writes it, the secret around a line end."""
    return base64.encodebytes(b"Authorization: Bearer user:" + b"x" * 20 + secret.encode()).decode()


@pytest.mark.parametrize("secret", [KEY, "Bearer <b>never</b> shown-Hx7"])
@pytest.mark.parametrize(
    "pieces",
    [
        "\0".join,
        " ".join,
        "\r\n ".join,
        "<wbr>".join,
        "</b>\n\t<b class='x'>".join,
        "\xad".join,
        "&nbsp;".join,
        r"\u0000".join,
        r"\n".join,
        lambda secret: f"{secret[:9]}\n{secret[9:]}",
        lambda secret: secret.encode("utf-16").decode("utf-8", "replace"),
        lambda secret: secret.encode("utf-16-be").decode("utf-8", "replace"),
        lambda secret: secret.encode("utf-32-le").decode("utf-8", "replace"),
        wrapped,
        lambda secret: secret.encode().hex(" "),
    ],
)
def test_of_a_text_that_holds_a_secret_in_pieces_nothing_is_shown(secret: str, pieces: object) -> None:
    redactor, text = Redactor(["llx-other-secret", secret]), f"<p>before {pieces(secret)} after</p>"  # type: ignore[operator]

    assert redactor.redact(text) == WITHHELD
    assert redactor.show(text) == WITHHELD


def test_what_holds_no_secret_is_shown_as_it_is() -> None:
    redactor = Redactor([KEY, "~", "<nothing>", " \0 \n  \0   ", "a banana"])

    for text in ("an abandoned bananatree <b>", f"{KEY[:20]} {KEY[:20]}", "\\n" * 20, "", "no <p> thing"):
        assert redactor.redact(text) == text


@AT_ONCE
@pytest.mark.parametrize("sign", ["<", "\\", "\0", "&", "&nbsp", "<a", "l\0", "llx-\n", "\\u00"])
def test_a_text_full_of_what_may_stand_between_is_read_at_once(sign: str) -> None:
    text = sign * (256 * 1024 // len(sign))

    assert Redactor([KEY]).redact(text) == text
