"""
The worker's share of a wait, as flows: poll once, poll to the end, collect the results, decide at the deadline.

No I/O here: a worker carries the steps out (``execution/batch_polling.py``), a simulation thousands of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.flow import Flow, Sleep, send
from airflow_provider_llamabatch.batches.outcome import Outcome, are_told, outcome_of
from airflow_provider_llamabatch.batches.polling import BACKOFF, PollResult, PollState, Reason
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, LlamaCloudError
from airflow_provider_llamabatch.llamacloud.statuses import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.llamacloud.models import Batch


class ResultsStayedNullError(RuntimeError):
    """The batch is COMPLETED, but its per-file results stayed null."""


@dataclass(slots=True)
class BatchPoller:
    """
    One wait for one batch. ``clock`` gives epoch seconds, as are all times of ``state``.

    ``batch`` is the batch as last read.
    """

    state: PollState
    log: Logger
    clock: Callable[[], float]
    project_id: str | None = None
    organization_id: str | None = None
    batch: Batch | None = None
    random: Callable[[], float] = field(default=random.random)

    def poll(self) -> Flow[PollResult | None]:
        """Poll once; returns how the wait ended, or None while it goes on."""
        known = self.state.status
        try:
            self.batch = yield from self._get()
        except LlamaCloudError as error:
            if self._never_worked(error):
                raise
            result = self.state.on_error(error, self.clock(), self.random)
            if result is None:
                self.log.warning(
                    "Could not poll batch %s, it will be polled again: %s", self.state.key, error
                )
            return result
        if self.batch.status != known:
            self.log.info("Batch %s is %s", self.batch.id, self.batch.status)
        return self.state.on_status(self.batch.status, self.clock())

    def wait(self) -> Flow[PollResult]:
        """Poll until the wait has ended."""
        while (result := (yield from self.poll())) is None:
            yield Sleep(max(0.0, self.state.next_poll - self.clock()))
        return result

    def conclude(self, result: PollResult) -> Flow[PollResult | Outcome]:
        """
        Return what became of the files of a completed batch, or how else the wait ended.

        A wait that timed out is polled once more: what has ended since the last poll counts. Collecting the results is
        part of the wait, so small failures are waited out until the deadline, and for ``RESULTS_GRACE`` seconds at
        least. Raises ``ResultsStayedNullError``.
        """
        if result.reason is Reason.TIMED_OUT:
            result = (yield from self.poll()) or result
        if result.reason is not Reason.COMPLETED:
            return result
        self.state.status = BatchStatus.COMPLETED
        self.state.deadline = max(self.state.deadline, self.clock() + defaults.RESULTS_GRACE)
        return (yield from self._collect())

    def finished(self) -> Flow[Outcome | None]:
        """Return what became of the files of a batch that was cancelled, read once; None where nothing tells it."""
        try:
            batch = yield from self._get(expand_results=True)
        except LlamaCloudError as error:
            self.log.warning("Could not read which files of batch %s have jobs: %s", self.state.key, error)
            return None
        return None if batch.results is None else outcome_of(batch.results)

    def _collect(self) -> Flow[PollResult | Outcome]:
        null_since: float | None = None
        failures = 0
        while True:
            now = self.clock()
            try:
                self.batch = yield from self._get(expand_results=True)
            except LlamaCloudError as error:
                if self._never_worked(error):
                    raise
                failures += 1
                result = self.state.on_error(error, self.clock(), self.random)
                if result is not None:
                    return result
                self.log.warning("Could not read the results of batch %s yet: %s", self.state.key, error)
            else:
                result = self.state.on_status(self.batch.status, self.clock())
                if result is not None and result.reason is not Reason.COMPLETED:
                    return result
                results = self.batch.results
                null_since = now if null_since is None else null_since
                if result is not None and results is not None:
                    if are_told(results) or now >= null_since + defaults.UNREAD_GRACE:
                        return outcome_of(results)
                    self.log.info(
                        "Files of batch %s have neither a job nor an error yet: asked again", self.state.key
                    )
                failures += 1
                if result is not None and now >= null_since + defaults.RESULTS_GRACE:
                    raise ResultsStayedNullError(
                        f"Batch {self.state.key} is COMPLETED, but its results stayed null for "
                        f"{now - null_since:.0f} s; a BatchSensor for this batch can ask again."
                    )
            pause, left = BACKOFF.pause(failures, self.random), self.state.deadline - self.clock()
            yield Sleep(min(pause, left) if left > 0 else pause)

    def _never_worked(self, error: LlamaCloudError) -> bool:
        """Say whether it is about a connection that could not be used at all; one that could is being changed."""
        return isinstance(error, InvalidInputError) and self.batch is None

    def _get(self, *, expand_results: bool = False) -> Flow[Batch]:
        call = calls.get_batch(
            self.state.key,
            expand_results=expand_results,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )
        left = max(defaults.MIN_REQUEST_SECONDS, self.state.deadline - self.clock())
        return (yield from send(call, once=True, within=min(defaults.POLL_TIMEOUT, left)))
