"""
Directories and configurations of LlamaCloud as Airflow assets, for inlets and outlets.

    llamacloud://directories/<directory id>
    llamacloud://configurations/<configuration id>
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.parse import SplitResult

KINDS = ("directories", "configurations")


def directory_uri(directory_id: str) -> str:
    """Return the asset URI of a directory. Raises ``ValueError`` for what is no id of one."""
    return f"llamacloud://directories/{_checked('directory_id', directory_id)}"


def configuration_uri(configuration_id: str) -> str:
    """Return the asset URI of a configuration. Raises ``ValueError`` for what is no id of one."""
    return f"llamacloud://configurations/{_checked('configuration_id', configuration_id)}"


def _checked(argument: str, value: str) -> str:
    from airflow_provider_llamabatch.llamacloud.call import checked_id

    return checked_id(argument, value)


def checked_uri(uri: SplitResult) -> SplitResult:
    """Return a ``llamacloud://`` URI as it is; Airflow calls this for every one. Raises ``ValueError`` for others."""
    path = uri.path.strip("/")
    if uri.netloc not in KINDS or not path or "/" in path:
        wanted = " or ".join(f"llamacloud://{kind}/<id>" for kind in KINDS)
        raise ValueError(f"a LlamaCloud asset is {wanted}, not {uri.geturl()!r:.200}")
    return uri._replace(path=f"/{path}")
