"""A directory that mirrors its source: only what is surely gone from the source is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch.exceptions import DocumentsRefusedError
from airflow_provider_llamabatch.llamacloud import calls
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")


@pytest.fixture
def mirroring(hook: LlamaBatchHook, source: Path, new_line: Callable[[str], Line]) -> dict[str, Any]:
    """Return the arguments of a mirror that holds ``a.txt`` and ``b.txt``."""
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    directory_id = hook.send(calls.create_directory(name="stays", type="user")).id
    arguments: dict[str, Any] = {
        "source": str(source), "directory_id": directory_id, "changed_only": True, "mirror": True
    }  # fmt: skip
    new_line("one").upload(**arguments)
    return arguments


@pytest.mark.parametrize(
    ("if_empty", "error"), [("fail", DocumentsRefusedError), ("skip", AirflowSkipException)]
)
def test_an_empty_folder_may_be_a_share_that_is_not_mounted_so_nothing_is_removed(
    new_line: Callable[[str], Line], source: Path, mirroring: dict[str, Any], if_empty: str, error: type
):
    for name in ("a.txt", "b.txt"):
        (source / name).unlink()
    line = new_line("two")
    with pytest.raises(error, match="no file to process"):
        line.upload(**mirroring, if_empty=if_empty)
    assert line.names_in([mirroring["directory_id"]]) == ["a.txt", "b.txt"]


def test_an_empty_folder_that_is_meant_to_be_empties_the_mirror(
    new_line: Callable[[str], Line], source: Path, mirroring: dict[str, Any]
):
    for name in ("a.txt", "b.txt"):
        (source / name).unlink()
    line = new_line("two")
    assert line.upload(**mirroring, if_empty="succeed") == []
    assert line.names_in([mirroring["directory_id"]]) == []


def test_a_file_that_is_refused_is_not_gone_so_its_earlier_copy_stays_and_is_processed(
    new_line: Callable[[str], Line], source: Path, target: Path, mirroring: dict[str, Any]
):
    (source / "a.txt").unlink()
    (source / "b.txt").write_bytes(b"")  # being written anew
    fill(source, {"c.txt": b"gamma"})
    line = new_line("two")
    ids = line.upload(**mirroring, target=str(target))
    assert line.names_in(ids) == ["b.txt", "c.txt"]
    line.process(ids)
    line.save(target)
    assert {name: row.status for name, row in rows_of(target).items()} == {
        "b.txt": "COMPLETED", "c.txt": "COMPLETED"
    }  # fmt: skip


def test_reuse_is_refused_for_a_directory_whose_files_a_batch_takes_all(
    new_line: Callable[[str], Line], target: Path, mirroring: dict[str, Any]
):
    with pytest.raises(ValueError, match="reuse=True and directory_id exclude each other"):
        new_line("two").upload(**mirroring, target=str(target), reuse=True, configuration_id="cfg-1")
