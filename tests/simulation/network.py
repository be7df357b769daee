"""The way between a process and the service, and everything that can go wrong on it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_llamabatch.llamacloud.errors import NoResponseError
from airflow_provider_llamabatch.llamacloud.responses import Response
from tests.simulation.service import STATUSES_UNKNOWN, TEXTS, Made, Service, detail, gateway, ok

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from airflow_provider_llamabatch.llamacloud.call import Call
    from tests.simulation.choices import Choices
    from tests.simulation.clockwork import Process

LATEST = (
    58.0  # seconds after the end of a POST by which its batch exists and is listed: less than MAX_LIST_LAG
)
STALE = 60.0  # seconds by which a read may be behind
BREAK = 0.3  # seconds that most faults take

# What can go wrong with one request, by what it is for.
ANY = (
    "refused",
    "lost before",
    "slow",
    "gateway",
    "api 5xx",
    "api 429",
    "gateway 429",
    "broken",
    "problem",
    "drips",
)
READ = ("api 404", "api 403", "api 400", "api 401", "other id", "stale", "odd status", "odd date")
LIST = ("omits", "same token", "endless", "reordered", "early", "failed early", "malformed")
POST = (
    "lost after",
    "late",
    "late effect",
    "no id",
    "odd id",
    "api 402",
    "gateway after",
    "known id",
    "twice",
)
FLAPS = "refuses the key now and then"
# What lasts for a time, by what it is for; some of it more often, since it takes more than one of them to do harm.
LASTING = {
    "any": (
        *ANY,
        *("api 404",) * 4,
        *("api 403", "stale", "failed early", "omits", "odd status", "api 402", FLAPS),
    ),
    "get": (*ANY, *("api 404",) * 4, "api 403", "stale", "odd status", "other id", FLAPS, FLAPS),
    "list": (*ANY, *("failed early", "omits") * 4, "api 403", "same token", "endless", "malformed"),
    # What a proxy does to submissions for minutes, while the service behind it makes batches all the same.
    "post": (
        *("lost after", "gateway after", "late effect", "no id", "known id", "late", "lost after"),
        *("api 402", "api 403", "refused") * 2,
        "slow",
    ),
}
KINDS = (*ANY, *READ, *LIST, *POST)


@dataclass(slots=True)
class Outage:
    """A time in which a share of the requests of a class meets with one fault. ``what``: get, list, post or any."""

    begins: float
    ends: float
    what: str
    fault: str
    share: float = 1.0


@dataclass
class Network:
    """Carries requests. ``rate`` is how likely one meets with one of the ``faults``; ``limit`` of virtual time."""

    service: Service
    choices: Choices
    rate: float = 0.0
    faults: tuple[str, ...] = ()
    outages: list[Outage] = field(default_factory=list)
    slowest: float = 0.5
    lies_of_directories: bool = True  # about how their batches ended, and by leaving one out once
    has_left_out: bool = False  # a batch of a directory, on a list of its batches
    note: Callable[[str], None] = lambda text: None
    is_noted: bool = False
    exercised: Counter[str] = field(default_factory=Counter)
    under_way: dict[int, Process] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)  # by the process's name
    is_over: bool = False
    _number: int = 0
    _gaps: set[tuple[str, str]] = field(
        default_factory=set
    )  # of process and path: its last list left one out

    async def send(
        self, process: Process, key: str, call: Call[Any], seconds: float, poster: Any
    ) -> Response:
        """Return the response; raises ``NoResponseError``, after ``seconds`` at the latest."""
        self._number = number = self._number + 1
        if self.is_over:
            raise NoResponseError("it is over", reached_server=False)
        self.sent[process.name] += 1
        answer: asyncio.Future[Response | Exception] = process.create_future()
        self.under_way[number] = process

        def deliver(said: Response | Exception) -> None:
            if not answer.done() and not process.is_dead:
                answer.set_result(said)

        fault = self._fault(call, process)
        delay = 0.02 + self.choices.between(0, self.slowest)
        if fault:
            self.exercised[fault] += 1
        if self.is_noted:
            self.note(f"{process.name}: {_short(call)}{f' meets with {fault!r}' if fault else ''}")
        said, after = self._exchange(call, key, fault, delay, seconds, poster, deliver)
        if said is not None:
            clockwork = self.service.clockwork
            clockwork.at(clockwork.now + min(after, seconds), lambda: deliver(said))
        try:
            result = await answer
        finally:
            self.under_way.pop(number, None)
        if isinstance(result, Exception):
            raise result
        return result

    def _exchange(
        self,
        call: Call[Any],
        key: str,
        fault: str,
        delay: float,
        seconds: float,
        poster: Any,
        deliver: Callable[[Response | Exception], None],
    ) -> tuple[Response | Exception | None, float]:
        """Return what is said and after how many seconds, or None where ``deliver`` is called later on."""
        clockwork = self.service.clockwork
        is_post = call.method == "POST"
        if fault in ("refused", "lost before", "drips"):
            after = seconds if fault == "drips" else BREAK
            return NoResponseError(f"{call}: {fault}", reached_server=fault != "refused"), after
        if fault == "slow":
            delay = self.choices.between(1.0, 100.0)
        elif not is_post and delay <= 1.0:

            def say() -> None:
                deliver(self._say(call, key, fault))

            clockwork.at(clockwork.now + min(delay, seconds), say)
            return None, 0.0
        if is_post:
            return self._post(call, key, fault, delay, seconds, poster, deliver)
        reply = clockwork.now + delay
        if delay >= seconds:
            return NoResponseError(f"{call}: read timed out", reached_server=True), seconds

        def early_say() -> None:  # decided early, delivered late
            said = self._say(call, key, fault)
            clockwork.at(reply, lambda: deliver(said))

        clockwork.at(clockwork.now + delay * self.choices.between(0.1, 1.0), early_say)
        return None, 0.0

    def _say(self, call: Call[Any], key: str, fault: str) -> Response:
        common = self._say_of_any(call, key, fault)
        if common is not None:
            return common
        if fault.startswith("api 4") and fault[4:].isdecimal():
            return self._detail(int(fault[4:]), key, "no")
        said = self.service.answer(call)
        if said.status == 200 and fault:
            value = json.loads(said.body)
            (self._spoil_list if "items" in value else self._spoil_batch)(value, fault, call)
            said = ok(value)
        return said

    def _say_of_any(self, call: Call[Any], key: str, fault: str) -> Response | None:  # noqa: C901, PLR0911
        choices = self.choices
        match fault:
            case "gateway" | "gateway after":
                return gateway(choices.pick((503, 502, 404, 401, 403, 500, 504, 302, 413)), key=key)
            case "problem":
                body = json.dumps({"title": "Not Found", "status": 404, "detail": "no"}).encode()
                return Response(
                    choices.pick((503, 404, 401)), {"content-type": "application/problem+json"}, body
                )
            case "api 5xx":
                return self._detail(choices.pick((500, 503, 408, 409, 425)), key, "trouble")
            case "api 429":
                wait = choices.pick(("1", "5", "100", "86400", "-1", "soon", "Wed, 21 Oct 2099 07:28:00 GMT"))
                return detail(429, "slow down", {"retry-after": wait})
            case "gateway 401" | "gateway 403" | "gateway 404":
                return gateway(int(fault[-3:]))
            case "api 429 for a day" | "api 429 for a minute":
                return detail(429, "slow down", {"retry-after": "86400" if fault.endswith("day") else "60"})
            case "api 400 with a NUL":
                return detail(400, "no\0pe \x1b[31m")
            case "gateway 429":
                return gateway(429, {"retry-after": choices.pick(("1", "30", "999999999"))})
            case "broken":
                return Response(
                    200, {}, choices.pick((b"<html>", b"", b"{", b"null", b"[]", b'{"id": 1e400}', b"\xff"))
                )
        if key != self.service.key:
            return detail(401, "Invalid API key")
        return None

    def _detail(self, status: int, key: str, otherwise: str) -> Response:
        """Return an error of the API's, which may repeat the key, as it is or as JSON may write it."""
        said = detail(status, self.choices.pick((*TEXTS, f"not with {key}")) or otherwise)
        if self._number % 2:
            escaped = "".join(f"\\u{ord(character):04x}" for character in key)
            said = replace(said, body=said.body.replace(key.encode(), escaped.encode()))
        return said

    def _spoil_batch(self, row: dict[str, Any], fault: str, call: Call[Any]) -> None:
        match fault:
            case "other id":
                row["id"] = "bat-of-somebody"
                row["status"] = self.choices.pick((row["status"], "FAILED", "COMPLETED"))
            case "odd status" if row["status"] not in ("COMPLETED", "FAILED", "CANCELLED"):
                row["status"] = self.choices.pick(STATUSES_UNKNOWN)
            case "stale" if row["id"] in self.service.batches:
                ended_at = self.service.batches[row["id"]].ends_at
                if self.service.clockwork.now < ended_at + STALE:
                    row["status"], row["results"] = "RUNNING", None
            case "odd date":
                row["created_at"] = self.choices.pick(
                    (None, "0001-01-01T00:00:00", 1e300, "\0", "3000-01-01")
                )

    def _spoil_list(self, page: dict[str, Any], fault: str, call: Call[Any]) -> None:
        rows, choices = page["items"], self.choices
        of_directory = "source_directory_id" in dict(call.query)
        match fault:
            case "omits" if rows:
                self.has_left_out |= of_directory
                del rows[choices.draw(len(rows))]
            case "same token":
                page["next_page_token"] = "o0"
            case "endless":  # a list of a directory goes on for ever, and leaves nothing out for it
                following = page["next_page_token"] if of_directory else None
                page["next_page_token"] = following or f"o{self._number}"
            case "reordered":
                rows.reverse()
            case "malformed" if rows:
                rows.insert(0, {"id": "a/b", "status": None})
            case "early" if rows and not of_directory:
                rows[choices.draw(len(rows))]["status"] = "COMPLETED"
            case "failed early" if rows and (self.lies_of_directories or not of_directory):
                rows[choices.draw(len(rows))]["status"] = choices.pick(("FAILED", "CANCELLED"))
            case _ if rows:
                self._spoil_batch(rows[choices.draw(len(rows))], fault, call) if not of_directory else None

    def _post(
        self,
        call: Call[Any],
        key: str,
        fault: str,
        delay: float,
        seconds: float,
        poster: Any,
        deliver: Callable[[Response | Exception], None],
    ) -> tuple[Response | Exception | None, float]:
        """Make the batch, or not, and say something about it."""
        refusal = self._refusal(call, key, fault)
        if refusal is not None:
            return refusal, BREAK
        clockwork, choices = self.service.clockwork, self.choices
        if fault == "late":
            delay = choices.between(1.0, seconds)
        reply = min(delay, seconds)
        effect = reply * choices.between(0.2, 1.0)
        if fault == "slow":
            effect = min(delay, seconds - 1)
        if fault == "late effect":
            reply, effect = BREAK, BREAK + choices.between(0.0, LATEST)
        shown_by = clockwork.now + reply + LATEST + 1.0

        def take_effect() -> None:
            body = cast("dict[str, Any]", call.body)
            configuration = body["config"]["job"]["configuration_id"]
            made = poster.made(body["source_directory_id"], configuration, shown_by)
            if fault == "twice":
                made = poster.made(body["source_directory_id"], configuration, shown_by, twin=made)
            said = self._say_of_post(made, call, fault) if delay < seconds else _timed_out(call)
            if fault != "late effect":
                clockwork.at(sent_at + reply, lambda: deliver(said))

        sent_at = clockwork.now
        clockwork.at(sent_at + effect, take_effect)
        if fault == "late effect":
            return gateway(choices.pick((502, 404, 503))), reply
        return None, 0.0

    def _refusal(self, call: Call[Any], key: str, fault: str) -> Response | None:
        """Return what is said to a POST that makes nothing."""
        if (
            fault in ("gateway 404", "gateway", "problem", "api 5xx", "gateway 429", "broken")
            or "api 429" in fault
        ):
            return self._say_of_any(call, key, fault)
        if fault[:5] == "api 4" and fault[4:].isdecimal():
            return detail(int(fault[4:]), "no")
        return None if key == self.service.key else detail(401, "Invalid API key")

    def _say_of_post(self, made: Made, call: Call[Any], fault: str) -> Response | Exception:
        row = self.service.row(made)
        match fault:
            case "lost after":
                return NoResponseError(f"{call}: connection reset", reached_server=True)
            case "gateway after":
                return gateway(self.choices.pick((502, 404, 403, 504, 401)))
            case "no id":
                row["id"] = self.choices.pick(("", None))
            case "odd id":
                row["id"] = self.choices.pick(("a/b", "b" * 10_000, "\u00fc", "x\0", 7))
            case "known id":
                row["id"] = self._earlier_id(made)
        return ok(row)

    def _earlier_id(self, made: Made) -> str:
        """Return the id that a proxy which repeats its last response to the same POST gives, empty without any."""
        before = [
            other for other in made.owner.batches if other is not made and other.directory == made.directory
        ]
        # In the one moment that no record guards the record is another try's, so nothing tells the ids apart.
        is_known = before and f'"{before[-1].key}"' in (made.owner.stored or "") and not made.risky
        return before[-1].key if is_known and before[-1].visible < made.at - 200.0 else ""

    def _fault(self, call: Call[Any], process: Process) -> str:
        fault = self._drawn(call)
        directory = dict(call.query).get("source_directory_id")
        if directory is None:
            return fault
        # A directory's list leaves a batch out once; that two in a row do is beyond what can be told apart.
        which, first = (process.name, directory), "page_token" not in dict(call.query)
        if fault == "omits" and not (first and self._may_leave_out and which not in self._gaps):
            fault = ""
        if fault == "omits":
            self._gaps.add(which)
        elif first:
            self._gaps.discard(which)
        return fault

    @property
    def troubles_lists(self) -> bool:
        """Say whether something may keep lists from being read at once and whole."""
        by_chance = self.rate > 0 and any(fault not in POST for fault in self.faults)
        return by_chance or any(outage.what != "post" for outage in self.outages)

    @property
    def _may_leave_out(self) -> bool:
        """Say whether lists of directories leave out: not while a GET lies as well, or nothing can be known."""
        faults = {*self.faults, *(outage.fault for outage in self.outages)}
        return self.lies_of_directories and "api 404" not in faults

    def _drawn(self, call: Call[Any]) -> str:
        if not self.faults and not self.outages:
            return ""
        now = self.service.clockwork.now
        is_list = call.path.endswith("/batches") and call.method == "GET"
        what = "post" if call.method == "POST" else "list" if is_list else "get"
        for outage in self.outages:
            is_on = outage.begins <= now < outage.ends and outage.what in ("any", what)
            if is_on and (outage.share >= 1.0 or self.choices.chance(outage.share)):
                return self.choices.pick(("", "api 401")) if outage.fault == FLAPS else outage.fault
        if self.choices.chance(self.rate):
            kinds = {"post": (*ANY, *POST), "get": (*ANY, *READ), "list": (*ANY, *READ, *LIST)}[what]
            usable = [kind for kind in self.faults if kind in kinds]
            if usable:
                return self.choices.pick(usable)
        return ""


def _short(call: Call[Any]) -> str:
    query = " ".join(f"{name}={value}" for name, value in call.query)
    return f"{call.method} {call.path.removeprefix('/api/v2')} {query}".strip()


def _timed_out(call: Call[Any]) -> NoResponseError:
    return NoResponseError(f"{call}: no complete response", reached_server=True)
