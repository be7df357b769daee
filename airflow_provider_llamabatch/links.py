"""The operator link: from a task in Airflow's UI to the project in LlamaCloud's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_llamabatch.xcom import LINK

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

_UI_BY_API = {
    "https://api.cloud.llamaindex.ai": "https://cloud.llamaindex.ai",
    "https://api.cloud.eu.llamaindex.ai": "https://cloud.eu.llamaindex.ai",
}


def project_url(base_url: str, project_id: str | None) -> str:
    """Return the project's page in LlamaCloud's UI, empty for other hosts; batches have no documented page."""
    ui = _UI_BY_API.get(base_url)
    return f"{ui}/project/{quote(project_id, safe='')}" if ui and project_id else ""


class LlamaCloudProjectLink(BaseOperatorLink):
    """Links to the batch's project in LlamaCloud."""

    name = "LlamaCloud"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL that the task has pushed, or nothing before it did."""
        url = XCom.get_value(key=LINK, ti_key=ti_key)
        return url if isinstance(url, str) else ""
