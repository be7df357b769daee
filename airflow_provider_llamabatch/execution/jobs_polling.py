"""What sensor and operator share of a wait for jobs: look in bulk, defer, go on after the trigger has fired."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_llamabatch import defaults, metrics
from airflow_provider_llamabatch.batches.polling import BACKOFF, verdict_of
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

    def look_at_jobs(self, hook: LlamaBatchHook, jobs: Jobs, deadline: float) -> LlamaCloudError | None:
        """
        Ask for all jobs that are not known to have ended, a hundred per request, several requests at once.

        Returns trouble that may pass, which is no news of the jobs, and raises what the API itself decides. At the
        ``deadline`` (epoch seconds) each request has a second left.
        """
        from airflow_provider_llamabatch.execution.concurrency import send_all
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
        from airflow_provider_llamabatch.polling import sources

        calls = [
            sources.Jobs(job_type, self.project_id, self.organization_id).bulk(
                sources.Query(keys=tuple(ids)), len(ids)
            )
            for job_type, ids in jobs.requests()
        ]
        within = min(defaults.POLL_TIMEOUT, max(defaults.MIN_REQUEST_SECONDS, deadline - time.time()))
        try:
            with metrics.polling("list_page", len(calls)):
                pages = send_all(hook, calls, within=within)
        except LlamaCloudError as error:
            if verdict_of(error) is not None:
                raise
            self.log.warning("Could not look at the jobs: %s", error)
            return error
        if jobs.saw(row for page in pages for row in page.items):
            self.log.info("%s", jobs.line())
        return None

    def read_jobs(self, hook: LlamaBatchHook, jobs: Jobs) -> None:
        """Look at the jobs after the wait for them, and wait out trouble for ``RESULTS_GRACE`` seconds."""
        until, failures = time.time() + defaults.RESULTS_GRACE, 0
        while (trouble := self.look_at_jobs(hook, jobs, until)) is not None:
            failures += 1
            pause = BACKOFF.pause(failures, random.random)
            if time.time() + pause >= until:
                raise trouble
            time.sleep(pause)

    def ask_for_credits(self, hook: LlamaBatchHook, outcomes: list[dict[str, Any]]) -> None:
        """Put what each job cost into its outcome: lists do not tell, so it takes a request per job."""
        from airflow_provider_llamabatch.batches.jobs import can_be_asked_for
        from airflow_provider_llamabatch.documents.results import credits_in
        from airflow_provider_llamabatch.execution.concurrency import send_all
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
            told = send_all(hook, asks)
        except LlamaCloudError as error:
            self.log.warning("What the jobs cost cannot be told: %s", error)
            return
        for outcome, job in zip(known, told, strict=True):
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


def check_jobs_event(event: Any) -> None:
    """Raise ``WaitFailedError`` for anything that is not the event of a ``JobsTrigger``."""
    if not isinstance(event, Mapping) or not isinstance(event.get("jobs"), int):
        raise WaitFailedError(f"The task was resumed with {event!r:.200}, which is not an event about jobs")
