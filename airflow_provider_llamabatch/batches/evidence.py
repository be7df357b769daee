"""What an answer proves: that something is gone, and that a batch is of a directory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """End what is done within where the API says that there is no such thing; a gateway cannot know, so it raises."""
    try:
        yield
    except NotFoundError as error:
        if not error.from_api:
            raise
