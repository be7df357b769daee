"""
Checks of a task's arguments when the DAG is read, so that a wrong one is an import error and not a failed run.

A template and the output of another task are not known then; they pass, and are checked when the task runs. Each check
raises a ``WrongArgumentError`` that names the argument, the value and what may be there.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.defaults import JOB_TYPES, MAX_SECONDS
from airflow_provider_llamabatch.exceptions import WrongArgumentError
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta


def checked_seconds(argument: str, value: float | timedelta) -> float:
    """Return a duration in seconds."""
    from datetime import timedelta

    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_SECONDS:
        raise _wrong(argument, "a number of seconds above 0 and up to ten years, or a timedelta", value)
    return float(seconds)


def poll_as_poke(poll_interval: float | timedelta | None, kwargs: dict[str, Any]) -> None:
    """
    Give a sensor's base class ``poll_interval`` as its ``poke_interval``, unless that one is given.

    It is also given where the DAG's ``default_args`` have it: the base class takes it from there. Two that differ are
    refused, unless ``poll_interval`` is only what the DAG gives all its tasks.
    """
    from airflow_provider_llamabatch import configuration

    given_to_all = kwargs.get("default_args") or {}
    if "poke_interval" in kwargs:
        checked_seconds("poke_interval", kwargs["poke_interval"])
    if poll_interval is None and "poke_interval" in given_to_all:
        return
    seconds = checked_seconds("poll_interval", configuration.poll_interval(poll_interval))
    if poll_interval is not None and poll_interval != given_to_all.get("poll_interval"):
        poke_interval = checked_seconds("poke_interval", kwargs.get("poke_interval", seconds))
        if poke_interval != seconds:
            raise _wrong(
                "poll_interval", f"the same as poke_interval ({poke_interval:g}), or only one given", seconds
            )
    kwargs.setdefault("poke_interval", seconds)


def check_sensor_timeout(kwargs: dict[str, Any]) -> None:
    """Check a sensor's ``timeout`` before its base class reads it, also where the DAG's ``default_args`` have it."""
    value = kwargs.get("timeout", (kwargs.get("default_args") or {}).get("timeout"))
    if value is not None:
        checked_seconds("timeout", value)


def check_word(argument: str, value: Any, words: Sequence[str], *, templated: bool = False) -> None:
    """Check an argument that takes one of a few words; one that may be templated also the output of another task."""
    is_text = isinstance(value, str)
    known_later = not value or "{{" in value or "{%" in value if is_text else hasattr(value, "resolve")
    if value not in words and not (templated and known_later):
        raise _wrong(argument, f"one of {', '.join(words)}", value)


def check_ids(**ids: Any) -> None:
    """Check constant ids for what is the id of something else; whether they are ids at all shows at run time."""
    from airflow_provider_llamabatch.llamacloud.call import check_kind

    with _of_the_dag_file():
        for argument, value in ids.items():
            if isinstance(value, str):
                check_kind(argument, value)


def check_conn_id(value: Any) -> None:
    """Check that no API key is given as the name of the connection; it is not shown."""
    from airflow_provider_llamabatch.llamacloud import call

    with _of_the_dag_file():
        call.check_conn_id("llamabatch_conn_id", value)


def check_words(argument: str, value: Any, words: Sequence[str]) -> None:
    """Check an argument that takes several of a few words, at least one."""
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)) or not value:
        raise _wrong(argument, f"a list of some of {', '.join(words)}", value)
    if not all(word in words for word in value):
        raise _wrong(argument, f"some of {', '.join(words)}", value)


def check_outputs(job_type: Any, outputs: Sequence[str]) -> None:
    """Check that jobs of this type have such outputs; extraction gives its records whatever is asked for."""
    from airflow_provider_llamabatch.documents.results import ALL_OUTPUTS, PARSE_OUTPUTS

    check_words("outputs", outputs, PARSE_OUTPUTS if job_type == "parse_v2" else ALL_OUTPUTS)


def check_booleans(**values: Any) -> None:
    """Check arguments that are True or False (any text would count as true); ``deferrable`` may be None."""
    for argument, value in values.items():
        left_open = value is None and argument == "deferrable"
        if not isinstance(value, bool) and not left_open:
            raise _wrong(argument, "True or False", value)


def check_count(argument: str, value: Any, *, highest: int | None = None) -> None:
    """Check an argument that is a whole number above 0."""
    wanted = f"a whole number from 1 to {highest}" if highest else "a whole number above 0"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (highest and value > highest):
        raise _wrong(argument, wanted, value)


def check_limit(argument: str, value: Any) -> None:
    """Check an argument that is a whole number from 0, or None for no limit."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise _wrong(argument, "a whole number from 0, or None", value)


def check_share(argument: str, value: Any) -> None:
    """Check an argument that is a number from 0 to 1, or None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 <= value <= 1):
        raise _wrong(argument, "a number from 0 to 1, or None", value)


def check_pattern(value: Any) -> None:
    """Check a pattern: an empty one matches nothing."""
    if isinstance(value, str) and not value.strip():
        raise _wrong("pattern", "a glob such as **/*.pdf", value)


def check_asset(argument: str, value: Any) -> None:
    """Check an argument that is an asset."""
    from airflow.providers.common.compat.sdk import Asset

    if not isinstance(value, Asset):
        raise _wrong(argument, "an Asset", value)


def check_batch(
    *,
    job_type: Any,
    poll_interval: float | timedelta | None,
    timeout: float | timedelta | None,
    max_file_attempts: Any,
    retry_configuration_id: Any,
) -> None:
    """Check the arguments of ``CreateBatchOperator``, also where it is mapped: then it is made only when it runs."""
    if timeout is not None:
        checked_seconds("timeout", timeout)
    if poll_interval is not None:
        checked_seconds("poll_interval", poll_interval)
    check_word("job_type", job_type, JOB_TYPES, templated=True)
    check_count("max_file_attempts", max_file_attempts)
    if retry_configuration_id not in (None, "") and max_file_attempts < 2:
        raise WrongArgumentError(
            "retry_configuration_id",
            f"{retry_configuration_id!r:.100} is for further attempts, so it needs max_file_attempts=2 or more",
        )


def _wrong(argument: str, wanted: str, value: Any) -> Exception:
    from airflow_provider_llamabatch.llamacloud.call import looks_like_key

    shown = "an API key" if looks_like_key(str(value)) else f"{value!r:.100}"
    return WrongArgumentError(argument, f"must be {wanted}, not {shown}")


@contextlib.contextmanager
def _of_the_dag_file() -> Iterator[None]:
    try:
        yield
    except InvalidInputError as error:
        raise WrongArgumentError(error.argument, error.problem) from None
