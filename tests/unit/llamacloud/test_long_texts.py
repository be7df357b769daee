"""Of a long text only a beginning is looked at, and never half of a secret is shown for that."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.redaction import LOOKED_AT, Redactor
from airflow_provider_llamabatch.llamacloud.responses import Response, decipher

KEY = "llx-AbCdEf0123456789GhIjKlMnOpQrStUvWxYz0123456789ab"


class Counting(Redactor):
    """Notes how long the texts are that it looks through."""

    def __init__(self) -> None:
        super().__init__([KEY])
        self.looked_at: list[int] = []

    def redact(self, text: str) -> str:
        self.looked_at.append(len(text))
        return super().redact(text)


BODIES = {
    "detail": json.dumps({"detail": "\\" * 50_000}),
    "detail as an object": json.dumps({"detail": {"a": ["\\" * 1000] * 60}}),
    "page": "<p>" + "&" * 120_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("complete", [True, False])
def test_of_a_long_error_only_a_beginning_is_looked_through(body, complete):
    redactor = Counting()
    response = Response(500, {"x-request-id": "x" * 90_000}, body.encode(), complete)

    with pytest.raises(e.UnavailableError):
        decipher(calls.get_batch("bat-1"), response, redactor)
    assert max(redactor.looked_at) <= 2 * LOOKED_AT


@pytest.mark.parametrize("before", ["x" * 2 * LOOKED_AT, f"{KEY} " * 200], ids=["words", "secrets"])
@pytest.mark.parametrize("kept", range(1, len(KEY)))
def test_a_secret_that_is_cut_in_two_is_not_shown(before, kept):
    text = before[: 2 * LOOKED_AT - kept] + KEY + "x" * 9000

    assert KEY[:4] not in Redactor([KEY]).redact_start(text)
    assert KEY[:4] not in Redactor([KEY]).show(text, 10 * LOOKED_AT)
