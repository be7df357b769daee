"""A 404 that a gateway on the way made says nothing about what LlamaCloud has, so nothing goes by it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.execution.following import follow_up_directory
from airflow_provider_llamabatch.execution.saving import Saver
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import NotFoundError
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection", "no_waiting")

A_PAGE = {"kind": "html", "status": 404}


def test_a_directory_is_deleted_only_by_the_apis_own_word(
    context: Any, emulator: LlamaCloudEmulator, hook: LlamaBatchHook, make_directory: Callable[..., str]
):
    delete = DeleteDirectoryOperator(task_id="delete", directory_id=make_directory())
    page = emulator.control.add_fault(method="DELETE", path="/directories/", **A_PAGE)

    with pytest.raises(NotFoundError):
        delete.execute(context)

    emulator.control.remove_fault(page)
    assert len(list(hook.iterate(calls.list_directories()))) == 1
    for _ in range(2):  # the second time it is gone, as the API says itself
        assert delete.execute(context) == [delete.directory_id]
    assert list(hook.iterate(calls.list_directories())) == []


def test_an_outdated_file_counts_as_removed_only_by_the_apis_own_word(
    new_line: Callable[[str], Line], source: Path, emulator: LlamaCloudEmulator, hook: LlamaBatchHook
):
    fill(source, {"a.txt": b"first"})
    directory_id = hook.send(calls.create_directory(name="inbox", type="user")).id
    arguments = {"source": str(source), "directory_id": directory_id}
    new_line("first").upload(**arguments)
    fill(source, {"a.txt": b"second"})
    page = emulator.control.add_fault(method="DELETE", path="/files/", **A_PAGE)

    line = new_line("second")
    with pytest.raises(NotFoundError):
        line.upload(**arguments)

    emulator.control.remove_fault(page)
    assert line.names_in(line.upload(**arguments)) == ["a.txt"]
    assert line.contexts["upload"]["ti"].xcoms["upload"]["removed"] >= 1


def test_a_surplus_file_has_left_the_follow_up_directory_only_by_the_apis_own_word(
    emulator: LlamaCloudEmulator, hook: LlamaBatchHook, make_directory: Callable[..., str]
):
    directory_id = make_directory(2)
    ids = [file.id for file in hook.iterate(calls.list_directory_files(directory_id))]

    def follow_up(file_ids: list[str]) -> str:
        log: Any = logging.getLogger()
        followed = follow_up_directory(hook, directory_id, file_ids, "again", log, None, None)
        assert followed is not None
        return followed[0]

    again = follow_up(ids)
    page = emulator.control.add_fault(method="DELETE", path="/files/", **A_PAGE)

    with pytest.raises(NotFoundError):
        follow_up(ids[:1])

    emulator.control.remove_fault(page)
    assert follow_up(ids[:1]) == again
    held = list(hook.iterate(calls.list_directory_files(again)))
    assert [file.unique_id for file in held] == ids[:1]


def test_a_job_whose_result_is_gone_is_gone_itself_only_by_the_apis_own_word(
    line: Line,
    source: Path,
    target: Path,
    emulator: LlamaCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
):
    fill(source, {"a.txt": b"a"})
    line.process(line.upload(source=str(source), target=str(target)))
    emulator.control.change(results_expire_seconds=0)
    ask = Saver._ask

    async def ask_behind_a_gateway(self: Saver, row: Any, wanted: tuple[str, ...]) -> Any:
        if not wanted:
            raise NotFoundError("<html>", status_code=404)
        return await ask(self, row, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(Saver, "_ask", ask_behind_a_gateway)
        with pytest.raises(NotFoundError, match="<html>"):
            line.save(target)

    assert line.save(target)["failed"] == 1  # and now by the API's word
    assert "expired" in rows_of(target)["a.txt"].error
