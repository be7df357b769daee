"""Flows are carried out step by step: what comes back, what is thrown in, and what is cleaned up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.batches.flow import LoadRecord, Send, Sleep, Step, adrive, drive, send
from airflow_provider_llamabatch.llamacloud import calls

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.flow import Flow

CALL = calls.get_batch("bat-1")


class Story:
    """A flow that writes down what happens to it."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def flow(self) -> Flow[str]:
        try:
            self.told.append((yield Sleep(1.0)))
            try:
                yield LoadRecord()
            except OSError as error:
                self.told.append(error)
            self.told.append((yield Sleep(2.0)))
            return "the end"
        finally:
            self.told.append("closed")


async def play(story: Story, perform: Any, kind: str) -> str:
    if kind == "sync":
        return drive(story.flow(), perform)

    async def aperform(step: Step) -> Any:
        return perform(step)

    return await adrive(story.flow(), aperform)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_step_gives_is_sent_in_and_what_it_raises_is_thrown_in(kind):
    story, steps, failure = Story(), [], OSError("disk")

    def perform(step: Step) -> Any:
        steps.append(step)
        if isinstance(step, LoadRecord):
            raise failure
        return f"result {len(steps)}"

    assert await play(story, perform, kind) == "the end"
    assert steps == [Sleep(1.0), LoadRecord(), Sleep(2.0)]
    assert story.told == ["result 1", failure, "result 3", "closed"]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("failure", [ValueError("unknown"), KeyboardInterrupt()])
async def test_what_a_flow_does_not_handle_reaches_its_driver_and_closes_the_flow(kind, failure):
    story = Story()

    def perform(step: Step) -> Any:
        raise failure

    with pytest.raises(type(failure)) as raised:
        await play(story, perform, kind)
    assert raised.value is failure
    assert story.told == ["closed"]


def test_a_call_is_sent_as_it_was_asked_for():
    def flow() -> Flow[Any]:
        return (yield from send(CALL, once=True, within=3.0)), (yield from send(CALL))

    steps: list[Step] = []

    def perform(step: Step) -> int:
        steps.append(step)
        return len(steps)

    assert drive(flow(), perform) == (1, 2)
    assert steps == [Send(CALL, once=True, within=3.0), Send(CALL, once=False, within=None)]
