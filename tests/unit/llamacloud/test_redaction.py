"""Redacting takes as long as a text is, whatever of a secret the text holds."""

from __future__ import annotations

import json
import time
from html import escape
from urllib.parse import quote

import pytest

from airflow_provider_llamabatch.llamacloud.redaction import Redactor

KEY = "llx-AbCdEf0123456789GhIjKlMnOpQrStUvWxYz0123456789ab"
BACKSLASHES = "domain" + "\\" * 12 + "user<&>'%\""
REST = " was not accepted: it was revoked, or it is of another region. Look it up in the settings of your project."


@pytest.mark.parametrize("secret", [KEY, KEY.lower(), "llx-" + "a" * 48, BACKSLASHES])
def test_a_text_that_holds_the_beginning_of_a_secret_is_redacted_at_once(secret: str) -> None:
    redactor = Redactor([secret])
    redactor.redact("")
    text = "".join(f"{secret[:length]}!{REST}" for length in range(1, len(secret)))
    began = time.perf_counter()

    assert redactor.redact(text) == text
    assert time.perf_counter() - began < 2.0


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
