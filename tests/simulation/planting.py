"""Defects to plant in the real code, one at a time: the simulation must find them, or its silence means nothing."""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import polling, submission
from airflow_provider_llamabatch.batches.poller import BatchPoller
from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow
from airflow_provider_llamabatch.batches.submit_lookups import Lookups
from airflow_provider_llamabatch.batches.submit_record import RecordKeeper
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import call, models, responses, retries, transport
from airflow_provider_llamabatch.polling import backoff, lanes, loop, sweep
from airflow_provider_llamabatch.polling.entries import Agenda
from airflow_provider_llamabatch.polling.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Change:
    """In the source of ``owner.name`` each text becomes the other; a constant without any becomes ``value``."""

    owner: Any
    name: str
    texts: tuple[tuple[str, str], ...] = ()
    value: Any = None

    def made(self) -> Any:
        """Return what stands in for the attribute; raises ``ValueError`` where its source has changed meanwhile."""
        if not self.texts:
            return self.value
        function = inspect.getattr_static(self.owner, self.name)
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in self.texts:
            if source.count(old) != 1:
                raise ValueError(f"{old!r} is not once in {function.__qualname__}")
            source = source.replace(old, new)
        code = compile(source, "planted", "exec", __future__.annotations.compiler_flag)
        names: dict[str, Any] = {}
        exec(code, function.__globals__, names)  # the package's own source
        return names[self.name]


class _AnyId(models.Batch):
    """A batch whose id is not looked at."""

    id: str


def _code(owner: Any, name: str, *texts: str) -> Change:
    return Change(owner, name, tuple(zip(texts[::2], texts[1::2], strict=True)))


def _value(owner: Any, name: str, value: Any) -> Change:
    return Change(owner, name, value=value)


_LOOK = (
    "if _mark((yield LoadRecord())) != _mark(intent.to_json()):\n        return None",
    "yield LoadRecord()",
)
_KEEP = "yield SaveRecord(replace(record, try_number=self.task.try_number).to_json())", "yield LoadRecord()"
_AGE = "if late or self.clock() - began > defaults.MAX_INTENT_AGE:", "if False:"

PLANTS: dict[str, tuple[Change, ...]] = {
    # Submission: what a try decides
    "gone by GETs alone, without the list": (
        _code(
            Lookups,
            "read",
            "shown = next((batch for batch in listed if batch.id == record.batch_id), None)",
            "shown = None",
        ),
    ),
    "gone by one 404": (
        _code(
            Lookups,
            "read",
            "for pause in (0.0, defaults.CONFIRM_SECONDS):",
            "for pause in (0.0,):",
            "shown = next((batch for batch in listed if batch.id == record.batch_id), None)",
            "shown = None",
        ),
    ),
    "a new batch that cannot be read yet is gone": (_value(defaults, "MISSING_GRACE", 0.0),),
    "a gateway's 404 is the API's": (
        _code(responses, "_status_error", "from_api = said is not None", "from_api = True"),
    ),
    "another batch's id in a GET is accepted": (
        _code(call.Call, "parse", "if self.expected_id is not None and", "if False and"),
        _code(Lookups, "_get", "if batch.id != batch_id:", "if False:"),
    ),
    "a list's FAILED decides on another batch": (
        _code(
            SubmitFlow,
            "_decide_by_listing",
            "return (yield from self._decide_by_batch(adopted))",
            "tries, now = self.task.max_tries, self.clock()\n"
            "    decision = submission.decide_by_status(adopted, batch.status, max_tries=tries, now=now)\n"
            "    return decision, None, batch",
        ),
    ),
    "a completed batch is returned after a Clear": (
        _code(submission, "decide_by_status", "if record.max_tries != max_tries:", "if False:"),
    ),
    "an automatic retry counts as a Clear": (
        _code(submission, "decide_by_status", "if record.max_tries != max_tries:", "if True:"),
    ),
    "an unknown status counts as an end": (
        _code(
            submission,
            "decide_by_status",
            "if not is_terminal(status):",
            "if status in ('PENDING', 'RUNNING'):",
        ),
    ),
    # Submission: the order of things
    "a process that stood still goes on to its POST": (_code(RecordKeeper, "save_intent", *_LOOK, *_AGE),),
    "an old intent is acted on": (_code(RecordKeeper, "save_intent", *_AGE),),
    "no look at the record before the POST": (_code(RecordKeeper, "save_intent", *_LOOK),),
    "the POST before the intent is written": (
        _code(RecordKeeper, "save_intent", "yield SaveRecord(intent.to_json())\n    late", "late", *_LOOK),
    ),
    "the id is not recorded": (_code(RecordKeeper, "keep_id", *_KEEP),),
    "the intent is deleted on a refusal": (
        _code(RecordKeeper, "take_back", "unknown=unknown)", "unknown=0)"),
    ),
    "an unknown outcome counts as none": (
        _code(
            SubmitFlow,
            "_after_error",
            "self._keeper.own = replace(intent, unknown=base.unknown)",
            "self._keeper.own = replace(intent, unknown=0)",
        ),
    ),
    "a later intent forgets what is unknown": (
        _code(RecordKeeper, "save_intent", "unknown=base.unknown + 1", "unknown=1"),
        _code(submission, "decide_by_record", "if record.unknown:", "if record.unknown > 1:"),
    ),
    "what a list shows between intent and id is filed under seen": (
        _code(submission, "adoptable", "seen = set(record.seen)", "seen = {batch.id for batch in listed}"),
    ),
    "a lost response is looked for once": (_value(submission, "ADOPTION_PAUSES", (0.0,)),),
    "a lost response is looked for half a minute": (
        _value(submission, "ADOPTION_PAUSES", (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)),
    ),
    "one list without it is enough": (
        _value(submission, "ADOPTION_PAUSES", (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)),
    ),
    "adopted without comparing the configuration": (
        _code(
            submission.Request,
            "matches",
            "and batch.config.job.configuration_id == self.configuration_id",
            "",
        ),
    ),
    "adopted without comparing the directory": (
        _code(submission.Request, "matches", "batch.source_directory_id == self.source_directory_id", "True"),
    ),
    "an older batch is adopted": (
        _code(
            submission,
            "adoptable",
            "if batch.id in seen or not",
            "if not",
            "record.floor <= at <= latest",
            "at <= latest",
        ),
    ),
    "an empty id is accepted": (_value(models, "Batch", _AnyId),),
    "the deferral before the record": (
        _code(RecordKeeper, "save_intent", "yield SaveRecord(intent.to_json())\n    late", "late", *_LOOK),
        _code(RecordKeeper, "keep_id", *_KEEP),
    ),
    "the id of an older batch is accepted": (
        _code(SubmitFlow, "_submit", "if batch.id in base.seen:", "if False:"),
    ),
    # Requests and their retries
    "a POST is sent again after a read time-out": (
        _code(
            retries,
            "worth_another_attempt",
            "return surely_not_processed(error)",
            "return is_transient(error)",
        ),
        _code(SubmitFlow, "_submit", "send(self.create, once=True, within", "send(self.create, within"),
    ),
    "a lost response counts as never sent": (
        _code(retries, "surely_not_processed", "return not error.reached_server", "return True"),
    ),
    "a server's error counts as nothing made": (
        _code(
            retries,
            "surely_not_processed",
            "return isinstance(error, RateLimitedError) and error.from_api",
            "return isinstance(error, StatusError)",
        ),
    ),
    "Retry-After without a bound": (
        _code(
            backoff.Backoff, "pause", "min(retry_after or 0.0, self.max_retry_after)", "retry_after or 0.0"
        ),
    ),
    "no deadline for a request": (
        _code(transport.AsyncClient, "_seconds_for", "min(seconds, left)", "seconds"),
    ),
    "a changed key is not read again": (_code(LlamaBatchHook, "asend", "if renewed is client:", "if True:"),),
    # Waits
    "the deadline is ignored": (_code(PollState, "expired", "if now >= self.deadline:", "if False:"),),
    "a poll of a worker outlives the deadline": (
        _code(BatchPoller, "_get", "min(defaults.POLL_TIMEOUT, left)", "3000.0"),
    ),
    "one verdict ends a wait": (
        _code(PollState, "_is_final", "return False\n    if reason", "return True\n    if reason"),
    ),
    "a refused key ends waits at once": (_value(polling, "ROTATION_GRACE", 5.0),),
    "not on a list: ended": (
        _code(
            Schedule,
            "_finish",
            "if sweep.is_read or sweep.kind is not Kind.RECHECK:\n            self._enqueue_all(unseen)",
            "if sweep.is_read or sweep.kind is not Kind.RECHECK:\n            for entry in unseen:\n"
            "                ended = entry.state.on_status('COMPLETED', now)\n"
            "                entry.subscriber.publish(self._over(entry, ended))",
        ),
    ),
    "not on a list of what has ended: runs for ever": (
        _code(Schedule, "_recheck", "if len(stale) > 1:", "if True:\n        return\n    if len(stale) > 1:"),
    ),
    "a list's FAILED ends a wait": (_code(sweep, "doubted", "if source.by_keys or", "if True or"),),
    "the first poll too early": (
        _code(Schedule, "_on_row", "if now < entry.not_before:", "if False:"),
        _code(Schedule, "add", "max(entry.not_before, now)", "now"),
    ),
    "a lane that never frees a place": (
        _code(lanes.Lane, "end", "self.started_at.pop(request, None)", "pass"),
    ),
    "a lane that spins": (_code(lanes.Lane, "opens_at", "if time > now", "if time >= now - 1000"),),
    "polls on no grid": (_code(Agenda, "tick", "return self.origin + ticks * gap", "return after + 0.05"),),
    "waits that a list was read for are forgotten": (
        _code(
            Schedule, "_schedule_all", "if entry.phase is not Phase.OVER:", "if entry.phase is Phase.ASKED:"
        ),
    ),
    "the loop dies of an unknown error": (
        _code(
            loop.PollLoop,
            "_request",
            "except Exception as error:  # Airflow",
            "except ValueError as error:  # Airflow",
        ),
    ),
}


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """Have a defect in the code for as long as this context is open."""
    with contextlib.ExitStack() as stack:
        for change in PLANTS[name]:
            stack.enter_context(patch.object(change.owner, change.name, change.made()))
        yield
