"""What extract jobs will give, made before they are: it can take seconds, and others are answered meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.extracted import extracted
from airflow_provider_llamabatch.emulator.state.outcomes import outcome, pages_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_llamabatch.emulator.documents.extracted import Result
    from airflow_provider_llamabatch.emulator.state.outcomes import Outcome
    from airflow_provider_llamabatch.emulator.state.service import EmulatorState

Json = dict[str, Any]
Extracted = tuple["Result", "str | None"]


class Extractions:
    """Results of extract jobs with the same parameters, each made once."""

    def __init__(self, service: EmulatorState, parameters: Json) -> None:
        self.parameters = parameters
        self._service = service
        self._made: dict[tuple[Any, ...], Extracted] = {}

    def prepare(self, inputs: Iterable[tuple[str, str | None]]) -> None:
        """Extract from uploads of these keys and names. Holds the lock only while it looks at one."""
        for blob, name in inputs:
            with self._service.lock:
                if blob not in self._service.blobs:  # deleted just now
                    continue
                summary = self._service.blobs.summary(blob)
                end = outcome(self._service.settings, summary, self.parameters, name or "")
                pages = pages_of(end, self._service.blobs.document(blob)) if _is_to_be_made(end) else []
            if pages and _key(blob, end) not in self._made:
                self._made[_key(blob, end)] = extracted(self.parameters, pages)

    def of(self, blob: str, end: Outcome) -> Extracted:
        """Return what a job of this outcome over an upload gives, or why it gives nothing."""
        if end.result is not None and end.result.extract_result is not None:
            return end.result.extract_result, None
        key = _key(blob, end)
        if key not in self._made:
            self._made[key] = extracted(self.parameters, pages_of(end, self._service.blobs.document(blob)))
        return self._made[key]


def _is_to_be_made(end: Outcome) -> bool:
    return end.error is None and (end.result is None or end.result.extract_result is None)


def _key(blob: str, end: Outcome) -> tuple[Any, ...]:
    return blob, end.pages, end.failed_pages, end.result.markdown if end.result is not None else None
