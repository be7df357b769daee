"""A connection of another service, named by mistake."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError


@pytest.mark.parametrize("conn_type", ["aws", "postgres", "http"])
async def test_the_password_of_another_services_connection_is_sent_nowhere(emulator, connect, conn_type):
    connect(conn_type=conn_type, password="of-another-service", host=emulator.url)
    said = f"the Airflow connection 'llamabatch_default' is of type '{conn_type}', not 'llamabatch'"
    with LlamaBatchHook() as hook, pytest.raises(InvalidInputError, match=said):
        hook.get_batch("bat-1")
    async with LlamaBatchHook() as hook:
        with pytest.raises(InvalidInputError, match=said):
            await hook.aget_batch("bat-1")
    assert emulator.control.requests() == []
