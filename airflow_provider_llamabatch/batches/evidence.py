"""What an answer proves: that something is gone, and that a batch is of a directory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_llamabatch.llamacloud.models import Batch


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """End what is done within where the API says that there is no such thing; a gateway cannot know, so it raises."""
    try:
        yield
    except NotFoundError as error:
        if not error.from_api:
            raise


def of_directory(listed: Iterable[Batch], directory_id: str) -> Iterator[Batch]:
    """
    Give those batches of a list that are of the directory that it was asked for.

    A row that names no directory is one of them, and comes after those that do. But where the list shows other
    directories' batches, whose it is cannot be told.
    """
    unnamed: list[Batch] = []
    is_filtered = True
    for batch in listed:
        if batch.source_directory_id == directory_id:
            yield batch
        elif batch.source_directory_id is None:
            unnamed.append(batch)
        else:
            is_filtered = False
    if is_filtered:
        yield from unnamed
