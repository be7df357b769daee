"""What an extract job gives: its result, and where it was found. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.extraction import extract
from airflow_provider_llamabatch.emulator.documents.fitting import NoFitError
from airflow_provider_llamabatch.emulator.documents.values import Values, values

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.documents.results import JobPage
    from airflow_provider_llamabatch.emulator.state.records import Job

Json = dict[str, Any]
Result = Json | list[Json] | None


def extracted(job: Job, pages: list[JobPage]) -> tuple[Result, str | None]:
    """Return the result of a job, or why there is none."""
    if job.result is not None and job.result.extract_result is not None:
        return job.result.extract_result, None
    schema = job.parameters.get("data_schema", {})
    try:
        made = [extract(schema, found) for found in _sources(job, pages)]
    except NoFitError as error:
        return None, str(error)
    return (made[0] if _target(job) == "per_doc" else made), None


def field_metadata(job: Job, pages: list[JobPage]) -> Json:
    """Return, for every field that has a value, the citation and confidence that the configuration asks for."""
    cites, scores = (bool(job.parameters.get(name)) for name in ("cite_sources", "confidence_scores"))
    confidence = 1.0 if job.result is None else job.result.confidence

    def about(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: about(part) for name, part in value.items() if part is not None}
        if isinstance(value, list):
            return [about(part) for part in value]
        return {
            **({"citation": _cited(pages, value)} if cites else {}),
            **({"confidence": confidence} if scores else {}),
        }

    target, result = _target(job), job.extracted
    each = [about(one) for one in result] if isinstance(result, list) else None
    return {
        "document_metadata": about(result) if isinstance(result, dict) else None,
        "page_metadata": each if target == "per_page" else None,
        "row_metadata": each if target == "per_table_row" else None,
    }


def _target(job: Job) -> str:
    return str(job.parameters.get("extraction_target") or "per_doc")


def _sources(job: Job, pages: list[JobPage]) -> list[Values]:
    texts = [one.page.markdown for one in pages if one.error is None]
    if _target(job) == "per_page":
        return [_values(text) for text in texts]
    found = _values("\n\n".join(texts))
    if _target(job) == "per_table_row":
        return [Values(named=row) for rows in found.rows for row in rows]
    return [found]


@lru_cache(maxsize=64)
def _values(text: str) -> Values:
    return values(text)


def _cited(pages: list[JobPage], value: Any) -> list[Json]:
    texts = [str(value)]
    if isinstance(value, float) and value == int(value):
        texts.append(str(int(value)))
    for one in pages:
        plain = one.page.markdown.replace(",", "")
        for text in texts:
            if one.error is None and text and text.replace(",", "") in plain:
                return [{"page": one.number, "matching_text": text}]
    return []
