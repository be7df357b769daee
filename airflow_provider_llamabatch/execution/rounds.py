"""A batch, the wait for its jobs, and further batches over the files that failed: the rounds of one task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults, metrics, xcom
from airflow_provider_llamabatch.batches.record import DIRECTORY_KEY, RECORD_KEY
from airflow_provider_llamabatch.exceptions import (
    BatchCancelledError,
    BatchFailedError,
    BatchTimeoutError,
    FilesWithoutJobError,
    JobsFailedError,
    ResultsMissingError,
    WaitFailedError,
    fail_fast_on_permanent_errors,
)
from airflow_provider_llamabatch.execution.arguments import checked_seconds
from airflow_provider_llamabatch.execution.batch_polling import BatchPollMixin, deadline_in
from airflow_provider_llamabatch.execution.jobs_polling import JobsPollMixin, read_jobs_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_llamabatch.batches.jobs import Jobs
    from airflow_provider_llamabatch.batches.outcome import Outcome
    from airflow_provider_llamabatch.execution.batch_polling import PolledBatch
    from airflow_provider_llamabatch.execution.recurring import Recurring
    from airflow_provider_llamabatch.execution.submitting import Submitter
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

# What ends a batch of a later round without results: what the rounds before it have given is kept.
_WITHOUT_RESULTS = (
    BatchFailedError,
    BatchCancelledError,
    BatchTimeoutError,
    FilesWithoutJobError,
    ResultsMissingError,
    WaitFailedError,
)


class RoundsMixin(JobsPollMixin, BatchPollMixin):
    """
    A task that waits for the jobs of its batch and gives files that have no result further attempts.

    What is known lies in XComs (``rounds``, ``job_references``, ``file_errors``): attributes do not survive a deferral.
    A later try begins with the first round again, finds each round's batch by its record, and pays for none twice.
    """

    task_id: str
    source_directory_id: str
    configuration_id: str
    retry_configuration_id: str | None
    wait_for_jobs: bool
    max_file_attempts: int
    only_new: bool
    deferrable: bool
    execution_timeout: timedelta | None
    began: float | None = None  # epoch time at which the task came onto this worker

    if TYPE_CHECKING:

        def _submitter(
            self, hook: LlamaBatchHook, context: Context, directory_id: str, configuration_id: str, key: str
        ) -> Submitter: ...

        def _wait(self, hook: LlamaBatchHook, batch_id: str, context: Context) -> None: ...

    def recurring(self, hook: LlamaBatchHook, context: Context) -> Recurring:
        """Return what finds out what is new in the directory."""
        from airflow_provider_llamabatch.execution.recurring import Recurring

        scope = {"project_id": self.project_id, "organization_id": self.organization_id}
        return Recurring(hook, self.source_directory_id, context, self.log, scope)

    def jobs_complete(self, context: Context, event: Any) -> str:
        """Go on after the jobs' trigger has fired."""
        return self.jobs_ended(context, read_jobs_event(event))

    def jobs_ended(self, context: Context, deadline: float | None = None) -> str:
        """Read what became of each job, and go on with what failed; returns the first batch's id."""
        from airflow_provider_llamabatch.batches.jobs import Jobs
        from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            jobs = Jobs(self._pull(context, xcom.JOB_REFERENCES))
            self.read_jobs(hook, jobs, deadline)
            self._jobs_done(hook, context, jobs)
        return self._first_batch(context)

    def begin_round(
        self,
        context: Context,
        batch_id: str,
        batch_directory_id: str,
        configuration_id: str,
        origin: dict[str, str],
        *,
        earlier: Sequence[xcom.Round] = (),
    ) -> None:
        """Note a batch that was submitted, before anything is waited for."""
        self.note(batch_id=batch_id)
        this = xcom.Round(
            batch_id=batch_id,
            directory_id=self.source_directory_id,
            batch_directory_id=batch_directory_id,
            configuration_id=configuration_id,
            origin=origin,
            jobs_known=False,
        )
        xcom.push(context, xcom.ROUNDS, [*earlier, this])

    def batch_ended(self, hook: LlamaBatchHook, context: Context, references: list[Any]) -> None:
        """Go on from the job references of a round's batch: wait for the jobs."""
        from airflow_provider_llamabatch.batches.jobs import Jobs

        rounds = self._rounds(context)
        rounds[-1]["jobs_known"] = True
        outcomes = self._merge(hook, context, rounds, references)
        xcom.push(context, xcom.ROUNDS, rounds)
        if self.only_new:
            ids = [reference["source_directory_file_id"] for reference in references]
            with_job = [rounds[-1]["origin"].get(file_id, file_id) for file_id in ids]
            self.recurring(hook, context).ended(rounds[-1]["batch_directory_id"], with_job)
        jobs = Jobs(outcomes)
        deadline = deadline_in(checked_seconds("timeout", self.timeout), self.execution_timeout, self.began)
        trouble = self.look_at_jobs(hook, jobs, deadline, began=time.time())
        if self.deferrable and not jobs.have_ended:
            self.defer_jobs(jobs, deadline, "jobs_complete")
        if not jobs.have_ended:
            self._look_until(hook, jobs, deadline, trouble)
        self._jobs_done(hook, context, jobs)

    def _merge(
        self,
        hook: LlamaBatchHook,
        context: Context,
        rounds: Sequence[xcom.Round],
        references: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any]]:
        """Put the jobs of the last round in the place of those they repeat, in XCom ``job_references``."""
        from airflow_provider_llamabatch.documents.repair import merged

        outcomes = merged(
            self._looked_at_again(hook, context).outcomes() if len(rounds) > 1 else (),
            references,
            attempt=len(rounds),
            configuration=rounds[-1]["configuration_id"],
            origin=rounds[-1]["origin"],
        )
        xcom.push(context, xcom.JOB_REFERENCES, outcomes)
        return outcomes

    def _looked_at_again(self, hook: LlamaBatchHook, context: Context) -> Jobs:
        """Return the jobs known so far, asked for once: a late one may have completed during its further attempt."""
        from airflow_provider_llamabatch.batches.jobs import Jobs
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

        jobs = Jobs(self._pull(context, xcom.JOB_REFERENCES))
        try:
            self.look_at_jobs(hook, jobs, time.time() + defaults.POLL_TIMEOUT)
        except LlamaCloudError as error:
            self.log.warning("Could not look again at the jobs of earlier attempts: %s", error)
        return jobs

    def _keep_finished(
        self, hook: LlamaBatchHook, context: Context, references: list[xcom.JobReferenceEntry]
    ) -> None:
        if self.wait_for_jobs:
            self._merge(hook, context, self._rounds(context), references)
        else:
            super()._keep_finished(hook, context, references)

    def _look_until(
        self, hook: LlamaBatchHook, jobs: Jobs, deadline: float, trouble: LlamaCloudError | None
    ) -> None:
        """Wait for jobs on this worker. ``trouble`` of the last look is raised: it is no news of how the jobs ended."""
        metrics.wait_started("jobs", "worker")
        began = time.time()
        while not jobs.have_ended and (left := deadline - time.time()) > 0:
            time.sleep(min(left, checked_seconds("poll_interval", self.poll_interval)))
            trouble = self.look_at_jobs(hook, jobs, deadline, began=began)
        metrics.wait_ended("jobs", metrics.reason_for(jobs.have_ended), time.time() - began)
        if trouble is not None and not jobs.are_unread:
            raise trouble

    def round_failed(self, hook: LlamaBatchHook, context: Context, error: Exception) -> None:
        """End with what the rounds before have given when a later one gives nothing; a first one's error is raised."""
        if len(self._rounds(context)) < 2 or not isinstance(error, _WITHOUT_RESULTS):
            raise error
        self.log.warning("The files that failed stay as they are, their further attempt failed: %s", error)
        self._finish(context, self._push_outcomes(context, self._looked_at_again(hook, context)))

    def _published(self, context: Context, outcome: Outcome, polled: PolledBatch) -> list[Any]:
        """Push the files without a job of all rounds; with attempts left they are no failure yet."""
        from airflow_provider_llamabatch.documents.repair import without_job

        if self.max_file_attempts < 2 and not self.only_new:
            return super()._published(context, outcome, polled)
        rounds = self._rounds(context)
        earlier = self._pull(context, xcom.FILE_ERRORS) if len(rounds) > 1 else []
        origin = rounds[-1]["origin"]
        assert polled.poller.batch is not None
        xcom.push_batch(context, polled.poller.batch)
        errors = without_job(earlier, outcome.file_errors, outcome.job_references, origin=origin)
        xcom.push(context, xcom.FILE_ERRORS, errors)
        metrics.files_without_job(len(outcome.file_errors))
        return list(outcome.job_references)

    def _jobs_done(self, hook: LlamaBatchHook, context: Context, jobs: Jobs) -> None:
        from airflow_provider_llamabatch.batches.jobs import is_untold
        from airflow_provider_llamabatch.documents.repair import to_repeat

        outcomes = self._push_outcomes(context, jobs)
        metrics.jobs_ended(jobs.summary())
        self.note(read=[self._rounds(context)[0]["directory_id"]], job_references=outcomes)
        self.log.info("%s", jobs.line())
        alike = self.retry_configuration_id in (None, "", self.configuration_id)
        told = [outcome for outcome in outcomes if not is_untold(outcome)]
        repeat = to_repeat(told, self._pull(context, xcom.FILE_ERRORS), alike=alike)
        if repeat and len(self._rounds(context)) < self.max_file_attempts:
            self._next_round(hook, context, repeat)
        else:
            self._finish(context, outcomes)

    def _push_outcomes(self, context: Context, jobs: Jobs) -> list[dict[str, Any]]:
        outcomes = jobs.outcomes(late="it had not ended when the wait was over")
        xcom.push(context, xcom.JOB_REFERENCES, outcomes)
        xcom.push(context, xcom.SUMMARY, jobs.summary())
        return outcomes

    def _next_round(self, hook: LlamaBatchHook, context: Context, file_ids: list[str]) -> None:
        """Put the files into a follow-up directory and submit a batch over it."""
        from airflow_provider_llamabatch.execution.directory_record import DirectoryRecord
        from airflow_provider_llamabatch.execution.following import follow_up_directory

        rounds = self._rounds(context)
        first, attempt = rounds[0], len(rounds) + 1
        self.log.info("%s files have no result and get attempt %s", len(file_ids), attempt)
        name = f"attempt {attempt} at files of {first['batch_id']}"
        record = DirectoryRecord(context, f"{DIRECTORY_KEY}_{attempt}", name)
        followed = follow_up_directory(
            hook,
            first["directory_id"],
            file_ids,
            name,
            self.log,
            self.project_id,
            self.organization_id,
            known=record.load(),
            pauses=record.pauses,
            keep=record.save,
        )
        if followed is None:
            self.log.warning(
                "None of them can be put together anew: the directory does not hold them any more"
            )
            self._finish(context, self._pull(context, xcom.JOB_REFERENCES))
            return
        directory_id, origin = followed
        if self.only_new:
            self.recurring(hook, context).taken(directory_id, origin)
        configuration_id = self.retry_configuration_id or self.configuration_id
        submitter = self._submitter(hook, context, directory_id, configuration_id, f"{RECORD_KEY}_{attempt}")
        submission = submitter.submit_or_rejoin()
        batch_id = submission.batch_id
        submitted = self._pull(context, xcom.SUBMISSIONS)
        xcom.push_submission_entry(
            context, batch_id, submission.decision, submitter.request, earlier=submitted
        )
        self.begin_round(context, batch_id, directory_id, configuration_id, origin, earlier=rounds)
        self._wait(hook, batch_id, context)

    def _finish(self, context: Context, outcomes: list[dict[str, Any]]) -> None:
        from airflow_provider_llamabatch.batches.jobs import problem_with
        from airflow_provider_llamabatch.documents import usage

        errors = self._pull(context, xcom.FILE_ERRORS)
        xcom.push(context, xcom.USAGE, usage.of_outcomes(outcomes, errors))
        if errors and (self.fail_on_partial_error or not outcomes):
            raise FilesWithoutJobError(f"{len(errors)} files got no job: see XCom file_errors")
        problem = problem_with(outcomes, fail_on_partial_error=self.fail_on_partial_error)
        if problem is not None:
            raise JobsFailedError(problem)

    def _rounds(self, context: Context) -> list[xcom.Round]:
        rounds: list[xcom.Round] = self._pull(context, xcom.ROUNDS)
        return rounds

    def _first_batch(self, context: Context) -> str:
        return self._rounds(context)[0]["batch_id"]

    def _pull(self, context: Context, key: str) -> list[Any]:
        return list(xcom.pull_own(context, self.task_id, key) or ())
