from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.text import clean_document, clean_text, clean_word
from tests.support.arbitrary import bounded, json_values


@bounded(500)
@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_a_clean_text_is_one_bounded_line_that_can_be_encoded(text):
    cleaned = clean_text(text, 20)

    assert len(cleaned) <= 20
    cleaned.encode()
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in cleaned)
    assert clean_text(cleaned, 20) == cleaned


def test_escapes_and_invisible_signs_go():
    assert clean_text("a\x1b[31mred\x1b[0m\n\u202eb\u200bc\0\ud800") == "ared bc \ufffd"
    assert clean_text("x" * 2000).endswith("x [...]")


def test_a_word_with_something_invisible_is_another_word():
    assert clean_word("COMPLETED\u200b") == "COMPLETED\\u200b"
    assert len(clean_word("RUNNING\n" * 100_000)) == 64


def test_a_document_keeps_its_lines():
    assert clean_document("a\n\tb\0\ud800") == "a\n\tb\ufffd"


@bounded(300)
@given(json_values)
def test_whatever_a_batch_holds_can_be_stored(value):
    body = json.dumps({"id": "bat-1", "status": "RUNNING", "mood": value}).encode()
    try:
        batch = calls.get_batch("bat-1").parse(body)
    except ValueError:
        return
    stored = json.dumps(batch.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    stored.encode()
    assert "\\u0000" not in stored
    assert len(stored) < 100_000
