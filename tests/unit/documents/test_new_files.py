from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_llamabatch.documents.new_files import Processed, version_of
from airflow_provider_llamabatch.llamacloud.models import DirectoryFile

NOW = 1_800_000_000.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def file(number: int, *, changed: int = 0) -> DirectoryFile:
    return DirectoryFile(
        id=f"dfl-{number}",
        file_id=f"file-{number}",
        updated_at=BEGAN + timedelta(hours=number, minutes=changed),
    )


def ids(files: list[DirectoryFile]) -> list[str]:
    return [one.id for one in files]


def test_a_file_is_new_until_a_batch_has_given_it_a_job():
    state = Processed()
    files = [file(2), file(1)]
    assert ids(state.new(files)) == ["dfl-1", "dfl-2"]
    state.take("dir-1", files)
    assert state.new(files) == []
    state.ended("dir-1", ["dfl-1"])
    assert ids(state.new(files)) == ["dfl-2"]


def test_a_changed_file_is_new_again_also_while_its_old_version_is_under_way():
    state = Processed()
    state.take("dir-1", [file(1)])
    assert ids(state.new([file(1, changed=5)])) == ["dfl-1"]
    state.ended("dir-1", None)
    assert state.new([file(1)]) == []
    assert ids(state.new([file(1, changed=5)])) == ["dfl-1"]


def test_a_run_takes_at_most_what_a_batch_takes_the_oldest_first():
    new = Processed().new([file(number) for number in range(1200)])
    assert len(new) == 1000
    assert new[0].id == "dfl-0"


def test_files_that_are_gone_are_forgotten_and_the_rest_survives_being_written():
    state = Processed()
    state.take("dir-1", [file(1), file(2)])
    state.ended("dir-1", None)
    state.take("dir-2", [file(3)])
    state.prune(state.missing([file(2), file(3)]))
    assert Processed.from_json(state.to_json()) == state
    assert set(state.done) == {"dfl-2"}
    assert Processed.from_json(None) == Processed()


def test_the_variable_is_compact_json():
    state = Processed({"dfl-1": "file-1@"}, {"dir-2": {"dfl-3": "file-3@"}})

    assert state.to_json() == '{"done":{"dfl-1":"file-1@"},"pending":{"dir-2":{"dfl-3":"file-3@"}}}'


def test_when_a_batch_was_about_to_be_submitted_is_kept_as_long_as_it_is_under_way():
    state = Processed()
    state.take("dir-1", [file(1)], at=7.0)
    state.take("dir-2", [file(2)], at=8.0)
    state.ended("dir-1", None)

    assert Processed.from_json(state.to_json()) == state
    assert state.taken_at == {"dir-2": 8.0}


@pytest.mark.parametrize(
    ("at", "unlisted"),
    [(NOW, True), (NOW - 3599, True), (NOW - 3600, False), (NOW + 9e9, True), (None, True)],
)
def test_a_batch_may_be_on_no_list_yet_within_an_hour_or_where_nobody_noted_when_it_was_submitted(
    at: float | None, unlisted: bool
):
    state = Processed()
    state.take("dir-1", [file(1)], at=at)

    assert state.may_be_unlisted("dir-1", NOW) is unlisted


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        "7",
        '{"pending": {}}',
        '{"done": 1}',
        '{"done": ["dfl-1"]}',
        '{"done": {"dfl-1": null}}',
        '{"done": {}, "pending": ["dir-1"]}',
        '{"done": {}, "pending": {"dir-1": ["dfl-1"]}}',
        '{"done": {}, "pending": {"dir-1": {"dfl-1": []}}}',
        '{"done": {}, "taken_at": 7}',
        '{"done": {}, "taken_at": {"dir-1": "soon"}}',
        "[" * 100_000,
    ],
)
def test_a_variable_that_somebody_else_wrote_is_an_error_not_an_empty_state(text: str):
    with pytest.raises(
        ValueError, match=r"^holds '.*, which is not what was processed of a directory$"
    ) as raised:
        Processed.from_json(text)
    assert repr(text)[:100] in str(raised.value)


def test_the_oldest_file_is_the_one_that_changed_first_whatever_its_id():
    late, early = file(1, changed=90), file(2)

    assert ids(Processed().new([late, early])) == ["dfl-2", "dfl-1"]


def test_a_batch_that_nobody_took_note_of_changes_nothing_when_it_ends():
    state = Processed()
    state.ended("dir-1", ["dfl-1"])
    assert state == Processed()


def test_a_file_without_a_date_is_told_apart_by_its_content_alone():
    assert version_of(DirectoryFile(id="dfl-1", file_id="file-1")) == "file-1@"
    assert version_of(file(1)) == "file-1@2026-01-01T01:00:00+00:00"


def test_what_got_no_job_comes_last_and_keeps_nobody_out():
    state = Processed()
    refused, good = [file(number) for number in range(1000)], [file(number) for number in range(2000, 2050)]
    state.take("dir-1", state.new(refused + good))
    state.ended("dir-1", [])
    assert ids(state.new(refused + good))[:50] == ids(good)
    assert ids(Processed.from_json(state.to_json()).new(refused + good))[:50] == ids(good)


def test_a_new_version_of_what_got_no_job_comes_in_its_turn_again():
    state = Processed()
    state.take("dir-1", [file(1)])
    state.ended("dir-1", [])
    assert ids(state.new([file(1), file(2)])) == ["dfl-2", "dfl-1"]
    assert ids(state.new([file(1, changed=5), file(2)])) == ["dfl-1", "dfl-2"]


def test_what_gets_a_job_after_all_or_is_gone_is_remembered_as_refused_no_longer():
    state = Processed()
    for with_job in ([], ["dfl-1"]):
        state.take("dir-1", [file(1), file(2)])
        state.ended("dir-1", with_job)
    assert state.missing([file(1)]) == ["dfl-2"]
    state.prune(["dfl-2"])
    assert (state.done, state.refused) == ({"dfl-1": version_of(file(1))}, {})


def test_a_batch_that_ends_late_says_nothing_of_what_a_later_run_took_in_a_newer_version():
    state = Processed()
    state.take("dir-1", [file(1), file(2)])
    state.take("dir-2", [file(1, changed=5)])
    state.ended("dir-2", ["dfl-1"])
    state.ended("dir-1", None)
    assert state.done == {"dfl-1": version_of(file(1, changed=5)), "dfl-2": version_of(file(2))}
