"""A key that is refused while a worker waits: reading the connection again may fail or hang, and ends no wait."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_llamabatch.hooks import clients
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from tests.integration.test_secrets import everything_about

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

SECRET = "s.vault-token-never-shown"
REFUSED = {"kind": "status", "status": 401, "detail": "Invalid API key", "path": "/batches/"}
UNREADABLE = "the connection could not be read (RuntimeError)"


@pytest.fixture
def secrets_backend(monkeypatch) -> Callable[[dict[int, Callable[[], None]]], list[float]]:
    """Return a function that has look-ups of a connection, by their number, do something else first."""
    look_up = LlamaBatchHook.get_connection

    def behave(troubles: dict[int, Callable[[], None]]) -> list[float]:
        asked: list[float] = []

        def get_connection(conn_id: str) -> Any:
            asked.append(time.monotonic())
            troubles.get(len(asked), lambda: None)()
            return look_up(conn_id)

        monkeypatch.setattr(LlamaBatchHook, "get_connection", staticmethod(get_connection))
        return asked

    return behave


def sealed() -> None:
    raise RuntimeError(f"vault is sealed: {SECRET}")


@pytest.fixture
def batch_id(hook, make_directory) -> str:
    batch = hook.create_batch(source_directory_id=make_directory(1), configuration_id="cfg-PARSE_AGENTIC")
    return str(batch.id)


def sensor(batch_id: str, **arguments: Any) -> BatchSensor:
    return BatchSensor(task_id="wait", batch_id=batch_id, poll_interval=1, deferrable=False, **arguments)


def test_what_a_secrets_backend_cannot_tell_for_a_moment_is_waited_out(
    batch_id, emulator, context, secrets_backend, caplog, capfd
):
    emulator.control.advance(3600)
    emulator.control.add_fault(**REFUSED, times=1)
    asked = secrets_backend({2: sealed})

    assert sensor(batch_id).execute(context)

    assert len(asked) == 2
    said = caplog.text + "".join(capfd.readouterr())
    assert UNREADABLE in said
    assert SECRET not in said


def test_a_look_up_that_hangs_ends_with_the_wait_and_there_is_one_at_a_time(
    batch_id, emulator, context, secrets_backend
):
    emulator.control.add_fault(**REFUSED)
    hanging = threading.Event()
    asked = secrets_backend({2: lambda: hanging.wait(10) and None})
    began = time.monotonic()

    with pytest.raises(AirflowSensorTimeout, match="could not be looked up within"):
        sensor(batch_id, timeout=2).execute(context)
    hanging.set()

    assert time.monotonic() - began < 6
    assert len(asked) == 2


def test_the_request_with_the_new_key_has_what_is_left_of_the_time(hook, emulator, connect, secrets_backend):
    list(hook.list_batches())
    connect(password=emulator.api_key, host=emulator.url, extra={"timeout_seconds": 59})
    emulator.control.add_fault(**REFUSED, times=1)
    emulator.control.add_fault(kind="delay", method="GET", path="/batches/", seconds=6.0)
    asked = secrets_backend({1: lambda: time.sleep(1.0)})
    began = time.monotonic()

    with pytest.raises(e.NoResponseError, match=r"no complete response within 1\.\d+ s"):
        hook.send(calls.get_batch("bat-1"), ONCE, within=3.0)
    assert len(asked) == 1
    assert time.monotonic() - began < 4.5


async def test_the_asynchronous_twin_hides_what_a_secrets_backend_says_as_well(
    connection, emulator, monkeypatch
):
    from airflow_provider_llamabatch.hooks import connections

    async def refuse(*_: object) -> None:
        sealed()

    async with LlamaBatchHook() as hook:
        assert [batch async for batch in hook.alist_batches()] == []
        emulator.control.set_api_key("llx-new-key")
        monkeypatch.setattr(connections, "get_connection", refuse)
        with pytest.raises(e.NoResponseError) as raised:
            await hook.aget_batch("bat-1")
    assert str(raised.value) == UNREADABLE
    assert SECRET not in everything_about(raised.value)


def test_an_error_of_a_secrets_backend_is_neither_shown_nor_kept(hook, emulator, secrets_backend):
    list(hook.list_batches())
    emulator.control.set_api_key("llx-new-key")
    secrets_backend({1: sealed})

    with pytest.raises(e.NoResponseError) as raised:
        hook.get_batch("bat-1")
    assert not raised.value.reached_server
    assert str(raised.value) == UNREADABLE
    assert SECRET not in everything_about(raised.value)


def test_a_kill_that_cannot_read_its_connection_says_so_without_its_words(
    batch_id, secrets_backend, caplog, emulator
):
    log: Any = logging.getLogger("killed")
    secrets_backend({1: sealed})

    sensor(batch_id).begin_poll(LlamaBatchHook(), batch_id, deadline=0.0).kill(log)

    assert f"was not cancelled, it may still run: {UNREADABLE}" in caplog.text
    assert SECRET not in caplog.text


def test_a_cancel_at_the_deadline_that_fails_outside_of_this_package_is_told_without_its_words(
    hook, batch_id, context, monkeypatch
):
    send = LlamaBatchHook.send

    def send_or_fail(self: LlamaBatchHook, call: Any, *arguments: Any, **named: Any) -> Any:
        return sealed() if call.path.endswith("/cancel") else send(self, call, *arguments, **named)

    monkeypatch.setattr(LlamaBatchHook, "send", send_or_fail)

    with pytest.raises(AirflowSensorTimeout, match="cancelling it failed, so it may still run") as raised:
        sensor(batch_id, timeout=0.001, cancel_on_timeout=True).execute(context)
    assert UNREADABLE in str(raised.value)
    assert SECRET not in everything_about(raised.value)


@pytest.mark.parametrize(("kept_open", "open_ones"), [(900.0, 4), (-1.0, 1)])
async def test_clients_of_earlier_keys_are_closed_some_time_after_they_were_replaced(
    hook, emulator, connect, monkeypatch, kept_open, open_ones
):
    monkeypatch.setattr(clients, "KEPT_OPEN", kept_open)
    made: list[AsyncClient] = []
    make = clients._async_client

    def making(settings: ClientSettings) -> AsyncClient:
        made.append(make(settings))
        return made[-1]

    monkeypatch.setattr(clients, "_async_client", making)
    for number in range(4):
        emulator.control.set_api_key(f"llx-key-{number}")
        connect(password=f"llx-key-{number}", host=emulator.url)
        await hook.asend(calls.list_directories())

    assert sum(not client._http.is_closed for client in made) == open_ones

    await hook.aclose()
    assert all(client._http.is_closed for client in made)
