"""Arguments that take one id, several, or none."""

from __future__ import annotations

from collections import UserList
from typing import Any

import pytest

from airflow_provider_llamabatch.llamacloud.call import check_job_type, checked_ids, refuse_nothing
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (None, []),
        ("dir-1", ["dir-1"]),
        (["dir-1", "dir-2"], ["dir-1", "dir-2"]),
        (("dir-1",), ["dir-1"]),
        (UserList(["dir-1"]), ["dir-1"]),
        ([], []),
    ],
)
def test_one_id_several_and_none_are_a_list(given: Any, ids: list[str]):
    assert checked_ids("directory_id", given) == ids


@pytest.mark.parametrize("given", [7, {"dir-1": 1}, ["dir-1", None], "", "bat-1", [["dir-1"]]])
def test_anything_else_is_refused_under_the_name_of_the_argument(given: Any):
    with pytest.raises(InvalidInputError, match=r"^directory_id: "):
        checked_ids("directory_id", given)


def test_nothing_is_refused_where_something_was_given():
    with pytest.raises(InvalidInputError) as raised:
        refuse_nothing("target", None)
    assert str(raised.value) == (
        "target: must not be None (nothing: what the task before returned is not there)"
    )
    refuse_nothing("target", "")


def test_a_job_type_is_named_with_those_there_are_and_cut():
    with pytest.raises(InvalidInputError) as raised:
        check_job_type("x" * 300)
    assert str(raised.value) == f"job_type: must be one of parse_v2, extract_v2, not '{'x' * 158}"
