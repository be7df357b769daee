"""Counts the pages of PDFs before anything is paid for."""

from __future__ import annotations

import logging
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.exceptions import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_llamabatch.documents.upload_plan import SourceFile
    from airflow_provider_llamabatch.storage import Storage

MAX_IN_MEMORY = 4 * 1024 * 1024  # bytes of a PDF; a larger one is read from the disk


def pages_by_path(source: Storage, files: Iterable[SourceFile], *, threads: int) -> dict[str, int]:
    """Return the pages of every PDF among the files."""
    paths = [file.path for file in files if file.path.lower().endswith(".pdf")]
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(paths, pool.map(partial(count_pages, source), paths), strict=True))


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
    with tempfile.SpooledTemporaryFile(MAX_IN_MEMORY) as content:  # pypdf jumps to and fro in it
        try:
            with source.reading(path) as file:
                shutil.copyfileobj(file, content)
        except FileNotFoundError:
            return 0
        except StorageError as error:
            if isinstance(error.__cause__, PermissionError):
                return 0  # it cannot be sent either
            raise
        try:
            return len(PdfReader(content).pages)
        except Exception:  # a broken file makes pypdf raise nearly anything
            return 0
