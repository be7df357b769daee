"""What an extract job gives: its result, and where it was found. Pure."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.citations import Citations, offers
from airflow_provider_llamabatch.emulator.documents.extraction import extract
from airflow_provider_llamabatch.emulator.documents.fitting import NoFitError
from airflow_provider_llamabatch.emulator.documents.values import Values

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.documents.results import JobPage
    from airflow_provider_llamabatch.emulator.state.records import Job

Json = dict[str, Any]
NOT_FOUND = 0.1
"""The confidence of a value that the document does not have."""
Result = Json | list[Json] | None


def extracted(parameters: Json, pages: list[JobPage]) -> tuple[Result, str | None]:
    """Return the result of a job over these pages, or why there is none."""
    schema, target = parameters.get("data_schema", {}), _target(parameters)
    try:
        made = [extract(schema, found) for found in _sources(target, pages)]
    except NoFitError as error:
        return None, str(error)
    return (made[0] if target == "per_doc" else made), None


def field_metadata(job: Job, pages: list[JobPage]) -> Json:
    """
    Return, for every field that has a value, the citation and confidence that the configuration asks for.

    A value that the document does not have is there because the schema requires it: it is NOT_FOUND.
    """
    cites, scores = (bool(job.parameters.get(name)) for name in ("cite_sources", "confidence_scores"))
    confidence = 1.0 if job.result is None else job.result.confidence
    given = job.result is not None and job.result.extract_result is not None
    schema = job.parameters.get("data_schema")

    def about(value: Any, found: Citations, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: about(part, found, key) for key, part in value.items() if part is not None}
        if isinstance(value, list):
            return [about(part, found, name) for part in value]
        citation = found.of(name, value) if cites or scores else []
        score = confidence if citation or given else min(confidence, NOT_FOUND)
        return {
            **({"citation": citation} if cites else {}),
            **({"confidence": score} if scores else {}),
        }

    target, result = _target(job.parameters), job.extracted
    whole, single = Citations(pages, schema), [Citations([one], schema) for one in pages if one.error is None]
    each = None
    if isinstance(result, list):
        of_page = target == "per_page" and len(single) == len(result)
        each = [about(*one) for one in zip(result, single if of_page else repeat(whole), strict=False)]
    return {
        "document_metadata": about(result, whole) if isinstance(result, dict) else None,
        "page_metadata": each if target == "per_page" else None,
        "row_metadata": each if target == "per_table_row" else None,
    }


def _target(parameters: Json) -> str:
    return str(parameters.get("extraction_target") or "per_doc")


def _sources(target: str, pages: list[JobPage]) -> list[Values]:
    texts = [one.page.markdown for one in pages if one.error is None]
    if target == "per_page":
        return [offers(text) for text in texts]
    found = offers("\n\n".join(texts))
    if target == "per_table_row":
        return [Values(named=row) for rows in found.rows for row in rows]
    return [found]
