"""What an answer proves, and what it does not."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.evidence import of_directory, unless_gone
from airflow_provider_llamabatch.llamacloud.errors import NotFoundError, UnavailableError
from airflow_provider_llamabatch.llamacloud.models import Batch


def test_the_apis_own_404_ends_what_is_done_and_no_other_error_does():
    with unless_gone():
        raise NotFoundError("gone", status_code=404, from_api=True)
    for error in (NotFoundError("<html>", status_code=404), UnavailableError("busy", status_code=503)):
        with pytest.raises(type(error)), unless_gone():
            raise error


@pytest.mark.parametrize(
    ("directories", "found"),
    [
        ([], []),
        (["dir-1", "dir-1"], [0, 1]),
        ([None, None], [0, 1]),
        ([None, "dir-1"], [1, 0]),
        (["dir-2", "dir-1"], [1]),
        ([None, "dir-1", "dir-2"], [1]),
        ([None, "dir-2"], []),
    ],
)
def test_a_row_without_a_directory_is_of_the_one_that_was_asked_for_unless_others_are_listed_too(
    directories: list[str | None], found: list[int]
):
    listed = [
        Batch(id=f"bat-{number}", status="COMPLETED", source_directory_id=directory)
        for number, directory in enumerate(directories)
    ]

    assert [batch.id for batch in of_directory(listed, "dir-1")] == [f"bat-{number}" for number in found]


def test_a_list_is_read_no_further_than_to_the_first_batch_that_is_wanted():
    listed = iter(
        [Batch(id=f"bat-{number}", status="RUNNING", source_directory_id="dir-1") for number in range(2)]
    )

    assert next(of_directory(listed, "dir-1")).id == "bat-0"
    assert next(listed).id == "bat-1"
