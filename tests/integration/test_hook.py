from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_llamabatch.airflow_compat import AIRFLOW_3
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from tests.support.recorder import Asked, Recorder

GET_BATCH = "GET /api/v2/batches/{batch_id}"


def asked(emulator, route: str) -> int:
    return emulator.control.counters()["requests_by_route"].get(route, 0)


def test_a_batch_goes_from_directory_to_results(hook, emulator, make_directory):
    directory_id = make_directory(files=12)

    made = hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
    assert (made.status, made.results) == ("PENDING", None)
    emulator.control.advance(60)
    done = hook.get_batch(made.id, expand_results=True)

    assert done.status == "COMPLETED"
    assert done.results is not None
    assert len(done.results) == 12
    reference = done.results[0].job_reference
    assert reference is not None
    parsed = hook.send(calls.get_parse_job(reference.id, expand=["markdown"]))
    assert parsed.markdown is not None
    assert parsed.markdown.pages[0].markdown == "hello"


def test_lists_are_walked_through_all_their_pages(hook, emulator, make_directory):
    directory_id = make_directory(files=25)

    names = {file.display_name for file in hook.iterate(calls.list_directory_files(directory_id))}

    assert len(names) == 25
    assert asked(emulator, "GET /api/v1/beta/directories/{directory_id}/files") == 3


def test_batches_are_filtered_by_directory_and_status(hook, make_directory):
    first, second = make_directory(1), make_directory(1)
    made = [
        hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC").id
        for directory_id in (first, first, second)
    ]

    assert {batch.id for batch in hook.list_batches(source_directory_id=first)} == set(made[:2])
    assert list(hook.list_batches(status="COMPLETED")) == []


async def test_a_configuration_is_found_by_its_name_and_product(hook, emulator):
    save = calls.create_configuration
    for name in ("invoices", "invoices of 2025", *(f"other {number}" for number in range(30))):
        hook.send(
            save(name=name, parameters={"product_type": "parse_v2", "tier": "fast", "version": "latest"})
        )
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    extract = {"product_type": "extract_v2", "tier": "agentic", "data_schema": schema}
    saved = hook.send(save(name="invoices", parameters=extract))

    found = hook.find_configuration("invoices", job_type="extract_v2")

    assert (found.id, found.version) == (saved.id, saved.version)
    parsing = hook.find_configuration("invoices")
    assert parsing.id != saved.id
    async with LlamaBatchHook() as twin:
        assert (await twin.afind_configuration("invoices")) == parsing
    with pytest.raises(
        e.InvalidInputError, match="there is no configuration for extract_v2 with the name 'invoices of 2025'"
    ):
        hook.find_configuration("invoices of 2025", job_type="extract_v2")
    with pytest.raises(
        e.InvalidInputError, match="job_type: must be one of parse_v2, extract_v2, not 'extract'"
    ):
        hook.find_configuration("invoices", job_type="extract")


def test_a_name_that_a_server_gives_to_two_configurations_finds_neither(connect):
    def answer(asked: Asked) -> dict[str, object]:
        token = ("page_token", "more") in asked.query
        names = ("cfg-1", "invoices"), ("cfg-2", "my invoices"), ("cfg-3", "invoices")
        items = [{"id": id, "name": name, "product_type": "parse_v2"} for id, name in names]
        return {"items": items[2:] if token else items[:2], "next_page_token": None if token else "more"}

    with Recorder(answer) as server:
        connect(password="llx-names", host=server.url)
        with (
            LlamaBatchHook() as hook,
            pytest.raises(e.InvalidInputError, match=r"there are 2 configurations \(cfg-1, cfg-3\)"),
        ):
            hook.find_configuration("invoices")
    assert {("name", "invoices"), ("product_type", "parse_v2"), ("latest_only", "true")} <= set(
        server.asked[0].query
    )


def test_cancelling_too_late_is_no_error(hook, emulator, make_directory):
    batch = hook.create_batch(source_directory_id=make_directory(), configuration_id="cfg-PARSE_AGENTIC")
    emulator.control.advance(60)

    for code in (400, 409):
        emulator.control.change(terminal_cancel_code=code)
        assert hook.cancel_batch(batch.id).status == "COMPLETED"
    assert asked(emulator, "POST /api/v2/batches/{batch_id}/cancel") == 2


async def test_the_asynchronous_twins_do_the_same(hook, emulator, make_directory):
    directory_id = make_directory()
    async with LlamaBatchHook() as twin:
        batch = await twin.acreate_batch(
            source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC"
        )
        assert (await twin.aget_batch(batch.id)) == hook.get_batch(batch.id)
        assert [one.id async for one in twin.alist_batches(source_directory_id=directory_id)] == [batch.id]
        assert (await twin.acancel_batch(batch.id)).id == batch.id
        emulator.control.advance(60)
        assert (await twin.acancel_batch(batch.id)).status == "CANCELLED"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # what the first loop leaves behind
def test_a_hook_goes_on_in_a_new_event_loop_where_its_first_has_ended(connection, make_directory, emulator):
    hook, made = LlamaBatchHook(), []

    async def create() -> str:
        batch = await hook.acreate_batch(
            source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC"
        )
        return batch.id

    directory_id = make_directory()
    made = [asyncio.run(create()), asyncio.run(create())]
    asyncio.run(hook.aclose())
    gc.collect()

    assert len(set(made)) == emulator.control.counters()["batches"] == 2


def test_a_hook_serves_two_event_loops_at_once_and_is_closed_in_each(emulator, connect):
    connect(password=emulator.api_key, host=emulator.url, extra={"timeout_seconds": 2, "max_attempts": 1})
    hook = LlamaBatchHook()

    async def count() -> int:
        return len([batch async for batch in hook.alist_batches()])

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert [loop.run(count()) for loop in (first, second, first, second)] == [0] * 4
        first.run(hook.aclose())
        assert second.run(count()) == 0
        second.run(hook.aclose())


def test_a_read_is_tried_again_after_trouble_and_a_submission_is_not(
    hook, emulator, make_directory, no_waiting
):
    directory_id = make_directory()
    emulator.control.add_fault(kind="status", status=503, method="GET", times=3)
    emulator.control.add_fault(kind="status", status=503, method="POST", committed=True, times=1)

    assert list(hook.list_batches(source_directory_id=directory_id)) == []
    assert asked(emulator, "GET /api/v2/batches") == 4
    with pytest.raises(e.UnavailableError):
        hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
    assert emulator.control.counters()["batches"] == 1


def test_a_submission_that_was_surely_not_processed_is_sent_again(hook, emulator, make_directory, no_waiting):
    directory_id = make_directory()
    emulator.control.add_fault(kind="status", status=429, detail="slow down", method="POST", times=3)

    hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")

    assert asked(emulator, "POST /api/v2/batches") == 4
    assert emulator.control.counters()["batches"] == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_lost_connection_says_that_the_request_may_have_arrived(hook, emulator, make_directory, fault):
    directory_id = make_directory()
    emulator.control.add_fault(kind=fault, method="POST", times=1)

    with pytest.raises(e.NoResponseError, match=r"POST /api/v2/batches to http://127\.0\.0\.1") as raised:
        hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
    assert raised.value.reached_server
    assert emulator.control.counters()["batches"] == (fault == "drop_after")


def test_a_refused_connection_says_that_nothing_was_sent(connect, no_waiting):
    connect(password="llx-key", host="http://127.0.0.1:9")

    with LlamaBatchHook() as hook, pytest.raises(e.NoResponseError, match="could not be sent") as raised:
        hook.get_batch("bat-1")
    assert not raised.value.reached_server


def test_a_rotated_key_is_read_again_once(hook, emulator, connect):
    assert list(hook.list_batches()) == []
    emulator.control.set_api_key("llx-new-key")
    connect(password="llx-new-key", host=emulator.url)

    assert list(hook.list_batches()) == []


async def test_a_rotated_key_is_read_again_once_asynchronously(connection, emulator, connect):
    async with LlamaBatchHook() as hook:
        assert [batch async for batch in hook.alist_batches()] == []
        emulator.control.set_api_key("llx-new-key")
        connect(password="llx-new-key", host=emulator.url)
        assert [batch async for batch in hook.alist_batches()] == []


def test_what_a_gateway_says_of_the_key_sends_no_second_batch_with_another_one(
    hook, emulator, make_directory, connect
):
    directory_id = make_directory(files=1)
    emulator.control.add_fault(
        kind="html", method="POST", path="batches$", status=401, committed=True, times=1
    )
    list(hook.list_batches())
    connect(password=emulator.api_key, host=emulator.url, extra={"timeout_seconds": 59})

    with pytest.raises(e.AuthenticationError):
        hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
    assert len(list(hook.list_batches())) == 1


def test_a_key_that_stays_wrong_is_one_clear_error(hook, emulator):
    emulator.control.set_api_key("llx-new-key")

    with pytest.raises(e.AuthenticationError, match="password"):
        hook.get_batch("bat-1")
    assert asked(emulator, GET_BATCH) <= 1


def test_a_missing_connection_is_named():
    with (
        LlamaBatchHook("nowhere") as hook,
        pytest.raises(e.InvalidInputError, match=r"^llamabatch_conn_id: .*'nowhere'"),
    ):
        hook.get_batch("bat-1")


async def test_a_missing_connection_is_named_asynchronously():
    async with LlamaBatchHook("nowhere") as hook:
        with pytest.raises(e.InvalidInputError, match=r"^llamabatch_conn_id: .*'nowhere'"):
            await hook.aget_batch("bat-1")


def test_the_connection_test_makes_one_call_and_says_what_is_wrong(hook, emulator, connect):
    assert hook.test_connection() == (True, f"The API key was accepted by {emulator.url}.")
    assert emulator.control.counters()["requests"] == 1

    connect(password="llx-wrong", host=emulator.url)
    ok, message = LlamaBatchHook().test_connection()
    assert not ok
    assert "was answered with 401" in message
    connect(password="", host=emulator.url)
    assert LlamaBatchHook().test_connection() == (
        False,
        "connection 'llamabatch_default', password: is empty; put the LlamaCloud API key (llx-...) there",
    )


def test_a_response_of_any_size_is_not_read_to_the_end(hook, emulator, make_directory):
    make_directory(files=5)

    with pytest.raises(e.InvalidResponseError, match="more than 100 bytes"):
        hook.send(replace(calls.list_directories(), max_bytes=100), ONCE)


def test_our_requests_leave_no_line_in_the_log_and_others_keep_theirs(hook, emulator, caplog):
    import httpx

    with caplog.at_level(logging.INFO, logger="httpx"):
        hook.send(calls.list_batches())
        assert "HTTP Request" not in caplog.text
        httpx.get(emulator.url)
    assert "HTTP Request: GET" in caplog.text


def test_a_redirect_never_takes_the_key_along(hook, emulator, no_waiting):
    emulator.control.add_fault(kind="status", status=302, headers={"location": "http://127.0.0.1:9/steal"})

    with pytest.raises(e.RefusedError, match=r"redirect \(302\) to http://127\.0\.0\.1:9"):
        hook.get_batch("bat-1")


def test_the_project_of_the_connection_is_sent_with_every_call(emulator, connect):
    connect(password=emulator.api_key, host=emulator.url, extra={"project_id": "prj-none-of-yours"})

    with LlamaBatchHook() as hook, pytest.raises(e.PermissionDeniedError):
        hook.get_batch("bat-1")


def test_the_log_names_the_connection_before_the_first_request(emulator, connect, caplog):
    connect("of_a_team", password="llx-wrong", host=emulator.url)

    with caplog.at_level("INFO"), LlamaBatchHook("of_a_team") as hook, pytest.raises(e.AuthenticationError):
        hook.get_batch("bat-1")

    assert f"Connection of_a_team leads to {emulator.url}" in caplog.messages


@pytest.mark.parametrize(
    "text",
    [
        '{"conn_type": "llamabatch", "password": "llx-1234567890",}',
        "",
        "llx-1234567890",
        "llx-1234567890{",
        '["llx-1234567890"]',
        "{}",
        "null",
    ],
)
def test_a_variable_that_holds_no_readable_connection_is_named_and_not_shown(text, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", text)

    with pytest.raises(e.InvalidInputError, match="AIRFLOW_CONN_BROKEN is set, but") as raised:
        LlamaBatchHook("broken").get_conn()

    assert "llx-1234567890" not in str(raised.value)


@pytest.mark.parametrize("text", ['{"conn_type": "llamabatch"}', '{"password": ""}', "llamabatch://"])
def test_a_variable_that_holds_a_connection_without_a_key_is_told_of_the_key(text, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KEYLESS", text)

    with pytest.raises(e.InvalidInputError, match="connection 'keyless', password: is empty"):
        LlamaBatchHook("keyless").get_conn()


@pytest.mark.parametrize(
    ("text", "url", "project"),
    [
        ("llamabatch://:llx-1234567890@eu/?project_id=prj-1", "https://api.cloud.eu.llamaindex.ai", "prj-1"),
        ("llamabatch://:llx-1234567890@http%3A%2F%2F127.0.0.1:8791", "http://127.0.0.1:8791", None),
        (
            '{"conn_type": "llamabatch", "password": "llx-1234567890", "host": "http://127.0.0.1:8791"}',
            "http://127.0.0.1:8791",
            None,
        ),
    ],
)
def test_the_variables_in_the_page_on_connections_are_read(text, url, project, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WRITTEN", text)
    settings = LlamaBatchHook("written").get_conn().settings
    assert (settings.base_url, settings.project_id) == (url, project)


@pytest.mark.skipif(not AIRFLOW_3, reason="a script of Airflow 2 reads the database")
@pytest.mark.parametrize(
    ("process", "only_the_environment"), [(None, True), ("server", False), ("client", False)]
)
def test_a_script_that_finds_no_connection_is_told_that_it_sees_only_the_environment(
    process, only_the_environment, monkeypatch
):
    if process is None:
        monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    else:
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", process)

    with pytest.raises(e.InvalidInputError, match="there is no Airflow connection 'nope'") as raised:
        LlamaBatchHook("nope").get_conn()

    assert ("AIRFLOW_CONN_NOPE" in str(raised.value)) is only_the_environment


@pytest.mark.parametrize("conn_id", [None, 7, ["llamabatch_default"], "", " "])
async def test_what_is_no_name_of_a_connection_is_named(conn_id):
    with pytest.raises(e.InvalidInputError, match=r"^llamabatch_conn_id: must be the name"):
        LlamaBatchHook(conn_id).get_batch("bat-1")
    async with LlamaBatchHook(conn_id) as hook:
        with pytest.raises(e.InvalidInputError, match=r"^llamabatch_conn_id: must be the name"):
            await hook.aget_batch("bat-1")


def test_a_key_in_a_list_in_place_of_a_connections_name_is_not_shown():
    conn_id: Any = ["llx-abcdefghij0123456789"]
    with pytest.raises(e.InvalidInputError, match="holds an API key") as raised:
        LlamaBatchHook(conn_id).get_batch("bat-1")
    assert "llx-a" not in str(raised.value)
