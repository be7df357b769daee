"""Sending requests to an operation, a few at a time, and judging what comes back."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.fuzz.judging import Tally, judge, shown
from tests.fuzz.planning import UPLOAD_FIELDS, cases, uploads
from tests.fuzz.served import LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy
    from schemathesis import APIOperation, Case

    from tests.fuzz.served import Pool

File = tuple[str, bytes] | None
SENT = frozenset({"method", "url", "headers", "files", "data", "json", "params", "cookies"})


class Sender:
    """Sends to one emulator; ``after`` is called with every case that got an answer, and the answer."""

    def __init__(self, url: str, parse: APIOperation, tally: Tally) -> None:
        self.url = url
        self.tally = tally
        self.server_errors = False
        self.after: Callable[[Case, requests.Response], None] = lambda *_: None
        self._parse = parse.as_strategy(generation_mode=GenerationMode.POSITIVE)
        self._session = requests.Session()
        self._session.trust_env = False

    def send_some(self, operation: APIOperation, pool: Pool, number: int, base: str) -> None:
        """Send so many requests to an operation, half of them such as the document forbids."""
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            planned = cases(operation, mode, pool, self._parse)
            share = number // 2 if mode is GenerationMode.NEGATIVE else number - number // 2
            try:
                self._run(planned, share, zlib.crc32(f"{base} {operation.label} {mode}".encode()))
            except Unsatisfiable:  # nothing is forbidden
                planned = cases(operation, GenerationMode.POSITIVE, pool, self._parse)
                self._run(planned, share, zlib.crc32(f"{base} {operation.label} again".encode()))

    def _run(self, planned: SearchStrategy[Case], number: int, start: int) -> None:
        if not number:
            return

        @seed(start)
        @settings(
            max_examples=number,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(planned, uploads())
        def run(case: Case, file: File) -> None:
            self.send(case, file)

        run()

    def send(self, case: Case, file: File = None) -> None:
        """Send one request and judge its answer."""
        label = case.operation.label
        try:
            request = self._session.prepare_request(self._request(case, file))
        except (requests.RequestException, ValueError):  # not even a hostile client could
            self.tally.unsendable += 1
            return
        began = time.monotonic()
        try:
            answer = self._session.send(request, timeout=LIMIT_SECONDS, allow_redirects=False)
        except requests.Timeout:
            self.tally.fail(label, "does not answer", f"within {LIMIT_SECONDS:g} s", shown(request))
            return
        except (UnicodeError, requests.exceptions.InvalidHeader):
            self.tally.unsendable += 1
            return
        except requests.RequestException as error:
            if not self.server_errors:
                self.tally.fail(label, "breaks the connection", str(error), shown(request))
            return
        self.tally.count(label, answer.status_code)
        if (took := time.monotonic() - began) > LIMIT_SECONDS:
            self.tally.fail(label, "answers late", f"after {took:.0f} s", shown(request))
        judge(case, answer, self.tally, server_errors=self.server_errors)
        self.after(case, answer)

    def _request(self, case: Case, file: File) -> requests.Request:
        arguments = case.as_transport_kwargs(base_url=self.url)
        arguments["headers"].pop("X-Schemathesis-TestCaseId", None)
        if file is not None and arguments.get("files"):
            arguments["files"] = [
                (name, file if name in UPLOAD_FIELDS else part) for name, part in arguments["files"]
            ]
        return requests.Request(**{name: value for name, value in arguments.items() if name in SENT})
