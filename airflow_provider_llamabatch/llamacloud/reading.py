"""
Reads JSON, also where pydantic's parser refuses what JSON's grammar allows. Pure.

That parser refuses a body as a whole for an unpaired surrogate, for a number of thousands of digits or for deep
nesting, anywhere in it: one file's error message would hide that a batch has completed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_provider_llamabatch.defaults import MAX_STATUS_PAGE_BYTES

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_DIGITS = 4300  # Python's own bound: the time that more would take grows with their square

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNPAIRED = re.compile(rb"%b(?!%b)|%b(?<!%b.{6})" % (_HIGH, _LOW, _LOW, _HIGH), re.DOTALL)


def read_json(adapter: TypeAdapter[Any], body: bytes) -> Any:
    """Return what a body says; raises ``ValueError`` where it is not JSON, or not what the adapter expects."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        if not _is_unreadable(error):
            raise
        refusal = error
    # From here on without the fast way: a broken body is looked at twice more, each time as far as its first defect.
    mended = _with_surrogates_paired(body)
    try:
        return adapter.validate_json(mended)
    except ValidationError as error:
        if not _is_unreadable(error):
            raise
    try:
        value = _parsed(mended)
    except (ValueError, RecursionError):
        raise refusal from None
    return adapter.validate_python(value)


def _is_unreadable(error: ValidationError) -> bool:
    return error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def _with_surrogates_paired(body: bytes) -> bytes:
    """Return JSON whose unpaired surrogates are U+FFFD."""
    # An escaped backslash is written in another way, so that every backslash begins an escape.
    return _UNPAIRED.sub(rb"\\ufffd", body.replace(rb"\\", rb"\u005c"))


def _parsed(body: bytes) -> Any:
    """Return what JSON says, whose numbers may be of any length: one that is too long is None."""
    if len(body) > MAX_STATUS_PAGE_BYTES:
        raise ValueError("it is too long to be read by the slow parser")
    return json.loads(
        body.decode(), parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS else None
    )
