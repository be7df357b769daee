"""Counts the pages of PDFs before anything is paid for."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_llamabatch.storage import Storage


def count_pages(source: Storage, path: str) -> int:
    """Return how many pages a PDF has; one that cannot be read has none, and its job will say why."""
    try:
        from pypdf import PdfReader
    except ImportError:
        from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

        raise InvalidInputError(
            "max_pages", "needs pypdf: pip install 'airflow-provider-llamabatch[pages]'"
        ) from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports every oddity of a broken file
    with source.open(path) as opened:
        content = io.BytesIO(opened.read())
    try:
        return len(PdfReader(content).pages)
    except Exception:  # a broken file makes pypdf raise nearly anything
        return 0
