"""The hook: an Airflow connection made into authenticated calls, synchronous and asynchronous."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_llamabatch.batches.flow import Flow, Send, Step, send
from airflow_provider_llamabatch.defaults import CONN_TYPE, MIN_REQUEST_SECONDS
from airflow_provider_llamabatch.hooks.clients import AsyncClients, count_retries
from airflow_provider_llamabatch.hooks.twins import Hidden, awaiting, blocking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Batch, Configuration, Page
    from airflow_provider_llamabatch.llamacloud.retries import RetryPolicy
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient, Client

T = TypeVar("T")


class LlamaBatchHook(BaseHook):
    """
    Authenticated calls to LlamaCloud.

    The batch calls are methods; every other call of the API is a value from ``llamacloud.calls``, sent with ``send``
    (a list is walked with ``iterate``). Async twins have an ``a`` prefix and never block the event loop. The
    connection is read at the first call, and once more when the key is no longer accepted (401). All calls raise
    ``llamacloud.errors.LlamaCloudError``. Close the hook, or use it as a (sync or async) context manager.

    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    conn_name_attr = "llamabatch_conn_id"
    default_conn_name = "llamabatch_default"
    conn_type = CONN_TYPE
    hook_name = "LlamaCloud"

    def __init__(self, llamabatch_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.llamabatch_conn_id = llamabatch_conn_id
        self._client: Client | None = None
        self._aclients = AsyncClients()

    def __enter__(self) -> LlamaBatchHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> LlamaBatchHook:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the connection form's labels, for Airflow below 3.2 (newer ones read the provider's metadata)."""
        from airflow_provider_llamabatch.connection_form import FIELD_BEHAVIOUR

        return FIELD_BEHAVIOUR

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the connection form's extra fields, for Airflow below 3.2."""
        from airflow_provider_llamabatch.connection_form import widgets

        return widgets()

    def get_conn(self) -> Client:
        """Return the synchronous client, made from the connection when first asked for."""
        if self._client is None:
            from airflow_provider_llamabatch.hooks.connections import settings_of
            from airflow_provider_llamabatch.llamacloud.transport import Client

            count_retries()
            self._client = Client(settings_of(self, self.llamabatch_conn_id))
        return self._client

    def close(self) -> None:
        """Close the synchronous connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the asynchronous connections of the running event loop."""
        await self._aclients.close()

    def send(self, call: Call[T], policy: RetryPolicy | None = None, *, within: float | None = None) -> T:
        """
        Send any call of ``llamacloud.calls`` and return its value.

        ``policy`` replaces the connection's rule for retries; ``within`` bounds the whole call in seconds, retries and
        pauses included.
        """
        from airflow_provider_llamabatch.hooks.connections import settings_again
        from airflow_provider_llamabatch.llamacloud.errors import AuthenticationError
        from airflow_provider_llamabatch.llamacloud.transport import Client

        client, began = self.get_conn(), time.monotonic()
        try:
            return client.send(call, policy, within=within)
        except AuthenticationError as error:
            if not (call.repeatable or error.from_api):  # a gateway's: it may have been carried out
                raise
            settings = settings_again(self, self.llamabatch_conn_id, _left(within, began))
            if settings == client.settings:
                raise
            self.close()
            self._client = Client(settings)
            return self._client.send(call, policy, within=_left(within, began))

    async def asend(
        self, call: Call[T], policy: RetryPolicy | None = None, *, within: float | None = None
    ) -> T:
        """Send any call of ``llamacloud.calls`` without blocking the event loop; the twin of ``send``."""
        from airflow_provider_llamabatch.llamacloud.errors import AuthenticationError

        client, began = await self._open(refused=None), time.monotonic()
        try:
            return await client.send(call, policy, within=within)
        except AuthenticationError as error:
            if not (call.repeatable or error.from_api):
                raise
            renewed = await self._open(refused=client)
            if renewed is client:
                raise
            return await renewed.send(call, policy, within=_left(within, began))

    async def arequest_gap(self) -> float:
        """Return how many seconds lie between two requests of the asynchronous client, 0 without a limit."""
        return (await self._open(refused=None)).gap

    def iterate(self, call: Call[Page[T]]) -> Iterator[T]:
        """Walk a list call of ``llamacloud.calls`` through all its pages; a list without end is an error."""
        from airflow_provider_llamabatch.llamacloud.call import Walk

        walk = Walk(call)
        while walk.call is not None:
            yield from walk.items(self.send(walk.call))

    async def aiterate(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """Walk a list call of ``llamacloud.calls`` through all its pages; the twin of ``iterate``."""
        from airflow_provider_llamabatch.llamacloud.call import Walk

        walk = Walk(call)
        while walk.call is not None:
            for item in walk.items(await self.asend(walk.call)):
                yield item

    def _create_batch(
        self,
        *,
        source_directory_id: str,
        configuration_id: str,
        job_type: str = "parse_v2",
        webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
        webhook_configuration_ids: Sequence[str] | None = None,
        project_id: str | None = None,
        organization_id: str | None = None,
    ) -> Flow[Batch]:
        """
        Start a batch over every file of a directory (at most 1,000) and return it.

        Sent again only when it surely was not processed: each batch is billed. ``CreateBatchOperator`` also finds
        the batch of a submission whose response was lost.
        """
        from airflow_provider_llamabatch.llamacloud import calls

        webhooks = Hidden(webhook_configurations)
        del webhook_configurations
        call = calls.create_batch(
            source_directory_id=source_directory_id,
            configuration_id=configuration_id,
            job_type=job_type,
            webhook_configurations=webhooks.value,
            webhook_configuration_ids=webhook_configuration_ids,
            project_id=project_id,
            organization_id=organization_id,
        )
        return (yield from send(call))

    def _get_batch(
        self,
        batch_id: str,
        *,
        expand_results: bool = False,
        project_id: str | None = None,
        organization_id: str | None = None,
    ) -> Flow[Batch]:
        """Return a batch, with ``expand_results`` its per-file results (null while it runs)."""
        from airflow_provider_llamabatch.llamacloud import calls

        call = calls.get_batch(
            batch_id, expand_results=expand_results, project_id=project_id, organization_id=organization_id
        )
        return (yield from send(call))

    def _cancel_batch(
        self, batch_id: str, *, project_id: str | None = None, organization_id: str | None = None
    ) -> Flow[Batch]:
        """
        Ask for a batch to be cancelled and return it; CANCELLED follows once processing has stopped.

        A batch that has already ended is returned as it is: too late is not an error.
        """
        from airflow_provider_llamabatch.batches.cancelling import cancel

        return (yield from cancel(batch_id, project_id=project_id, organization_id=organization_id))

    def _find_configuration(
        self,
        name: str,
        *,
        job_type: str = "parse_v2",
        project_id: str | None = None,
        organization_id: str | None = None,
    ) -> Flow[Configuration]:
        """
        Return the saved configuration of this name and product; its ``id`` is another one in every project.

        Raises ``InvalidInputError`` where there is none, or more than one, and for a job type that there is not.
        """
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.call import Walk, check_job_type
        from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

        check_job_type(job_type)
        walk = Walk(
            calls.list_configurations(
                name=name,
                product_type=job_type,
                latest_only=True,
                project_id=project_id,
                organization_id=organization_id,
            )
        )
        found: dict[str, Configuration] = {}
        while walk.call is not None:
            page = yield from send(walk.call)
            # Whether the API compares names exactly is not documented.
            found |= {
                one.id: one for one in walk.items(page) if (one.name, one.product_type) == (name, job_type)
            }
        if len(found) != 1:
            several = f"are {len(found)} configurations ({', '.join(sorted(found)):.200})"
            said = several if found else "is no configuration"
            raise InvalidInputError(
                "name", f"there {said} for {job_type} with the name {name!r:.100} in this project"
            )
        return found.popitem()[1]

    create_batch, acreate_batch = blocking(_create_batch), awaiting(_create_batch)
    get_batch, aget_batch = blocking(_get_batch), awaiting(_get_batch)
    cancel_batch, acancel_batch = blocking(_cancel_batch), awaiting(_cancel_batch)
    find_configuration, afind_configuration = blocking(_find_configuration), awaiting(_find_configuration)

    def list_batches(
        self,
        *,
        source_directory_id: str | None = None,
        status: str | None = None,
        created_at_on_or_after: datetime | str | None = None,
        created_at_on_or_before: datetime | str | None = None,
        project_id: str | None = None,
        organization_id: str | None = None,
    ) -> Iterator[Batch]:
        """Walk the batches that match, page by page as they are asked for; both dates are inclusive."""
        from airflow_provider_llamabatch.llamacloud import calls

        return self.iterate(
            calls.list_batches(
                source_directory_id=source_directory_id,
                status=status,
                created_at_on_or_after=created_at_on_or_after,
                created_at_on_or_before=created_at_on_or_before,
                project_id=project_id,
                organization_id=organization_id,
            )
        )

    def alist_batches(
        self,
        *,
        source_directory_id: str | None = None,
        status: str | None = None,
        created_at_on_or_after: datetime | str | None = None,
        created_at_on_or_before: datetime | str | None = None,
        project_id: str | None = None,
        organization_id: str | None = None,
    ) -> AsyncIterator[Batch]:
        """Walk the batches that match; the asynchronous twin of ``list_batches``."""
        from airflow_provider_llamabatch.llamacloud import calls

        return self.aiterate(
            calls.list_batches(
                source_directory_id=source_directory_id,
                status=status,
                created_at_on_or_after=created_at_on_or_after,
                created_at_on_or_before=created_at_on_or_before,
                project_id=project_id,
                organization_id=organization_id,
            )
        )

    def test_connection(self) -> tuple[bool, str]:
        """Make one cheap authenticated call and say in one sentence whether the connection works."""
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
        from airflow_provider_llamabatch.llamacloud.retries import ONCE

        try:
            self.send(calls.list_batches(page_size=1), ONCE)
            where = self.get_conn().settings.base_url
        except LlamaCloudError as error:
            return False, str(error)
        finally:
            self.close()
        return True, f"The API key was accepted by {where}."

    def _perform(self, step: Step) -> Any:
        assert isinstance(step, Send)
        return self.send(step.call)

    async def _aperform(self, step: Step) -> Any:
        assert isinstance(step, Send)
        return await self.asend(step.call)

    async def _open(self, *, refused: AsyncClient | None) -> AsyncClient:
        return await self._aclients.open(self, refused=refused)


def _left(within: float | None, began: float) -> float | None:
    """Return what is left of the seconds for a call, enough to send it once more with another key."""
    if within is None:
        return None
    return min(within, max(MIN_REQUEST_SECONDS, began + within - time.monotonic()))
