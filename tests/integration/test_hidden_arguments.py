"""What a webhook's configuration hides is in no frame of this package when a call of the hook fails."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

SECRET, HEADER, PATH = "whsec-never-shown-Bn3", "header-never-shown-Hx7", "path-never-shown-Kp6"
NUMBER = 987654321987
SHOWN_BY_NOBODY = (SECRET, HEADER, PATH, str(NUMBER))
WEBHOOK: dict[str, Any] = {
    "webhook_url": f"https://example.com/{PATH}",
    "webhook_signing_secret": SECRET,
    "webhook_headers": {"X-A": HEADER, "X-B": NUMBER},
}
GOOD: dict[str, Any] = {
    "source_directory_id": "dir-1",
    "configuration_id": "cfg-1",
    "webhook_configurations": [WEBHOOK],
}


def assert_hidden(error: BaseException | None) -> None:
    while error is not None:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [frame for frame in told.stack if "/airflow_provider_llamabatch/" in frame.filename]
        shown = f"{error}{[frame.locals for frame in ours]}"
        assert not [secret for secret in SHOWN_BY_NOBODY if secret in shown]
        error = error.__context__


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"no_such_argument": 1},
        {"source_directory_id": None},
        {"job_type": "parse_v9"},
        {"webhook_configurations": WEBHOOK},
        {"webhook_configurations": [{**WEBHOOK, "x": {1, 2}}]},
    ],
)
def test_arguments_of_a_call_that_fails_are_in_no_frame(hook, emulator, wrong):
    echo = f"refused: {SECRET} {HEADER} {PATH} {NUMBER}"
    emulator.control.add_fault(kind="status", status=422, detail=echo, method="POST", path="batches$")

    with pytest.raises(Exception) as raised:  # noqa: PT011 - each wrong argument has its own
        hook.create_batch(**{**GOOD, **wrong})
    assert_hidden(raised.value)

    async def create() -> None:
        async with LlamaBatchHook() as twin:
            await twin.acreate_batch(**{**GOOD, **wrong})

    with pytest.raises(type(raised.value)) as raised:
        asyncio.run(create())
    assert_hidden(raised.value)


def test_arguments_are_in_no_frame_where_there_is_no_connection():
    with LlamaBatchHook("nowhere") as hook, pytest.raises(ValueError, match="nowhere") as raised:
        hook.create_batch(**GOOD)
    assert_hidden(raised.value)
