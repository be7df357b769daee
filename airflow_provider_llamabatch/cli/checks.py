"""What the doctor makes of what it found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.defaults import LISTED_SECONDS, MAX_FILES_PER_DIRECTORY, MAX_INTENT_AGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_llamabatch.llamacloud.models import Project

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"
FULL = 0.8  # share of the triggerers' capacity above which more are needed soon


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    result: str
    found: str
    advice: str = ""

    def row(self) -> dict[str, str]:
        """Return it as it is printed."""
        return {"check": self.check, "result": self.result, "found": self.found, "what to do": self.advice}


def of_configuration(given: Iterable[str], known: Sequence[str], *, is_deferred: bool) -> Finding:
    """Judge a section ``[llamabatch]`` that can be read; ``given`` are the names of the options that are set."""
    unread = [_with_likely_name(name, known) for name in given if name not in known]
    if unread:
        return Finding(
            "configuration",
            WARN,
            f"nothing reads the {'option' if len(unread) == 1 else 'options'} {', '.join(unread)} of [llamabatch]",
            f"correct or remove it; the options are {', '.join(known)}",
        )
    if is_deferred:
        return Finding("configuration", OK, "waits are deferred unless a task says otherwise")
    return Finding(
        "configuration",
        WARN,
        "waits hold a worker unless a task says otherwise",
        "set [llamabatch] default_deferrable = True, where triggerers run",
    )


def of_connection(conn_id: str, base_url: str, extras: Iterable[str], known: Sequence[str]) -> Finding:
    """Judge a connection that can be used; ``extras`` are the names of what it holds beside host and key."""
    found = f"{conn_id} leads to {base_url}"
    unread = [_with_likely_name(name, known) for name in extras if name not in known]
    if not unread:
        return Finding("connection", OK, found)
    return Finding(
        "connection",
        WARN,
        f"{found}; nothing reads its {'extra' if len(unread) == 1 else 'extras'} {', '.join(unread)}",
        f"correct or remove it; the extras are {', '.join(known)}",
    )


def _with_likely_name(name: str, known: Sequence[str]) -> str:
    likely = get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return f"{name!r:.100}" + (f" (did you mean {likely[0]}?)" if likely else "")


def of_clock(date: str | None, now: float) -> Finding:
    """Judge how far this machine's clock (``now``, epoch seconds) is from a response's header ``Date``."""
    try:
        skew = now - parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return Finding("clock", UNKNOWN, "the service's responses have no date")
    found = f"{abs(skew):.0f} s {'ahead of' if skew >= 0 else 'behind'} the service"
    advice = "set this machine's clock, such as by NTP"
    if abs(skew) > LISTED_SECONDS:
        return Finding("clock", FAIL, f"{found}: a lost submission would not be found", advice)
    if abs(skew) > MAX_INTENT_AGE:
        return Finding("clock", WARN, found, advice)
    return Finding("clock", OK, found)


def of_projects(projects: Sequence[Project], configured: str | None) -> Finding:
    """Judge which of the key's projects is used; ``configured`` is what the connection or an argument names."""
    ids = [project.id for project in projects]
    listed = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "") or "none"
    if configured is None and len(ids) < 2:
        return Finding("project", OK, f"the key's own: {listed}")
    if configured is None:
        return Finding(
            "project",
            WARN,
            f"not configured, and the key sees {len(ids)}: {listed}",
            "name one in the connection's extra project_id, so that it is always the same",
        )
    if configured in ids:
        return Finding("project", OK, configured)
    return Finding(
        "project",
        FAIL,
        f"{configured} is none of the key's projects: {listed}",
        "correct the connection's extra project_id, or use a key of that project",
    )


def of_triggerers(alive: Sequence[str], waiting: int, *, capacity: int, needed: bool) -> Finding:
    """Judge the triggerers that are alive (their hosts); ``needed`` says whether waits are deferred by default."""
    if not alive:
        return Finding(
            "triggerers",
            FAIL if needed else WARN,
            f"none is alive; {waiting} triggers wait for one",
            "start `airflow triggerer`: until then deferred tasks stay deferred",
        )
    room = len(alive) * capacity
    found = f"{len(alive)} alive ({', '.join(alive[:5])}), {waiting} triggers for a capacity of {room}"
    if waiting > FULL * room:
        return Finding(
            "triggerers",
            WARN,
            found,
            "start another triggerer, or raise [triggerer] capacity: what is above it waits for a place",
        )
    return Finding("triggerers", OK, found)


def of_max_map_length(length: int) -> Finding:
    """Judge whether a task per file of a full batch can be mapped."""
    if length >= MAX_FILES_PER_DIRECTORY:
        return Finding("max_map_length", OK, str(length))
    return Finding(
        "max_map_length",
        WARN,
        f"{length}: a task cannot be mapped over the {MAX_FILES_PER_DIRECTORY} files that a batch may have",
        f"set [core] max_map_length to {MAX_FILES_PER_DIRECTORY} or more, if you map a task per file",
    )
