"""
The operator link: from a task in Airflow's UI to its project in LlamaCloud's. Batches have no documented page.

A task pushes the URL as soon as it knows its connection, so that the link is there while the task runs and after it
failed. Airflow 3 reads the XCom under the link's ``xcom_key`` and writes it again after each run, from ``get_link``;
Airflow 2 calls ``get_link`` when somebody looks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_llamabatch import configuration, xcom
from airflow_provider_llamabatch.airflow_compat import has_views, opens_views_anywhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.models import Batch

_UI_BY_API = {
    "https://api.cloud.llamaindex.ai": "https://cloud.llamaindex.ai",
    "https://api.cloud.eu.llamaindex.ai": "https://cloud.eu.llamaindex.ai",
}


class _PushedLink(BaseOperatorLink):
    """Leads where the task has said under ``key``."""

    key: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        """Return the key that the task pushes the URL under."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL that the task has pushed, or nothing before it did."""
        url = XCom.get_value(key=self.key, ti_key=ti_key)
        return url if isinstance(url, str) else ""


class LlamaCloudProjectLink(_PushedLink):
    """Links to the task's project in LlamaCloud."""

    name = "LlamaCloud"
    key = xcom.LINK


class BatchPageLink(_PushedLink):
    """Links to the task's batch on the page in Airflow's own UI."""

    name = "Batch"
    key = xcom.PAGE


def page_url(base_url: str, project_id: str | None) -> str:
    """
    Return the project's page in LlamaCloud's UI, or the UI's first page where the project is not known.

    Empty where there is no UI: the host is none of LlamaCloud's regions and ``[llamabatch] ui_host`` is not set.
    """
    configured = configuration.ui_host()
    if configured == configuration.NO_LINKS:
        return ""
    ui = configured or _UI_BY_API.get(base_url, "")
    return f"{ui}/project/{quote(project_id, safe='')}" if ui and project_id else ui


def batch_page_url(connection_id: str, batch_id: str) -> str:
    """Return where a batch is shown in Airflow's UI: in its frame where an address can lead there, else on its own."""
    from airflow.providers.common.compat.sdk import conf

    root = conf.get("api", "base_url", fallback="").rstrip("/")
    page = f"/llamabatch/connections/{quote(connection_id, safe='')}/batches/{quote(batch_id, safe='')}"
    if opens_views_anywhere():  # the frame's own path follows, with the prefix that Airflow is mounted at
        page = f"/plugin/llamabatch{urlsplit(root).path}{page}"
    return f"{root}{page}"


def push_page_link(context: Context, connection_id: str, batch_id: str | None) -> None:
    """Push where the page shows the batch; nothing, for the reason below, while there is none."""
    if has_views() and configuration.ui_host() != configuration.NO_LINKS:
        url = batch_page_url(connection_id, batch_id) if batch_id else ""
        xcom.push(context, xcom.PAGE, url)


def push_link(context: Context, hook: LlamaBatchHook, project_id: str | None) -> None:
    """Push where the task's link leads, if anywhere: to ``project_id``, else the connection's project."""
    settings = hook.get_conn().settings
    _push(context, page_url(settings.base_url, project_id or settings.project_id))


def push_found_link(
    context: Context, hook: LlamaBatchHook, project_id: str | None, batch: Batch | None
) -> None:
    """Push the link again where only the batch has told which project it is in."""
    settings = hook.get_conn().settings
    if batch is not None and batch.project_id and not (project_id or settings.project_id):
        _push(context, page_url(settings.base_url, batch.project_id))


def _push(context: Context, url: str) -> None:
    """Push a URL, also an empty one: Airflow 3 logs an error where the XCom of a link is not there at all."""
    if configuration.ui_host() != configuration.NO_LINKS:
        xcom.push(context, xcom.LINK, url)


class _Links(Collection[BaseOperatorLink]):
    """
    What a class has as ``operator_extra_links``: counted anew each time, as the deployment says then.

    A link that leads nowhere leaves an empty heading on Airflow 3's page, so there is none where none is wanted. It is
    a collection and no property: a mapped task holds what its operator's class has, and Airflow 3 iterates over that.
    """

    def __init__(self, *, of_batch: bool = False) -> None:
        self._of_batch = of_batch

    def _wanted(self) -> list[BaseOperatorLink]:
        if configuration.ui_host() == configuration.NO_LINKS:
            return []
        return [LlamaCloudProjectLink(), *([BatchPageLink()] if self._of_batch and has_views() else [])]

    def __iter__(self) -> Iterator[BaseOperatorLink]:
        return iter(self._wanted())

    def __len__(self) -> int:
        return len(self._wanted())

    def __contains__(self, link: object) -> bool:
        return link in self._wanted()


OPERATOR_LINKS = _Links()
BATCH_LINKS = _Links(of_batch=True)  # the same, with the page in Airflow's UI
