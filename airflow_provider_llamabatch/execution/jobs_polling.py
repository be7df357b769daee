"""What sensor and operator share of a wait for jobs: look in bulk, defer, go on after the trigger has fired."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_llamabatch import defaults, metrics
from airflow_provider_llamabatch.batches.polling import BACKOFF, PollState, verdict_of
from airflow_provider_llamabatch.exceptions import WaitFailedError
from airflow_provider_llamabatch.execution.arguments import checked_seconds
from airflow_provider_llamabatch.execution.deferring import warn_without_triggerer
from airflow_provider_llamabatch.lineage import LineageMixin

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.batches.jobs import Jobs
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
    from airflow_provider_llamabatch.llamacloud.models import JobStatusRow
    from airflow_provider_llamabatch.polling import sources


class JobsPollMixin(LineageMixin):
    """A task that waits for jobs; the attributes are the arguments that operator and sensor share."""

    llamabatch_conn_id: str
    project_id: str | None
    organization_id: str | None
    poll_interval: Any
    cancel_on_kill: bool

    if TYPE_CHECKING:

        @property
        def log(self) -> Logger:
            """Return the task's log."""

    def look_at_jobs(
        self, hook: LlamaBatchHook, jobs: Jobs, deadline: float, *, began: float | None = None
    ) -> LlamaCloudError | None:
        """
        Ask for all jobs that are not known to have ended, a hundred per request, several requests at once.

        What a list does not show is asked for by GET. Where the API has no such job it is lost, unless the wait
        ``began`` (epoch seconds) so lately that the job may not be readable yet.
        Returns trouble that may pass and raises what the API itself decides and repeats. Where others were read,
        ``jobs.are_unread`` says that the trouble is with single jobs.
        At the ``deadline`` (epoch seconds) each request has a second left.
        """
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

        requests = list(jobs.requests())
        jobs.unread({})
        try:
            rows = self._listed(hook, requests, deadline)
        except LlamaCloudError as error:
            if verdict_of(error) is not None:
                raise
            self.log.warning("Could not look at the jobs: %s", error)
            return error
        shown = {row.id for row in rows}
        missing = {job_id: type for type, ids in requests for job_id in ids if job_id not in shown}
        trouble = None
        try:
            found, absent, errors = self._asked_for(hook, missing, deadline)
            rows += found
            jobs.unread({job_id: str(error) for job_id, error in errors.items()})
            trouble = next(iter(errors.values()), None)
            if absent and time.time() >= (began or 0.0) + defaults.MISSING_GRACE:
                time.sleep(defaults.CONFIRM_SECONDS)
                _, gone, _ = self._asked_for(hook, {job_id: missing[job_id] for job_id in absent}, deadline)
                jobs.lost(gone)
        except LlamaCloudError as error:
            self.log.warning("Could not look at the jobs that no list shows: %s", error)
            trouble = error
        if jobs.saw(rows):
            self.log.info("%s", jobs.line())
        return trouble

    def _listed(
        self, hook: LlamaBatchHook, requests: list[tuple[str, list[str]]], deadline: float
    ) -> list[JobStatusRow]:
        """Return what the lists say; what the API itself decides is asked again, as in any wait, before it counts."""
        from airflow_provider_llamabatch.execution.concurrency import send_all
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError, ResponseTooLargeError
        from airflow_provider_llamabatch.polling.sources import Query

        calls = [self._source(type).bulk(Query(keys=tuple(ids)), len(ids)) for type, ids in requests]
        now = time.time()
        doubt = PollState(
            "jobs", deadline, defaults.MIN_POLL_INTERVAL, since=now, next_poll=now, missing_grace=0
        )
        while True:
            try:
                with metrics.polling("list_page", len(calls)):
                    pages = send_all(hook, calls, within=_seconds_until(deadline))
            except ResponseTooLargeError as error:
                self.log.warning("The jobs are asked for one by one: %s", error)
                return []
            except LlamaCloudError as error:
                if verdict_of(error) is None or doubt.on_error(error, time.time(), random.random):
                    raise
                self.log.warning("The jobs are asked for again: %s", error)
                time.sleep(max(0.0, doubt.next_poll - time.time()))
            else:
                return [row for page in pages for row in page.items]

    def _asked_for(
        self, hook: LlamaBatchHook, job_types: Mapping[str, str], deadline: float
    ) -> tuple[list[JobStatusRow], list[str], dict[str, LlamaCloudError]]:
        """Ask for jobs by id; return what was said of them, the ids that the API does not have, and other errors."""
        from airflow_provider_llamabatch.execution.concurrency import send_each
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError, NotFoundError

        if not job_types:
            return [], [], {}
        calls = [self._source(type).get(job_id) for job_id, type in job_types.items()]
        with metrics.polling("get", len(calls)):
            told = send_each(hook, calls, within=_seconds_until(deadline))
        rows: list[JobStatusRow] = []
        absent: list[str] = []
        errors: dict[str, LlamaCloudError] = {}
        for job_id, one in zip(job_types, told, strict=True):
            if not isinstance(one, LlamaCloudError):
                rows.append(getattr(one, "job", one))  # one parse job comes in an envelope
            elif isinstance(one, NotFoundError) and one.from_api:
                absent.append(job_id)
            else:
                errors[job_id] = one
        if errors:
            some = next(iter(errors.values()))
            self.log.warning(
                "Of %s jobs that no list shows %s could not be read: %s", len(told), len(errors), some
            )
        return rows, absent, errors

    def _source(self, job_type: str) -> sources.Jobs:
        from airflow_provider_llamabatch.polling import sources

        return sources.Jobs(job_type, self.project_id, self.organization_id)

    def read_jobs(self, hook: LlamaBatchHook, jobs: Jobs, deadline: float | None = None) -> None:
        """
        Look at the jobs after the wait, and wait out trouble until its deadline, ``RESULTS_GRACE`` at least.

        Trouble with single jobs keeps the others for ``UNREAD_GRACE`` at most.
        """
        began, failures = time.time(), 0
        until = max(deadline or 0.0, began + defaults.RESULTS_GRACE)
        while (trouble := self.look_at_jobs(hook, jobs, until)) is not None:
            failures += 1
            pause = BACKOFF.pause(failures, random.random)
            if jobs.are_unread and time.time() + pause >= began + defaults.UNREAD_GRACE:
                return
            if time.time() + pause >= until:
                raise trouble
            time.sleep(pause)

    def ask_for_credits(self, hook: LlamaBatchHook, outcomes: list[dict[str, Any]]) -> None:
        """Put what each job cost into its outcome: lists do not tell, so it takes a request per job."""
        from airflow_provider_llamabatch.batches.jobs import can_be_asked_for
        from airflow_provider_llamabatch.documents.results import credits_in
        from airflow_provider_llamabatch.execution.concurrency import send_each
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

        gets: dict[str, Callable[..., Any]] = {
            "parse_v2": calls.get_parse_job,
            "extract_v2": calls.get_extract_job,
        }
        scope = {"project_id": self.project_id, "organization_id": self.organization_id}
        known = [outcome for outcome in outcomes if can_be_asked_for(outcome["job_reference"])]
        jobs = [outcome["job_reference"] for outcome in known]
        asks: list[Any] = [gets[job["type"]](job["id"], expand=("usage",), **scope) for job in jobs]
        try:
            told = send_each(hook, asks)
        except LlamaCloudError as error:
            self.log.warning("What the jobs cost cannot be told: %s", error)
            return
        for outcome, job in zip(known, told, strict=True):
            if isinstance(job, LlamaCloudError):
                self.log.warning("What one of the jobs cost cannot be told: %s", job)
                continue
            outcome["credits"] = credits_in(getattr(job, "job", job).usage)

    def defer_jobs(self, jobs: Jobs, deadline: float, method_name: str) -> None:
        """Hand the wait over to the triggerer; Airflow's own timeout lies behind the deadline."""
        from airflow_provider_llamabatch.triggers.jobs import JobsTrigger

        warn_without_triggerer(self.log)
        now = time.time()
        interval = max(checked_seconds("poll_interval", self.poll_interval), defaults.MIN_POLL_INTERVAL)
        trigger = JobsTrigger(
            job_ids=jobs.pending(),
            llamabatch_conn_id=self.llamabatch_conn_id,
            poll_interval=interval,
            deadline=deadline,
            first_look_at=now + max(defaults.FIRST_POLL_AFTER, min(interval, 3 * defaults.FIRST_POLL_AFTER)),
            since=now,
            cancel_on_kill=self.cancel_on_kill,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )
        metrics.wait_started("jobs", "triggerer")
        backstop = max(0.0, deadline - now) + 2 * interval + defaults.BACKSTOP
        cast("BaseOperator", self).defer(
            trigger=trigger, method_name=method_name, timeout=timedelta(seconds=backstop)
        )


def read_jobs_event(event: Any) -> float | None:
    """Return the deadline that a ``JobsTrigger``'s event tells; ``WaitFailedError`` for anything that is none."""
    if not isinstance(event, Mapping) or not isinstance(event.get("jobs"), int):
        raise WaitFailedError(f"The task was resumed with {event!r:.200}, which is not an event about jobs")
    deadline = event.get("deadline")
    return deadline if isinstance(deadline, float) and isfinite(deadline) else None


def _seconds_until(deadline: float) -> float:
    return min(defaults.POLL_TIMEOUT, max(defaults.MIN_REQUEST_SECONDS, deadline - time.time()))
