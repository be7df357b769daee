"""Defects of requests, their retries, and waits to plant."""

from __future__ import annotations

from airflow_provider_llamabatch.batches import polling, submit_flow
from airflow_provider_llamabatch.batches.poller import BatchPoller
from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import responses, retries, transport
from airflow_provider_llamabatch.llamacloud.redaction import Redactor
from airflow_provider_llamabatch.polling import backoff, lanes, loop, sweep
from airflow_provider_llamabatch.polling.entries import Agenda
from airflow_provider_llamabatch.polling.schedule import Schedule
from airflow_provider_llamabatch.triggers import batch as trigger_module
from tests.simulation.changes import Change, code, value

REQUESTS: dict[str, tuple[Change, ...]] = {
    "a POST is sent again after a read time-out": (
        code(
            retries,
            "worth_another_attempt",
            "return surely_not_processed(error)",
            "return is_transient(error)",
        ),
        code(SubmitFlow, "_submit", "send(self.create, once=True, within", "send(self.create, within"),
    ),
    "a lost response counts as never sent": (
        code(retries, "surely_not_processed", "return not error.reached_server", "return True"),
    ),
    "a server's error counts as nothing made": (
        code(
            retries,
            "surely_not_processed",
            "return isinstance(error, RateLimitedError) and error.from_api",
            "return isinstance(error, StatusError)",
        ),
    ),
    "Retry-After without a bound": (
        code(backoff.Backoff, "pause", "min(retry_after or 0.0, self.max_retry_after)", "retry_after or 0.0"),
    ),
    "no deadline for a request": (
        code(transport.AsyncClient, "_seconds_for", "min(seconds, left)", "seconds"),
    ),
    "a changed key is not read again": (code(LlamaBatchHook, "asend", "if renewed is client:", "if True:"),),
    "the connection is never read again": (
        code(LlamaBatchHook, "asend", "self._open(refused=client)", "self._open(refused=None)"),
    ),
    "a gateway's error to a POST is a refusal": (
        code(retries, "is_transient", "return not error.from_api or isinstance(", "return isinstance("),
    ),
    "a broken response to a POST is a refusal": (
        code(
            submit_flow,
            "outcome_unknown",
            "return is_transient(error)",
            "return not isinstance(error, InvalidResponseError) and is_transient(error)",
        ),
    ),
    "a gateway's problem is the API's": (
        code(responses, "_detail_of", "or _PROBLEM_KEYS & body.keys()", ""),
    ),
    "nothing is redacted": (code(Redactor, "redact", "if not self._secrets:", "if True:"),),
    "pauses without a ceiling": (
        code(
            backoff.Backoff,
            "pause",
            "min(self.max_ceiling, self.first_ceiling",
            "max(0.0, self.first_ceiling",
        ),
    ),
}

WAITS: dict[str, tuple[Change, ...]] = {
    "the deadline is ignored": (code(PollState, "expired", "if now >= self.deadline:", "if False:"),),
    "a poll of a worker outlives the deadline": (
        code(BatchPoller, "_get", "min(defaults.POLL_TIMEOUT, left)", "3000.0"),
    ),
    "one verdict ends a wait": (
        code(PollState, "_is_final", "return False\n    if reason", "return True\n    if reason"),
    ),
    "a refused key ends waits at once": (value(polling, "ROTATION_GRACE", 5.0),),
    "not on a list: ended": (
        code(
            Schedule,
            "_finish",
            "if sweep.is_read or sweep.kind is not Kind.RECHECK:\n            self._enqueue_all(unseen)",
            "if sweep.is_read or sweep.kind is not Kind.RECHECK:\n            for entry in unseen:\n"
            "                ended = entry.state.on_status('COMPLETED', now)\n"
            "                entry.subscriber.publish(self._over(entry, ended))",
        ),
    ),
    "not on a list of what has ended: runs for ever": (
        code(Schedule, "_recheck", "if len(stale) > 1:", "if True:\n        return\n    if len(stale) > 1:"),
    ),
    "a list's FAILED ends a wait": (code(sweep, "doubted", "if source.by_keys or", "if True or"),),
    "the first poll too early": (
        code(Schedule, "_on_row", "if now < entry.not_before:", "if False:"),
        code(Schedule, "add", "max(entry.not_before, now)", "now"),
    ),
    "a lane that never frees a place": (
        code(lanes.Lane, "end", "self.started_at.pop(request, None)", "pass"),
    ),
    "a lane that spins": (code(lanes.Lane, "opens_at", "if time > now", "if time >= now - 1000"),),
    "polls on no grid": (code(Agenda, "tick", "return self.origin + ticks * gap", "return after + 0.05"),),
    "waits that a list was read for are forgotten": (
        code(
            Schedule, "_schedule_all", "if entry.phase is not Phase.OVER:", "if entry.phase is Phase.ASKED:"
        ),
    ),
    "the loop dies of an unknown error": (
        code(
            loop.PollLoop,
            "_request",
            "except Exception as error:  # Airflow",
            "except ValueError as error:  # Airflow",
        ),
    ),
    "a doubt outlives a good answer": (
        code(
            PollState,
            "on_status",
            'self.failures, self.doubted = status, "", 0, None',
            'self.failures = status, "", 0',
        ),
    ),
    "a doubt of the key outlives its being accepted": (
        code(PollState, "on_accepted", "self.doubted = None", "pass"),
    ),
    "the next poll lies behind the deadline": (
        code(PollState, "expired", "self.next_poll = min(self.next_poll, self.deadline)", "pass"),
    ),
    "what has timed out is not polled once more": (
        code(BatchPoller, "conclude", "result = (yield from self.poll()) or result", "pass"),
    ),
    "waits that a list has failed for are forgotten": (
        code(
            Schedule,
            "_give_up",
            "self._enqueue_all(entry for entry in sweep.entries if entry.phase is Phase.SWEPT)",
            "pass",
        ),
    ),
    "waits whose lists are asked for anew are forgotten": (
        code(Schedule, "_restart", "self._due += entries", "pass"),
    ),
    "who joins wakes the loop only for what is later": (
        code(
            loop.PollLoop,
            "join",
            "default=self._wake_at) < self._wake_at",
            "default=self._wake_at) > self._wake_at",
        ),
    ),
    "an answer does not wake the loop": (code(loop.PollLoop, "_request", "self._wake.set()", "pass"),),
    "the first poll by the worker's clock": (
        Change(
            trigger_module,
            "wait_state",
            texts=(
                (
                    "next_poll=first_poll(first_look_at, since, now)",
                    "next_poll=loop_time(first_look_at or now, now)",
                ),
            ),
        ),
    ),
}
