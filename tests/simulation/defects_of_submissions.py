"""Defects of submissions to plant: what a try decides, and in which order it does it."""

from __future__ import annotations

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow
from airflow_provider_llamabatch.batches.submit_lookups import Lookups
from airflow_provider_llamabatch.batches.submit_record import RecordKeeper
from airflow_provider_llamabatch.llamacloud import call, models, responses
from tests.simulation.changes import Change, code, value


class _AnyId(models.PlainBatch):
    """A batch whose id is not looked at."""

    id: str


_LOOK = (
    "if _mark((yield LoadRecord())) != _mark(intent.to_json()):\n        return None",
    "yield LoadRecord()",
)
_KEEP = "yield SaveRecord(record.to_json())", "yield LoadRecord()"
_AGE = "if late or self.clock() - began > defaults.MAX_INTENT_AGE:", "if False:"

SUBMISSIONS: dict[str, tuple[Change, ...]] = {
    # Submission: what a try decides
    "gone by GETs alone, without the list": (
        code(
            Lookups,
            "read",
            "shown = next((batch for batch in listed if batch.id == record.batch_id), None)",
            "shown = None",
        ),
    ),
    "gone by one 404": (
        code(
            Lookups,
            "read",
            "for pause in (0.0, defaults.CONFIRM_SECONDS):",
            "for pause in (0.0,):",
            "shown = next((batch for batch in listed if batch.id == record.batch_id), None)",
            "shown = None",
        ),
    ),
    "a new batch that cannot be read yet is gone": (value(defaults, "MISSING_GRACE", 0.0),),
    "a gateway's 404 is the API's": (
        code(responses, "_status_error", "from_api = said is not None", "from_api = True"),
    ),
    "another batch's id in a GET is accepted": (
        code(call.Call, "parse", "if self.expected_id is not None and", "if False and"),
        code(Lookups, "_get", "if batch.id != batch_id:", "if False:"),
    ),
    "a list's FAILED decides on another batch": (
        code(
            SubmitFlow,
            "_decide_by_listing",
            "return (yield from self._adopt(record, batch))",
            "if batch.is_terminal and batch.status != 'COMPLETED':\n"
            "        return Decision(Action.SUBMIT, batch.status), None, None\n"
            "    return (yield from self._adopt(record, batch))",
        ),
    ),
    "a completed batch is returned after a Clear": (
        code(submission, "decide_by_status", "if record.max_tries != max_tries:", "if False:"),
    ),
    "an automatic retry counts as a Clear": (
        code(submission, "decide_by_status", "if record.max_tries != max_tries:", "if True:"),
    ),
    "an unknown status counts as an end": (
        code(
            submission,
            "decide_by_status",
            "if not is_terminal(status):",
            "if status in ('PENDING', 'RUNNING'):",
        ),
    ),
    # Submission: the order of things
    "a process that stood still goes on to its POST": (code(RecordKeeper, "save_intent", *_LOOK, *_AGE),),
    "an old intent is acted on": (code(RecordKeeper, "save_intent", *_AGE),),
    "no look at the record before the POST": (code(RecordKeeper, "save_intent", *_LOOK),),
    "the POST before the intent is written": (
        code(RecordKeeper, "save_intent", "yield SaveRecord(intent.to_json())\n    late", "late", *_LOOK),
    ),
    "the id is not recorded": (code(RecordKeeper, "keep_id", *_KEEP),),
    "the intent is deleted on a refusal": (
        code(RecordKeeper, "take_back", "unknown=unknown)", "unknown=0)"),
    ),
    "an unknown outcome counts as none": (
        code(
            SubmitFlow,
            "_after_error",
            "self._keeper.own = replace(intent, unknown=base.unknown)",
            "self._keeper.own = replace(intent, unknown=0)",
        ),
    ),
    "a later intent forgets what is unknown": (
        code(RecordKeeper, "save_intent", "unknown=base.unknown + 1", "unknown=1"),
        code(submission, "decide_by_record", "if record.unknown:", "if record.unknown > 1:"),
    ),
    "what a list shows between intent and id is filed under seen": (
        code(submission, "_new", "seen = {*record.seen,", "seen = {*(batch.id for batch in listed),"),
    ),
    "a lost response is looked for once": (value(submission, "ADOPTION_PAUSES", (0.0,)),),
    "a lost response is looked for half a minute": (
        value(submission, "ADOPTION_PAUSES", (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)),
    ),
    "one list without it is enough": (
        value(submission, "ADOPTION_PAUSES", (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)),
    ),
    "adopted without comparing the configuration": (
        code(
            submission.Request,
            "matches",
            "and batch.config.job.configuration_id == self.configuration_id",
            "",
        ),
    ),
    "adopted without comparing the directory": (
        code(submission.Request, "matches", "batch.source_directory_id == self.source_directory_id", "True"),
    ),
    "an older batch is adopted": (
        code(
            submission,
            "_new",
            "if batch.id not in seen and (at is None or record.floor <= at <= latest):",
            "if at is None or at <= latest:",
        ),
    ),
    "an empty id is accepted": (value(models, "PlainBatch", _AnyId),),
    "the deferral before the record": (
        code(RecordKeeper, "save_intent", "yield SaveRecord(intent.to_json())\n    late", "late", *_LOOK),
        code(RecordKeeper, "keep_id", *_KEEP),
    ),
    "the id of an older batch is accepted": (
        code(submission, "answers", "batch.id not in intent.seen and", ""),
    ),
    "a record of other arguments is followed": (
        code(
            submission,
            "decide_by_record",
            'if record.fingerprint not in ("", request.fingerprint):',
            "if False:",
        ),
    ),
    "the record is not read again before the intent": (
        code(RecordKeeper, "save_intent", "if _mark((yield LoadRecord())) != self._loaded:", "if False:"),
    ),
    "a try that was overtaken submits": (
        code(SubmitFlow, "_in_rounds", "if self._keeper.overtaken:", "if False:"),
    ),
    "adopted by the worker's clock": (
        code(
            submission,
            "_new",
            "record.posted_at + 2 * defaults.LISTED_SECONDS",
            "record.posted_at + 5.0",
        ),
    ),
    "the oldest possible batch by the worker's clock": (
        code(
            submission,
            "new_intent",
            "floor = max(floor, newest - defaults.CREATED_AT_SPREAD)",
            "floor = now - defaults.CREATED_AT_SPREAD",
        ),
    ),
    "a list that failed counts as empty": (
        code(Lookups, "find", "troubles.append(error)\n", "troubles.append(None)\n"),
    ),
    "the end of an earlier try's POST is not waited for": (
        code(Lookups, "find", "min(max(under_way, 0.0), longest)", "0.0"),
    ),
    "only the first page of a directory is read": (
        code(Lookups, "directory", "if after is None:", "if True:"),
    ),
    "the grace of a new batch is turned round": (
        code(submission, "decide_by_status", "now < record.posted_at", "now > record.posted_at"),
    ),
    "a cleared task does not own what it rejoins": (
        code(SubmitFlow, "_decide_by_batch", "yield from self._keeper.own_again(record)", "pass"),
    ),
    "what the task had before may be adopted": (code(SubmitFlow, "_submit", "had=self._had", "had=''"),),
}
