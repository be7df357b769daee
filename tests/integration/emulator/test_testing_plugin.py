"""The fixtures of the pytest plugin, asked for as a user's test would."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("as_list", [True, False])
def test_files_of_one_name_in_two_folders_are_two_documents(
    llamacloud, llamacloud_directory, tmp_path, as_list
):
    paths = [tmp_path / folder / "invoice.md" for folder in ("march", "april")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"# {path.parent.name}")
    llamacloud_directory(paths) if as_list else llamacloud_directory(*paths)
    (directory,) = llamacloud.control.state()["directories"]
    assert directory["files"] == 2


def test_time_that_was_turned_stays_turned_when_what_ran_raises(llamacloud):
    def run() -> None:
        with llamacloud.turned_time() as time:
            time.turn(3600)
            raise RuntimeError("the DAG cannot be run")

    began = llamacloud.control.now()
    with pytest.raises(RuntimeError):
        run()
    assert llamacloud.control.now() >= began + 3600


def test_a_clock_that_stands_still_is_not_moved_by_time_that_was_turned(llamacloud):
    llamacloud.control.freeze()
    began = llamacloud.control.now()
    with llamacloud.turned_time() as time:
        time.turn(3600)
    assert llamacloud.control.now() == began
