from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.batches.cancelling import cancel
from airflow_provider_llamabatch.batches.flow import Send, Step, drive
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import RefusedError
from airflow_provider_llamabatch.llamacloud.models import Batch

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.call import Call

SCOPE: dict[str, Any] = {"project_id": "prj-1", "organization_id": "org-1"}
REFUSED = RefusedError("it has ended", status_code=400, from_api=True)
CANCEL = calls.cancel_batch("bat-1", **SCOPE)
GET = calls.get_batch("bat-1", **SCOPE)


def cancelled(*says: str | RefusedError) -> tuple[Batch, list[Call[Any]]]:
    asked: list[Call[Any]] = []

    def perform(step: Step) -> Any:
        assert isinstance(step, Send)
        said = says[len(asked)]
        asked.append(step.call)
        if isinstance(said, RefusedError):
            raise said
        return Batch(id="bat-1", status=said)

    return drive(cancel("bat-1", **SCOPE), perform), asked


def test_a_batch_is_cancelled_in_its_project():
    batch, asked = cancelled("CANCELLING")

    assert (batch.status, asked) == ("CANCELLING", [CANCEL])


def test_a_batch_that_has_ended_is_returned_as_it_is():
    batch, asked = cancelled(REFUSED, "COMPLETED")

    assert (batch.status, asked) == ("COMPLETED", [CANCEL, GET])


def test_a_refusal_for_a_batch_that_runs_is_an_error():
    with pytest.raises(RefusedError):
        cancelled(REFUSED, "RUNNING")
