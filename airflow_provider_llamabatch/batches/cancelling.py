"""How a batch is cancelled, as a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_llamabatch.batches.flow import send
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import RefusedError

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.flow import Flow
    from airflow_provider_llamabatch.llamacloud.models import Batch


def cancel(
    batch_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Flow[Batch]:
    """Ask for a batch to be cancelled and return it; one that has already ended is returned as it is."""
    scope = {"project_id": project_id, "organization_id": organization_id}
    try:
        batch = yield from send(calls.cancel_batch(batch_id, **scope))
    except RefusedError:
        batch = yield from send(calls.get_batch(batch_id).with_query(**scope))
        if not batch.is_terminal:
            raise
    return batch
