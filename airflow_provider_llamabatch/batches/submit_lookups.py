"""What a submission reads of the API, as flows: the recorded batch, the directory's list, what a POST may have made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.batches.flow import Sleep, send
from airflow_provider_llamabatch.batches.submission import SubmissionUndecidedError
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.call import page_after
from airflow_provider_llamabatch.llamacloud.errors import (
    InvalidResponseError,
    LlamaCloudError,
    NotFoundError,
    StatusError,
)
from airflow_provider_llamabatch.llamacloud.models import KnownBatch, Page
from airflow_provider_llamabatch.llamacloud.retries import is_transient
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from logging import Logger

    from airflow.sdk.types import Logger as TaskLogger

    from airflow_provider_llamabatch.batches.flow import Flow
    from airflow_provider_llamabatch.batches.record import Record
    from airflow_provider_llamabatch.batches.submission import Request
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Batch

MAX_LISTED_PAGES = 100
_GATEWAY_VERDICTS = (401, 403, 404)
_LAG_PAUSES = (5.0, 10.0, 15.0, 30.0)  # a minute in all: what reads may be behind the lists
_MAX_NAMED = 10  # batches in one line of the log


def raise_if_gateways(error: StatusError) -> None:
    """Raise ``SubmissionUndecidedError`` for what something before the API says of keys and ids: it cannot know."""
    if not error.from_api and error.status_code in _GATEWAY_VERDICTS:
        raise SubmissionUndecidedError(
            f"Something before the API answered, so it is unknown what the API would say: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class Lookups:
    """The reads of one submission. All raise a ``LlamaCloudError``, or ``SubmissionUndecidedError`` for a gateway's."""

    request: Request
    clock: Callable[[], float]
    log: Logger | TaskLogger

    def find(
        self, record: Record, *, our_own: bool = False, unwanted: Collection[str] = ()
    ) -> Flow[Batch | None]:
        """
        List until what the POSTs under a record made must show, and return it; None if the last two lists lack it.

        Unless the record is ``our_own``, its last POST may still be under way, so the last lists come later. A
        batch whose status, as the list says, is ``unwanted`` is none.
        """
        pauses = [*submission.ADOPTION_PAUSES]
        if not our_own:
            longest = (
                defaults.MAX_INTENT_AGE + defaults.REQUEST_TIMEOUT
            )  # from the intent to the end of its POST
            under_way = record.posted_at + longest - self.clock()
            pauses.insert(-1, min(max(under_way, 0.0), longest))
        troubles: list[LlamaCloudError | None] = []
        for pause in pauses:
            yield Sleep(pause)
            try:
                found = yield from self.find_once(record)
            except LlamaCloudError as error:
                if not is_transient(error):
                    raise
                troubles.append(error)
                continue
            troubles.append(None)
            if found is not None and found.status not in unwanted:
                return found
        for trouble in troubles[-2:]:
            if trouble is not None:
                raise trouble
        return None

    def find_once(self, record: Record, *, once: bool = False) -> Flow[Batch | None]:
        """
        List once and return the earliest batch that a record does not name and that may be of its POSTs.

        One that has failed, as the list says, comes after the others: there is no need to pay for another one then.
        Raises ``InvalidResponseError`` where there is none but one that does not say what it runs.
        """
        listed = yield from self.directory(record.floor - 1.0, once=once)
        found = submission.adoptable(record, self.request, listed, self.clock())
        others = [batch for batch in found if batch.id != record.batch_id]
        others.sort(key=lambda batch: batch.status in FAILED_STATUSES)
        if len(others) + bool(record.batch_id) > 1:
            ids = ", ".join([record.batch_id, *(batch.id for batch in others)][:_MAX_NAMED]).removeprefix(
                ", "
            )
            self.log.warning("More than one batch may be of this submission, so paid for twice: %s", ids)
        unclear = submission.unclear(record, self.request, listed, self.clock())
        if unclear and not found:
            raise InvalidResponseError(submission.not_told(unclear[0]))
        return others[0] if others else None

    def warn_of_others(self, record: Record) -> Flow[None]:
        """Name in the log what POSTs made beside the record's batch; read once, no trouble in reading counts."""
        try:
            yield from self.find_once(record, once=True)
        except (LlamaCloudError, SubmissionUndecidedError) as error:
            self.log.warning("It could not be told whether a second batch was made: %s", error)

    def read(self, record: Record) -> Flow[Batch | None]:
        """
        Return the recorded batch; None says that it is not there, by the API's own word, twice, and by the list.

        A list alone does not say that it has ended: one that runs may be on it as if it had.
        """
        for pause in (0.0, defaults.CONFIRM_SECONDS):
            if pause:
                yield Sleep(pause)
            batch = yield from self._get(record.batch_id)
            if batch is not None:
                return batch
        listed = yield from self.directory(
            min(record.floor - 1.0, record.posted_at - defaults.LISTED_SECONDS)
        )
        shown = next((batch for batch in listed if batch.id == record.batch_id), None)
        if shown is None or not shown.is_terminal:
            return shown
        for pause in _LAG_PAUSES:
            yield Sleep(pause)
            batch = yield from self._get(record.batch_id)
            if batch is not None:
                return batch
        raise SubmissionUndecidedError(
            f"Batch {record.batch_id} is listed as {shown.status}, and a GET says that there is no such batch, so it "
            "is unknown how it stands. A later try may tell; fresh=True submits a new batch regardless."
        )

    def _get(self, batch_id: str) -> Flow[Batch | None]:
        try:
            batch: Batch = yield from self._send(self._scoped(calls.get_batch(batch_id)))
        except NotFoundError:
            return None
        if batch.id != batch_id:
            raise InvalidResponseError(f"GET of batch {batch_id} was answered with another batch")
        return batch

    def directory(self, since: float, *, once: bool = False) -> Flow[list[Batch]]:
        """
        Return the directory's batches from ``since`` (epoch seconds) on; raises when the list does not end in time.

        Of what cannot be read the id is told: it is one that was there before, or that nobody knows whose it is.
        """
        listing = calls.list_batches(
            source_directory_id=self.request.source_directory_id,
            created_at_on_or_after=datetime.fromtimestamp(max(since, 0.0), UTC),
            page_size=defaults.PAGE_SIZE,
        )
        call = self._scoped(replace(listing, response=Page[KnownBatch]))
        batches: list[Batch] = []
        tokens: set[str] = set()
        following: Call[Any] = call
        until = self.clock() + defaults.MAX_DIRECTORY_SECONDS
        for _ in range(MAX_LISTED_PAGES):
            page = yield from self._send(following, once=once)
            batches += page.items
            after = page_after(call, page.next_page_token, tokens)
            if after is None:
                return batches
            following = after
            if self.clock() >= until:
                raise SubmissionUndecidedError(
                    f"The list of the batches of {self.request.source_directory_id} was not read to its end within "
                    f"{defaults.MAX_DIRECTORY_SECONDS:g} s, so nothing more is submitted; a later try may go on."
                )
        raise InvalidResponseError(f"{call} did not end within {MAX_LISTED_PAGES} pages")

    def _send(self, call: Call[Any], *, once: bool = False) -> Flow[Any]:
        """Send a read; the client has asked again by the time that a gateway's error arrives here."""
        try:
            return (yield from send(call, once=once))
        except StatusError as error:
            raise_if_gateways(error)
            raise

    def _scoped(self, call: Call[Any]) -> Call[Any]:
        return call.with_query(
            project_id=self.request.project_id, organization_id=self.request.organization_id
        )
