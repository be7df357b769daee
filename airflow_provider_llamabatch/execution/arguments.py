"""
Checks of a task's arguments when the DAG is read, so that a wrong one is an import error and not a failed run.

A template and the output of another task are not known then; they pass, and are checked when the task runs. Each check
raises an ``InvalidInputError`` that names the argument, the value and what may be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


def checked_seconds(argument: str, value: float | timedelta) -> float:
    """Return a duration in seconds."""
    from datetime import timedelta

    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise _wrong(argument, "a number of seconds above 0, or a timedelta", value)
    return float(seconds)


def poll_as_poke(poll_interval: float | timedelta | None, kwargs: dict[str, Any]) -> None:
    """
    Give a sensor's base class ``poll_interval`` as its ``poke_interval``, unless that one is given.

    It is also given where the DAG's ``default_args`` have it: the base class takes it from there.
    """
    from airflow_provider_llamabatch import configuration

    if poll_interval is None and "poke_interval" in (kwargs.get("default_args") or {}):
        return
    seconds = checked_seconds("poll_interval", configuration.poll_interval(poll_interval))
    kwargs.setdefault("poke_interval", seconds)


def check_word(argument: str, value: Any, words: Sequence[str], *, templated: bool = False) -> None:
    """Check an argument that takes one of a few words; of one that may be templated only a plain text."""
    known_later = not isinstance(value, str) or not value or "{{" in value or "{%" in value
    if value not in words and not (templated and known_later):
        raise _wrong(argument, f"one of {', '.join(words)}", value)


def check_words(argument: str, value: Any, words: Sequence[str]) -> None:
    """Check an argument that takes several of a few words, at least one."""
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)) or not value:
        raise _wrong(argument, f"a list of some of {', '.join(words)}", value)
    if not all(word in words for word in value):
        raise _wrong(argument, f"some of {', '.join(words)}", value)


def check_count(argument: str, value: Any, *, highest: int | None = None) -> None:
    """Check an argument that is a whole number above 0."""
    wanted = f"a whole number from 1 to {highest}" if highest else "a whole number above 0"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (highest and value > highest):
        raise _wrong(argument, wanted, value)


def _wrong(argument: str, wanted: str, value: Any) -> Exception:
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    return InvalidInputError(argument, f"must be {wanted}, not {value!r:.100}")
