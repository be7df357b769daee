"""Every call of the package against the official client's: what goes over the wire must be the same."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from llama_cloud import LlamaCloud

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from tests.support.recorder import Asked, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
from tests.support.agreement import BATCH_METHODS, KEY, PAGED, SCOPES, TABLE, minimal


@pytest.fixture(scope="module")
def server() -> Iterator[Recorder]:
    with Recorder(minimal) as running:
        yield running


@pytest.fixture
def recorder(server: Recorder) -> Recorder:
    server.answer = minimal
    server.take()
    return server


@pytest.fixture(scope="module")
def official(server: Recorder) -> Iterator[LlamaCloud]:
    with LlamaCloud(base_url=server.url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def scoped(recorder: Recorder, connect: Callable[..., None]) -> Callable[[dict[str, str]], None]:
    return lambda scope: connect(password=KEY, host=recorder.url, extra=scope)


UNOFFICIAL = {"bulk_delete_directory_files"}  # documented, and not in the official client


def public_calls() -> dict[str, inspect.Signature]:
    made = inspect.getmembers(calls, inspect.isfunction)
    signatures = {name: inspect.signature(made_by) for name, made_by in made if not name.startswith("_")}
    return {
        name: one
        for name, one in signatures.items()
        if str(one.return_annotation).startswith("Call[") and name not in UNOFFICIAL
    }


def test_the_table_holds_every_call_with_every_option():
    shown: dict[str, set[str]] = {}
    for row in TABLE:
        shown.setdefault(row.name, set()).update(row.ours)

    scope = {"project_id", "organization_id"}
    assert shown == {name: set(signature.parameters) - scope for name, signature in public_calls().items()}


def test_every_call_names_a_project_and_an_organization():
    for name, signature in public_calls().items():
        scope = {"organization_id"} if name == "list_projects" else {"project_id", "organization_id"}
        assert scope <= set(signature.parameters), name


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: "+".join(scope) or "unscoped")
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_call_says_what_the_official_client_says(row, scope, recorder, official, scoped):
    scoped(scope)
    row.ask(official, scope)
    (expected,) = recorder.take()

    with LlamaBatchHook() as hook:
        hook.send(row.call())

    assert recorder.take() == [expected]
    assert expected.authorization == f"Bearer {KEY}"


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_an_asynchronous_call_says_the_same(row, recorder, scoped):
    scoped(SCOPES[-1])
    with LlamaBatchHook() as hook:
        hook.send(row.call())
    expected = recorder.take()

    async with LlamaBatchHook() as twin:
        await twin.asend(row.call())

    assert recorder.take() == expected


@pytest.mark.parametrize("row", BATCH_METHODS, ids=str)
async def test_the_methods_of_the_hook_and_their_twins_say_the_same(row, recorder, official, scoped):
    scoped(SCOPES[-1])
    row.ask(official, SCOPES[-1])
    expected = recorder.take()

    with LlamaBatchHook() as hook:
        said = getattr(hook, row.name)(**row.ours)
        if row.name == "list_batches":
            list(said)
    assert recorder.take() == expected
    async with LlamaBatchHook() as twin:
        said = getattr(twin, f"a{row.name}")(**row.ours)
        if row.name == "list_batches":
            assert [batch async for batch in said] == []
        else:
            await said
    assert recorder.take() == expected


def test_the_hook_has_a_method_for_each_of_the_four_batch_calls():
    assert {row.name for row in BATCH_METHODS} == {
        "create_batch",
        "get_batch",
        "list_batches",
        "cancel_batch",
    }


@pytest.mark.parametrize("name", ["report.txt", "Bericht 2026 (ü).pdf", 'a"b.md', "no-suffix"])
def test_a_file_is_uploaded_from_its_path_as_the_official_client_does(
    name, recorder, official, scoped, tmp_path
):
    scoped({})
    path = tmp_path / name
    path.write_bytes(b"one\r\ntwo")
    official.beta.directories.files.upload("dir-1", upload_file=path)
    expected = recorder.take()

    with LlamaBatchHook() as hook:
        for given in (path, str(path)):
            hook.send(calls.upload_directory_file("dir-1", given))

    assert recorder.take() == expected * 2


@pytest.mark.parametrize("row", PAGED, ids=str)
def test_the_pages_of_a_list_are_asked_for_alike(row, recorder, official, scoped):
    scoped(SCOPES[-1])
    following = {"": "t/2+ü", "t/2+ü": "t3", "t3": ""}

    def paged(asked: Asked) -> Any:
        token = dict(asked.query.keys()).get("page_token", "")
        items = [{"id": f"id-{len(token)}", "status": "RUNNING", "name": "n"}]
        return {"items": items, "next_page_token": following[token]}

    recorder.answer = paged
    theirs = [item.id for item in row.ask(official, SCOPES[-1])]
    expected = recorder.take()

    with LlamaBatchHook() as hook:
        ours = [item.id for item in hook.iterate(row.call())]

    assert ours == theirs == ["id-0", "id-5", "id-2"]
    assert recorder.take() == expected


@pytest.mark.parametrize("prefix", ["", "/", "/llama", "/llama/"])
def test_a_base_url_may_have_a_path(prefix, recorder, connect):
    connect(password=KEY, host=recorder.url + prefix)
    with LlamaCloud(base_url=recorder.url + prefix, api_key=KEY, max_retries=0) as client:
        client.batches.get("bat-1", expand=["results"])
    expected = recorder.take()

    with LlamaBatchHook() as hook:
        hook.get_batch("bat-1", expand_results=True)

    assert recorder.take() == expected
