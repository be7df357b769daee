"""Which connections the page offers: those of its type that are found without asking a secrets backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_provider_llamabatch.defaults import CONN_TYPE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_llamabatch.ui.access import Viewer
    from airflow_provider_llamabatch.ui.runs import Runs

_VARIABLE = "AIRFLOW_CONN_"


def offered(session: Session, runs: Runs, viewer: Viewer) -> list[str]:
    """
    Return the ids of the connections that the user may see, sorted.

    From the metadata database, from this process's environment, and those with which batches were made. Another one,
    such as one of a secrets backend that no DAG has used yet, is reached by its address.
    An id with a slash has none, so it is left out.
    """
    from airflow.models.connection import Connection

    known = set(session.scalars(select(Connection.conn_id).where(Connection.conn_type == CONN_TYPE)))
    known |= {
        name.removeprefix(_VARIABLE).lower()
        for name, value in os.environ.items()
        if name.startswith(_VARIABLE) and CONN_TYPE in value
    }
    known |= {made.connection_id for made in runs.made.values() if viewer.may("GET", made.task.dag_id)}
    return sorted(
        connection_id
        for connection_id in known
        if "/" not in connection_id and viewer.may_with("GET", connection_id)
    )
