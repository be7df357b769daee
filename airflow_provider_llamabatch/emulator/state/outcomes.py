"""What a job will come to: fixed when the job is made. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.reading import of_markdown
from airflow_provider_llamabatch.emulator.documents.results import JobPage
from airflow_provider_llamabatch.emulator.models.options import page_numbers

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.documents.reading import Document, Found
    from airflow_provider_llamabatch.emulator.settings import Settings
    from airflow_provider_llamabatch.emulator.state.records import FileResult, Job

UNREADABLE = "Page could not be parsed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The pages that a job reads, those that it cannot read, why it fails, if it does, and the result set for it."""

    pages: tuple[int, ...]
    failed_pages: tuple[int, ...]
    error: str | None
    result: FileResult | None


def outcome(settings: Settings, summary: Found, parameters: dict[str, Any], name: str) -> Outcome:
    """
    Decide what a job over a document of a name comes to.

    Pages that cannot be read end the job when they are more than its configuration allows, or all of them. Pages that
    a setting lets fail count only against a ratio that the configuration names: they are there to be seen.
    """
    given = _given_result(settings, name)
    count, by_itself, error = summary.pages, set(summary.failed), summary.error
    switched = set(settings.failed_pages)
    if given is not None:
        switched |= {*given.failed_pages}
        if given.markdown is not None:
            document = of_markdown(given.markdown)
            count, by_itself, error = len(document.pages), set(), document.error
        error = given.error_message or error
    try:
        pages = _chosen(count, parameters)
    except ValueError as problem:
        pages, error = (), error or f"TARGET_PAGES_INVALID: {problem}"
    failed = tuple(page for page in pages if page in by_itself or page in switched)
    if error is None and count and not pages:
        error = "NO_DATA_FOUND_IN_FILE: the file has none of the pages that were asked for"
    error = error or _too_many_failed(settings, pages, failed, by_itself, parameters)
    return Outcome(pages, failed, error, given)


def _given_result(settings: Settings, name: str) -> FileResult | None:
    """Return the result that is set for a file of this name; the first pattern that matches wins."""
    found = (result for pattern, result in settings.file_results.items() if fnmatchcase(name, pattern))
    return next(found, None)


def pages_of(job: Job | Outcome, document: Document) -> list[JobPage]:
    """Return the pages that a job was asked for, or will be."""
    if job.result is not None and job.result.markdown is not None:
        document = of_markdown(job.result.markdown)
    return [
        JobPage(number, page, (page.error or UNREADABLE) if number in job.failed_pages else None)
        for number, page in ((number, document.pages[number - 1]) for number in job.pages)
    ]


def _chosen(count: int, parameters: dict[str, Any]) -> tuple[int, ...]:
    ranges = parameters.get("page_ranges") or {}
    asked = ranges or parameters
    chosen = range(1, count + 1) if not asked.get("target_pages") else _within(count, asked["target_pages"])
    # In page_ranges of a parse job target_pages takes precedence; of an extract job nothing of the kind is said.
    return tuple(chosen if ranges.get("target_pages") else chosen[: asked.get("max_pages")])


def _within(count: int, target_pages: str) -> list[int]:
    """Return the pages that are asked for: each part is looked at once, however many there are."""
    wanted: list[int] = []
    for part in sorted(page_numbers(target_pages), key=lambda part: part.start):
        first = max(part.start, 1, wanted[-1] + 1 if wanted else 1)
        wanted += range(first, min(part.stop, count + 1))
    return wanted


def _too_many_failed(
    settings: Settings,
    pages: tuple[int, ...],
    failed: tuple[int, ...],
    by_itself: set[int],
    parameters: dict[str, Any],
) -> str | None:
    conditions = parameters.get("processing_control", {}).get("job_failure_conditions", {})
    named = conditions.get("allowed_page_failure_ratio")
    counted = len(failed) if named is not None else len(by_itself & {*failed})
    allowed = settings.allowed_page_failure_ratio if named is None else named
    if failed and (len(failed) == len(pages) or counted > allowed * len(pages)):
        return f"{len(failed)} of {len(pages)} pages could not be parsed"
    return None
