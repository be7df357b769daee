"""The hook: an Airflow connection made into authenticated calls, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Batch, Page
    from airflow_provider_llamabatch.llamacloud.retries import RetryPolicy
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings
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
    conn_type = "llamabatch"
    hook_name = "LlamaCloud"

    def __init__(self, llamabatch_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.llamabatch_conn_id = llamabatch_conn_id
        self._client: Client | None = None
        self._aclients: list[AsyncClient] = []  # the last one is in use, see _open
        self._opening = asyncio.Lock()

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
            self._client = self._connect()
        return self._client

    def close(self) -> None:
        """Close the synchronous connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the asynchronous connections."""
        clients, self._aclients = self._aclients, []
        for client in clients:
            await client.close()

    def send(self, call: Call[T], policy: RetryPolicy | None = None) -> T:
        """Send any call of ``llamacloud.calls`` and return its value."""
        from airflow_provider_llamabatch.llamacloud.errors import AuthenticationError

        client = self.get_conn()
        try:
            return client.send(call, policy)
        except AuthenticationError:
            renewed = self._connect()
            if renewed.settings == client.settings:
                renewed.close()
                raise
            self.close()
            self._client = renewed
            return renewed.send(call, policy)

    async def asend(self, call: Call[T], policy: RetryPolicy | None = None) -> T:
        """Send any call of ``llamacloud.calls`` and return its value, without blocking the event loop."""
        from airflow_provider_llamabatch.llamacloud.errors import AuthenticationError

        client = await self._open(refused=None)
        try:
            return await client.send(call, policy)
        except AuthenticationError:
            renewed = await self._open(refused=client)
            if renewed is client:
                raise
            return await renewed.send(call, policy)

    def iterate(self, call: Call[Page[T]]) -> Iterator[T]:
        """Walk a list call of ``llamacloud.calls`` through all its pages."""
        from airflow_provider_llamabatch.llamacloud.call import page_after

        seen: set[str] = set()
        following: Call[Page[T]] | None = call
        while following is not None:
            page = self.send(following)
            yield from page.items
            following = page_after(call, page.next_page_token, seen)

    async def aiterate(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """Walk a list call of ``llamacloud.calls`` through all its pages, without blocking the event loop."""
        from airflow_provider_llamabatch.llamacloud.call import page_after

        seen: set[str] = set()
        following: Call[Page[T]] | None = call
        while following is not None:
            page = await self.asend(following)
            for item in page.items:
                yield item
            following = page_after(call, page.next_page_token, seen)

    def create_batch(
        self,
        *,
        source_directory_id: str,
        configuration_id: str,
        job_type: str = "parse_v2",
        webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
        webhook_configuration_ids: Sequence[str] | None = None,
    ) -> Batch:
        """
        Start a batch over every file of a directory (at most 1,000) and return it.

        Sent again only when it surely was not processed: each batch is billed. ``CreateBatchOperator`` also finds
        the batch of a submission whose answer was lost.
        """
        from airflow_provider_llamabatch.llamacloud import calls

        return self.send(
            calls.create_batch(
                source_directory_id=source_directory_id,
                configuration_id=configuration_id,
                job_type=job_type,
                webhook_configurations=webhook_configurations,
                webhook_configuration_ids=webhook_configuration_ids,
            )
        )

    async def acreate_batch(
        self,
        *,
        source_directory_id: str,
        configuration_id: str,
        job_type: str = "parse_v2",
        webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
        webhook_configuration_ids: Sequence[str] | None = None,
    ) -> Batch:
        """Start a batch; the asynchronous twin of ``create_batch``."""
        from airflow_provider_llamabatch.llamacloud import calls

        return await self.asend(
            calls.create_batch(
                source_directory_id=source_directory_id,
                configuration_id=configuration_id,
                job_type=job_type,
                webhook_configurations=webhook_configurations,
                webhook_configuration_ids=webhook_configuration_ids,
            )
        )

    def get_batch(self, batch_id: str, *, expand_results: bool = False) -> Batch:
        """Return a batch, with ``expand_results`` its per-file results (null while it runs)."""
        from airflow_provider_llamabatch.llamacloud import calls

        return self.send(calls.get_batch(batch_id, expand_results=expand_results))

    async def aget_batch(self, batch_id: str, *, expand_results: bool = False) -> Batch:
        """Return a batch; the asynchronous twin of ``get_batch``."""
        from airflow_provider_llamabatch.llamacloud import calls

        return await self.asend(calls.get_batch(batch_id, expand_results=expand_results))

    def list_batches(
        self,
        *,
        source_directory_id: str | None = None,
        status: str | None = None,
        created_at_on_or_after: datetime | str | None = None,
        created_at_on_or_before: datetime | str | None = None,
    ) -> Iterator[Batch]:
        """Walk the batches that match, page by page as they are asked for; both dates are inclusive."""
        from airflow_provider_llamabatch.llamacloud import calls

        return self.iterate(
            calls.list_batches(
                source_directory_id=source_directory_id,
                status=status,
                created_at_on_or_after=created_at_on_or_after,
                created_at_on_or_before=created_at_on_or_before,
            )
        )

    def alist_batches(
        self,
        *,
        source_directory_id: str | None = None,
        status: str | None = None,
        created_at_on_or_after: datetime | str | None = None,
        created_at_on_or_before: datetime | str | None = None,
    ) -> AsyncIterator[Batch]:
        """Walk the batches that match; the asynchronous twin of ``list_batches``."""
        from airflow_provider_llamabatch.llamacloud import calls

        return self.aiterate(
            calls.list_batches(
                source_directory_id=source_directory_id,
                status=status,
                created_at_on_or_after=created_at_on_or_after,
                created_at_on_or_before=created_at_on_or_before,
            )
        )

    def cancel_batch(self, batch_id: str) -> Batch:
        """
        Ask for a batch to be cancelled and return it; CANCELLED follows once processing has stopped.

        A batch that has already ended is returned as it is: too late is not an error.
        """
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import RefusedError

        try:
            return self.send(calls.cancel_batch(batch_id))
        except RefusedError:
            batch = self.get_batch(batch_id)
            if not batch.is_terminal:
                raise
            return batch

    async def acancel_batch(self, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled; the asynchronous twin of ``cancel_batch``."""
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.errors import RefusedError

        try:
            return await self.asend(calls.cancel_batch(batch_id))
        except RefusedError:
            batch = await self.aget_batch(batch_id)
            if not batch.is_terminal:
                raise
            return batch

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

    def _connect(self) -> Client:
        from airflow_provider_llamabatch.llamacloud.transport import Client

        with _named_when_missing(self.llamabatch_conn_id):
            connection = self.get_connection(self.llamabatch_conn_id)
        settings = _settings(self.llamabatch_conn_id, connection)
        mask_secret(settings.api_key)
        return Client(settings)

    async def _open(self, *, refused: AsyncClient | None) -> AsyncClient:
        """
        Return the asynchronous client, made from the connection when first asked for.

        One that was ``refused`` is replaced once the connection holds something else; until the hook is closed it
        is kept open, since other calls may still be under way on it.
        """
        from airflow.providers.common.compat.connection import get_async_connection

        async with self._opening:
            newest = self._aclients[-1] if self._aclients else None
            if newest is not refused and newest is not None:
                return newest
            with _named_when_missing(self.llamabatch_conn_id):
                connection = await get_async_connection(self.llamabatch_conn_id, hook=self)
            settings = _settings(self.llamabatch_conn_id, connection)
            if newest is not None and newest.settings == settings:
                return newest
            self._aclients.append(await asyncio.to_thread(_async_client, settings))
            return self._aclients[-1]


@contextlib.contextmanager
def _named_when_missing(conn_id: str) -> Iterator[None]:
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    try:
        yield
    except AirflowNotFoundException:
        raise InvalidInputError(
            "llamabatch_conn_id",
            f"there is no Airflow connection {conn_id!r}; create one of type llamabatch with the API key as password",
        ) from None


def _async_client(settings: ClientSettings) -> AsyncClient:
    """Return a client; the imports and the CA bundle take tens of milliseconds, so not on the event loop."""
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

    return AsyncClient(settings)


def _settings(conn_id: str, connection: Connection) -> ClientSettings:
    from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection

    return settings_from_connection(
        conn_id,
        password=connection.password,
        host=connection.host,
        schema=connection.schema,
        port=connection.port,
        extra=connection.extra,
    )
