"""Whether an answer may be given: by the emulator's own document, by the vendor's, and in time."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from schemathesis import checks
from schemathesis.core.failures import FailureGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from schemathesis import Case

VENDOR = Path(__file__).parents[1] / "integration" / "emulator" / "llamacloud_openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
"""Whether valid requests are taken and others refused is no question: both documents say less than the service does."""
# Where the vendor's closed list is behind its SDK.
NEWER = re.compile(
    r"\btier\b|\bversion\b|watermark_handling|annotate_line_numbers|include_hidden_slides|\bevents\b"
)
SHOWN = 600


@dataclass
class Failure:
    """One kind of failure of one operation, the first request that led to it, and how many did."""

    operation: str
    what: str
    detail: str
    request: str
    times: int = 1


@dataclass
class Tally:
    """What was sent and what came of it."""

    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    by_operation: dict[str, Counter[int]] = field(default_factory=dict)
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    unsendable: int = 0
    against_vendor: int = 0

    def count(self, operation: str, status: int) -> None:
        """Count an answer."""
        self.sent[operation] += 1
        self.statuses[status] += 1
        self.by_operation.setdefault(operation, Counter())[status] += 1

    def fail(self, operation: str, what: str, detail: str, request: str) -> None:
        """Keep the first of a kind."""
        known = self.failures.get((operation, what))
        if known is None:
            self.failures[operation, what] = Failure(operation, what, detail[:SHOWN], request)
            print(f"{operation} {what}: {detail[:SHOWN]}", flush=True)
        else:
            known.times += 1


def judge(case: Case, answer: requests.Response, tally: Tally, *, server_errors: bool = False) -> None:
    """Hold an answer against both documents; ``server_errors`` may come where a fault was asked for."""
    operation, status = case.operation.label, answer.status_code
    request = shown(answer.request)
    if status >= 500:
        if not server_errors:
            tally.fail(operation, f"answers {status}", answer.text, request)
        return
    if problem := not_json(answer):
        tally.fail(operation, f"answers {status} with what is no JSON", problem, request)
        return
    try:
        case.validate_response(answer, checks=_checks())
    except FailureGroup as group:
        for one in group.exceptions:
            tally.fail(operation, f"answers {status}: {one.title}", str(one), request)
    if 200 <= status < 300 and (validator := vendors().get((operation, str(status)))):
        tally.against_vendor += 1
        for path, message in _vendors_problems(validator, answer):
            tally.fail(
                operation, f"answers {status} with a {path} that is not the vendor's", message, request
            )


def not_json(answer: requests.Response) -> str:
    """Say what is wrong with an answer that claims to be JSON."""
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        json.loads(answer.content, parse_constant=_refuse)
    except ValueError as error:
        return f"{error}: {answer.text[:200]}"
    return ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@cache
def _checks() -> list[Any]:
    checks.load_all_checks()
    return checks.CHECKS.get_by_names(CHECKS)


@cache
def vendors() -> dict[tuple[str, str], Draft202012Validator]:
    """Return the vendor's schemas of answers, by operation and status."""
    whole = json.loads(VENDOR.read_text(encoding="utf-8"))
    found = {}
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    schema = {"allOf": [content["schema"]], "components": whole["components"]}
                    found[f"{method.upper()} {path}", status] = Draft202012Validator(schema)
    return found


def _vendors_problems(
    validator: Draft202012Validator, answer: requests.Response
) -> Iterator[tuple[str, str]]:
    for error in validator.iter_errors(answer.json()):
        path = ".".join("[]" if isinstance(step, int) else str(step) for step in error.absolute_path)
        message = "; ".join([error.message[:200], *(one.message[:100] for one in error.context or [])])
        if not NEWER.search(path) and not NEWER.search(message):
            yield path, message


def shown(request: requests.PreparedRequest) -> str:
    """Return a command that sends the same request."""
    parts = ["curl", "-sS", "-X", str(request.method), shlex.quote(str(request.url))]
    for name, value in request.headers.items():
        if name not in {"Content-Length", "User-Agent", "Connection"}:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            parts += ["-H", shlex.quote(f"{name}: {text}")]
    if request.body:
        body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
        parts += ["--data-binary", "$" + _ansi(body)]
    return " ".join(parts)


def _ansi(body: bytes) -> str:
    """Return bytes as the shell reads them in $'...'."""
    return (
        "'"
        + "".join(chr(one) if 32 <= one < 127 and one not in b"'\\" else f"\\x{one:02x}" for one in body)
        + "'"
    )
