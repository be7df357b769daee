"""The simulated LlamaCloud: what it knows to be true, and what it says to a request when all is well."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud.responses import Response
from tests.simulation.clockwork import EPOCH

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.call import Call
    from tests.simulation.choices import Choices
    from tests.simulation.clockwork import Clockwork

TEXTS = ("", "plain", "no\0pe", "\x1b[31mred\x1b[0m\r\nline", "\u202egnirts", "x" * 5000, "\ud800")
STATUSES_UNKNOWN = ("RUNNING", "PAUSED", "\x1b[2JCOMPLETED", "C" * 100_000, "completed\n")
DATES_ODD = (None, "0001-01-01T00:00:00Z", "not a date", "9999-12-31T23:59:59+00:00", 1e300)
JSON_HEADERS = {"content-type": "application/json"}


@dataclass(eq=False)
class Made:
    """A batch as it truly is. Times are virtual seconds; ``owner`` made it, None for a stranger's."""

    key: str
    owner: Any
    poster: Any
    directory: str
    configuration: str
    at: float
    created: float  # epoch seconds by the service's clock
    visible: float  # when lists begin to show it
    ends_at: float
    end: str
    risky: bool = False  # paid for in the one moment that no record can guard
    is_late: bool = False  # lists show it later than is documented
    is_given_up: bool = False  # another one was paid for in its place, since no list showed it
    gone_at: float = float("inf")
    results_at: float = 0.0
    message: str | None = None
    odd_date: int = 0
    has_twin: bool = False  # its POST was carried out twice
    owned_at: float = 0.0  # when a try has rejoined it
    shown: dict[tuple[str, bool, bool], str] = field(default_factory=dict)  # as JSON, by what it depends on

    def status(self, now: float) -> str:
        if now >= self.ends_at:
            return self.end
        return "PENDING" if now < self.at + 2.0 else "RUNNING"


@dataclass
class Habits:
    """What a history's service does all along, until its faults stop."""

    ahead: float = 0.0  # seconds by which its clock is ahead
    spread: float = 0.0  # by which its creation times are out of order, at most
    lag: float = 0.0  # by which lists are behind, at most
    late: float = 0.0  # how likely lists show a batch later than is documented
    read_lag: float = 0.0  # the same for a GET of what was just made
    page_limit: int = 1000
    ignores: tuple[str, ...] = ()  # filters of lists
    ascending: bool = False
    hides: int = 0  # lists leave out every third batch (3), or those of a status leave out all (1)
    whole_seconds: bool = False
    shortest: float = 5.0
    longest: float = 900.0
    failing: float = 0.0  # how likely a batch ends as FAILED or CANCELLED
    expiring: float = 0.0
    odd_dates: bool = True
    zoneless: bool = False  # its dates name no time zone


@dataclass
class Service:
    """Batches, and the truth about them. ``key`` is the API key that it accepts."""

    clockwork: Clockwork
    choices: Choices
    habits: Habits = field(default_factory=Habits)
    batches: dict[str, Made] = field(default_factory=dict)
    key: str = "llx-first"

    def make(self, owner: Any, poster: Any, directory: str, configuration: str, shown_by: float) -> Made:
        """Make a batch; lists show it by ``shown_by`` at the latest."""
        choices, habits, now = self.choices, self.habits, self.clockwork.now
        end = "COMPLETED"
        if choices.chance(habits.failing):
            end = choices.pick(("FAILED", "CANCELLED"))
        ends_at = now + habits.shortest + choices.between(0, habits.longest) * choices.between(0.05, 1)
        created = EPOCH + now + habits.ahead - choices.between(0, habits.spread)
        made = Made(
            f"bat-{len(self.batches)}",
            owner,
            poster,
            directory,
            configuration,
            now,
            float(int(created)) if habits.whole_seconds else created,
            min(now + choices.between(0, habits.lag), shown_by),
            ends_at,
            end,
            message=choices.pick(TEXTS) if choices.chance(0.1 if habits.failing else 0) else None,
            results_at=ends_at + (choices.between(0, 60) if habits.read_lag else 0.0),
        )
        if choices.chance(habits.expiring):
            made.gone_at = ends_at + choices.between(60, 7200)
            made.odd_date = choices.draw(len(DATES_ODD)) if habits.odd_dates else 0
        if choices.chance(habits.late):
            made.is_late, made.visible = True, now + choices.between(61.0, choices.pick((200.0, 1500.0)))
        self.batches[made.key] = made
        return made

    def answer(self, call: Call[Any]) -> Response:
        """Return what it says to a read at this moment."""
        now, query = self.clockwork.now, dict(call.query)
        if call.path.endswith("/batches"):
            return Response(200, JSON_HEADERS, self.page(query).encode())
        made = self.batches.get(call.path.rpartition("/")[2])
        if made is None or now >= made.gone_at or now < made.at + self.habits.read_lag:
            return detail(404, "Batch not found")
        return Response(200, JSON_HEADERS, self.shown(made, expand="expand" in query).encode())

    def shown(self, made: Made, *, expand: bool = False) -> str:
        """Return a row as JSON; it changes seldom."""
        now = self.clockwork.now
        what = made.status(now), expand, now >= made.results_at
        text = made.shown.get(what)
        if text is None:
            text = made.shown[what] = json.dumps(self.row(made, expand=expand))
        return text

    def row(self, made: Made, *, expand: bool = False, status: str | None = None) -> dict[str, Any]:
        now = self.clockwork.now
        created: Any = datetime.fromtimestamp(made.created, UTC).isoformat()
        if self.habits.zoneless:
            created = created.removesuffix("+00:00")
        if made.odd_date:
            created = DATES_ODD[made.odd_date]
        row: dict[str, Any] = {
            "id": made.key,
            "status": status or made.status(now),
            "source_directory_id": made.directory,
            "config": {"job": {"type": "parse_v2", "configuration_id": made.configuration}},
            "created_at": created,
        }
        if expand:
            file = {"source_directory_file_id": "dfl-1", "job_reference": {"id": "pjb-1", "type": "parse_v2"}}
            ended = made.status(now) in ("COMPLETED", "FAILED") and now >= made.results_at
            row["results"] = [file | {"error_message": made.message}] if ended else None
        return row

    def page(self, query: dict[str, str]) -> str:
        """Return a page of a list as JSON."""
        rows = self.listed(query)
        start = int(query.get("page_token", "o0")[1:])
        end = start + min(int(query.get("page_size", 20)), self.habits.page_limit)
        token = f'"o{end}"' if end < len(rows) else "null"
        items = ", ".join([self.shown(made) for made in rows[start:end]])
        return f'{{"items": [{items}], "next_page_token": {token}}}'

    def listed(self, query: dict[str, str]) -> list[Made]:
        """Return what a list shows, the newest first unless it is its habit to turn that round."""
        now, habits = self.clockwork.now, self.habits
        kept = {name: value for name, value in query.items() if name not in habits.ignores}
        after, before = (
            datetime.fromisoformat(kept[name]).timestamp() if name in kept else None
            for name in ("created_at_on_or_after", "created_at_on_or_before")
        )
        rows = []
        for number, made in enumerate(self.batches.values()):
            if now < made.visible or now >= made.gone_at:
                continue
            if kept.get("source_directory_id", made.directory) != made.directory:
                continue
            if habits.hides == 3 and number % 3 == 1 and "source_directory_id" not in query:
                continue
            if habits.hides == 1 and "status" in query:
                continue
            if kept.get("status", made.status(now)) != made.status(now):
                continue
            if (after is not None and made.created < after) or (before is not None and made.created > before):
                continue
            rows.append(made)
        return rows if habits.ascending else rows[::-1]


def ok(value: Any) -> Response:
    return Response(200, JSON_HEADERS, json.dumps(value).encode())


def detail(status: int, text: Any, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the API's own shape."""
    return Response(status, JSON_HEADERS | (headers or {}), json.dumps({"detail": text}).encode())


def gateway(status: int, headers: dict[str, str] | None = None, *, key: str = "") -> Response:
    """Return what something before the API says; it may repeat the ``key``."""
    body = b"<html><body>\x1b[1mno\0pe</body></html>" if status % 2 else b"<html>upstream</html>"
    body += key.encode()
    return Response(status, {"content-type": "text/html"} | (headers or {}), body)
