"""One try of a submission, step by step, against a service and a store that do as they are told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_llamabatch.batches import flow
from airflow_provider_llamabatch.batches.record import Record
from airflow_provider_llamabatch.batches.submission import Request, Submission, TaskFacts
from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import Batch, Page

AT = 1_800_000_000.0
REQUEST = Request("dir-1", "cfg-1", "parse_v2", "llamabatch_default")
CREATE = calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-1")
TASK = TaskFacts(1, 2, "me", keeps_record=True)
RETRY = replace(TASK, try_number=2)
LOST = e.NoResponseError("read timed out", reached_server=True)
NOT_SENT = e.NoResponseError("connection refused", reached_server=False)
GONE = e.NotFoundError("404", status_code=404, from_api=True)
INTENT = Record(
    REQUEST.fingerprint, "other", 1, 2, posted_at=AT - 10, floor=AT - 60, seen=("old",), unknown=1
)
SUBMITTED = INTENT.submitted("bat-1", unknown=0, max_tries=2)
VERSION_1 = {  # a record as the first version wrote it, of an intent without a batch
    "version": 1,
    "fingerprint": "0" * 64,
    "seen": ["bat-old"],
    "max_tries": 2,
    "intended_at": AT,
    "batch_id": "",
}
ASK = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 5.0)  # pauses before the lists that look for a lost batch
SUBMITTING = ["load", "save", "load", "POST", "load", "save", "list"]
CAREFULLY = ["load", "save", "sleep 5", "load", "POST", "load", "save", "list"]
OVERTAKEN = "A later try of this task has taken over, so this one submits nothing and returns nothing."


def batch(batch_id: str = "bat-1", *, at: float = AT, status: str = "RUNNING", **changed: Any) -> Batch:
    values = {
        "id": batch_id,
        "status": status,
        "source_directory_id": "dir-1",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
        "created_at": datetime.fromtimestamp(at, UTC),
        **changed,
    }
    return Batch.model_validate(values)


@dataclass
class Play:
    """
    One try.

    ``posts`` and ``gets`` are what requests are answered with, in their order; ``lists`` likewise, the last one for all
    that follow. ``before`` holds what happens before the n-th step (from 1).
    """

    task: TaskFacts = TASK
    request: Request = REQUEST
    stored: Any = None
    posts: list[Any] = field(default_factory=list)
    gets: list[Any] = field(default_factory=list)
    lists: list[Any] = field(default_factory=list)
    before: dict[int, Any] = field(default_factory=dict)
    random: float = 0.5
    host: str = ""
    now: float = AT
    began: float | None = None
    steps: list[str] = field(default_factory=list)
    sent: list[flow.Send] = field(default_factory=list)
    saved: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.posts, self.gets, self.lists = [*self.posts], [*self.gets], [*self.lists]

    def run(self) -> Submission:
        """Carry the flow out."""
        submitting = SubmitFlow(
            self.request,
            CREATE,
            self.task,
            lambda: self.now,
            logging.getLogger("submitting"),
            self.host,
            random=lambda: self.random,
            began=self.began,
        )
        return flow.drive(submitting.submit_or_rejoin(), self._perform)

    def _perform(self, step: flow.Step) -> Any:
        happens = self.before.get(len(self.steps) + 1)
        if happens is not None:
            happens(self)
        if isinstance(step, flow.Sleep):
            self.steps.append(f"sleep {step.seconds:g}")
            self.now += step.seconds
            return None
        if isinstance(step, flow.LoadRecord):
            self.steps.append("load")
            return self.stored
        if isinstance(step, flow.SaveRecord):
            self.steps.append("save")
            self.saved.append(step.value)
            self.stored = step.value
            return None
        self.sent.append(step)
        return self._answer(step)

    def _answer(self, step: flow.Send) -> Any:
        if step.call is CREATE:
            self.steps.append("POST")
            answer = self.posts.pop(0)
        elif step.call.path.endswith("/batches"):
            self.steps.append("list")
            answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0] if self.lists else []
        else:
            self.steps.append(f"GET {step.call.path.rpartition('/')[2]}")
            answer = self.gets.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Page(items=answer, next_page_token=None) if isinstance(answer, list) else answer


def played(**values: Any) -> tuple[Play, Any]:
    """Play one try; returns it and what came of it, a submission or an error."""
    play = Play(**values)
    try:
        return play, play.run()
    except Exception as error:
        return play, error


def store(record: Record) -> Any:
    """Return what happens where another try writes a record in between."""

    def happens(play: Play) -> None:
        play.stored = record.to_json()

    return happens


def fail(error: Exception) -> Any:
    """Return what happens where a step cannot be done."""

    def happens(play: Play) -> None:
        play.before = {}  # the step does not count, so the next one has its number
        raise error

    return happens


def stand_still(seconds: float) -> Any:
    """Return what happens where the process gets no time."""

    def happens(play: Play) -> None:
        play.now += seconds

    return happens


def asked(*pauses: float) -> list[str]:
    """Return the steps of looking for a lost batch."""
    return [step for pause in pauses for step in (f"sleep {pause:g}", "list")]
