"""Two writers of one target, and what a killed one leaves: a file is there whole or not at all."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.documents.upload_plan import identity_of
from airflow_provider_llamabatch.storage import Storage
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.integration.documents.conftest import Line

MOVES = 4
"""Of a write: it is opened, two pieces are written, and it is published."""


def written_in_moves(target: Path, content: bytes) -> Generator[None]:
    """Write a file, and let somebody else go on before each move."""
    with Storage(str(target))._written_whole("a.md") as file:
        yield
        for byte in content:
            file.write(bytes([byte]))
            file.flush()
            yield


@pytest.mark.parametrize("first_moves", list(itertools.combinations(range(2 * MOVES), MOVES)))
def test_two_writers_of_one_file_never_mix_whatever_their_order(target: Path, first_moves: tuple[int, ...]):
    first, second = written_in_moves(target, b"me"), written_in_moves(target, b"us")
    published = []

    for move in range(2 * MOVES):
        next(first if move in first_moves else second, None)
        published = [path.read_bytes() for path in target.glob("*.md")]
        assert published in ([], [b"me"], [b"us"])

    assert published != []
    assert [path.name for path in target.iterdir()] == ["a.md"]


def test_what_a_killed_write_left_is_taken_by_the_next_one(target: Path):
    killed = written_in_moves(target, b"me")
    next(killed)
    [left] = target.iterdir()
    killed.close()
    left.write_bytes(b"half of someth")

    Storage(str(target)).write("a.md", [b"us"])
    assert [(path.name, path.read_bytes()) for path in target.iterdir()] == [("a.md", b"us")]


@pytest.mark.usefixtures("connection")
def test_a_save_that_was_killed_while_it_wrote_down_how_far_it_was_goes_on(
    line: Line, source: Path, target: Path
):
    fill(source, {"a.txt": b"alpha"})
    line.process(line.upload(source=str(source), target=str(target)))
    ti = line.context("save")["ti"]
    identity = identity_of((ti.dag_id, ti.task_id, ti.run_id, ti.map_index))
    fill(target / ".llamabatch" / "saves" / identity, {".0123456789abcdef.part": b'{"file":"a.t'})

    assert line.save(target)["saved"] == 1
    assert rows_of(target)["a.txt"].status == "COMPLETED"
