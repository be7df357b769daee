"""What can be polled: batches, parse jobs and extract jobs, each as the calls that ask for their statuses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES, BatchStatus

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.call import Call

MAX_EPOCH = 253_402_300_799.0  # the end of the year 9999
KEYS_PER_PAGE = 100  # ids in one request: some 5 kB of URL, which servers and proxies take


@dataclass(frozen=True, slots=True)
class Query:
    """
    One list to read: of the given ``keys``, or of what has a ``status`` and was created within a range.

    ``after`` and ``before`` are epoch seconds by the service's clock, both inclusive.
    """

    status: str | None = None
    after: float | None = None
    before: float | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What a poll reads of one batch or job; ``created_at`` is in epoch seconds by the service's clock."""

    key: str
    status: str
    message: str = ""
    created_at: float | None = None


class Source(Protocol):
    """
    Where statuses come from.

    ``by_keys``: the list takes ids, so it shows what is asked for and nothing else. ``running`` are the statuses that
    are known not to be terminal.
    """

    @property
    def by_keys(self) -> bool:
        """Say whether lists are asked for by ids."""

    @property
    def running(self) -> tuple[str, ...]:
        """Return the statuses that are known not to be terminal."""

    def get(self, key: str) -> Call[Any]:
        """Return the call that asks for one."""

    def row(self, value: Any) -> Row:
        """Return what ``get``'s response, or an item of a page, says."""

    def bulk(self, query: Query, page_size: int | None) -> Call[Any]:
        """Return the call for the first page of a list."""


ENDED = (BatchStatus.COMPLETED, *FAILED_STATUSES)


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a project (the connection's where None)."""

    project_id: str | None = None
    organization_id: str | None = None

    by_keys = False
    running = ("PENDING", "THROTTLED", "RUNNING")

    def get(self, key: str) -> Call[Any]:
        """Return the call that asks for one batch."""
        return calls.get_batch_status(key, project_id=self.project_id, organization_id=self.organization_id)

    def row(self, value: Any) -> Row:
        """Return what a batch, or a row of a page, says."""
        made = value.created_at
        return Row(value.id, value.status, created_at=epoch_of(made) if made else None)

    def bulk(self, query: Query, page_size: int | None) -> Call[Any]:
        """Return the call for the first page of a list of batches."""
        return calls.list_batch_statuses(
            status=query.status,
            created_at_on_or_after=None if query.after is None else date_of(query.after),
            created_at_on_or_before=None if query.before is None else date_of(query.before),
            page_size=page_size,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )


@dataclass(frozen=True, slots=True)
class Jobs:
    """The parse or extract jobs (``job_type`` as in a batch) of a project."""

    job_type: str
    project_id: str | None = None
    organization_id: str | None = None

    by_keys = True
    running = ("PENDING", "THROTTLED", "RUNNING")

    def get(self, key: str) -> Call[Any]:
        """Return the call that asks for one job."""
        is_parse = self.job_type == "parse_v2"
        get = calls.get_parse_job_status if is_parse else calls.get_extract_job_status
        call: Call[Any] = get(key, project_id=self.project_id, organization_id=self.organization_id)
        return call

    def row(self, value: Any) -> Row:
        """Return what a job, or a row of a page, says."""
        job = getattr(value, "job", value)  # one parse job comes in an envelope
        return Row(job.id, job.status, job.error_message or "")

    def bulk(self, query: Query, page_size: int | None) -> Call[Any]:
        """Return the call for the first page of a list of jobs."""
        is_parse = self.job_type == "parse_v2"
        bulk = calls.list_parse_job_statuses if is_parse else calls.list_extract_job_statuses
        call: Call[Any] = bulk(
            job_ids=query.keys,
            page_size=page_size or defaults.PAGE_SIZE,
            project_id=self.project_id,
            organization_id=self.organization_id,
        )
        return call


def epoch_of(date: datetime) -> float:
    """Return a date of the service in epoch seconds; one without a time zone is in UTC."""
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def date_of(epoch: float) -> datetime:
    """Return the date of an epoch time, or the nearest that there is: a service may date a batch to the year 1."""
    return datetime.fromtimestamp(min(max(epoch, 0.0), MAX_EPOCH), UTC)
