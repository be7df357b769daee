"""What a trigger does when its task is killed: cancel what it waits for, if a person has marked the task failed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import abstractmethod
from typing import TYPE_CHECKING

from airflow.triggers.base import BaseTrigger

from airflow_provider_llamabatch.airflow_compat import task_state

if TYPE_CHECKING:
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

MAX_KILL = 25.0  # seconds; Airflow gives a kill 30 s ([triggerer] on_kill_timeout)


class CancelsOnKill(BaseTrigger):
    """A trigger whose ``on_kill`` cancels what it waits for; Airflow 3.3 and newer calls it."""

    llamabatch_conn_id: str
    deadline: float | None
    cancel_on_kill: bool

    async def on_kill(self) -> None:
        """
        Cancel if a person has marked the task failed.

        Airflow cancels this coroutine again every second while it runs (seen on 3.3.2), so the work is done in a task
        of its own that is seen through.
        """
        if not self.cancel_on_kill or time.time() >= (self.deadline or float("inf")):
            return
        work = asyncio.get_running_loop().create_task(self._cancel_if_failed())
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(work)
        if not work.cancelled():
            work.result()

    async def _cancel_if_failed(self) -> None:
        """
        Cancel unless the task goes on elsewhere.

        Airflow also asks for the kill after a Clear (whose new try has rejoined the batch by then) and on a triggerer
        whose triggers were taken over, so the task's state is asked for first.
        """
        from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

        async with asyncio.timeout(MAX_KILL):
            state = await task_state(self.task_instance)
            if state != "failed":
                self.log.info("The kill cancels nothing: the task is %s, not failed", state)
                return
            async with LlamaBatchHook(self.llamabatch_conn_id) as hook:
                await self.cancel(hook)

    @abstractmethod
    async def cancel(self, hook: LlamaBatchHook) -> None:
        """Cancel it, and say in the log what came of that."""
