"""
What keeps other sites from acting through a user's browser: a token in each form, and a check of the origin.

Airflow's cookie goes along with what another site, or another port of the same host, makes a browser send. So a form
holds a token signed with the API server's secret key, for one user and one action, and `Origin` has to be this site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from airflow.configuration import conf
from fastapi import HTTPException, Request
from itsdangerous import BadData, URLSafeTimedSerializer

from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.access import ViewerDep

if TYPE_CHECKING:
    from airflow_provider_llamabatch.ui.access import Viewer

FIELD = "token"
MAX_BODY = 64 * 1024
_PORTS = {"http": 80, "https": 443}


def token_for(viewer: Viewer, action: str, connection_id: str, batch_id: str) -> str:
    """Return the token with which this user may do this to a batch, for ``limits.TOKEN_SECONDS``."""
    return str(_serializer().dumps([viewer.id, action, connection_id, batch_id]))


async def checked_form(request: Request, viewer: ViewerDep) -> dict[str, str]:
    """Return the fields of a form that this very user sent from this very site; 403 for any other."""
    if not _is_same_origin(request):
        raise HTTPException(403, "This came from another site, so nothing was done.")
    body = await request.body()
    if len(body) > MAX_BODY:
        raise HTTPException(413, "The form is too long.")
    fields = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    try:
        signed = _serializer().loads(fields.get(FIELD, ""), max_age=limits.TOKEN_SECONDS)
    except BadData:
        signed = None
    action = request.url.path.rstrip("/").rsplit("/", 1)[-1]
    if signed != [viewer.id, action, request.path_params["connection_id"], request.path_params["batch_id"]]:
        raise HTTPException(403, "The page is too old, or of another user. Load it again; nothing was done.")
    return fields


def _is_same_origin(request: Request) -> bool:
    """
    Say whether the browser names this site as the origin.

    Browsers send `Origin` with every POST. This site is where the request went to, or what ``[api] base_url`` says,
    where a proxy in front does not pass the host on.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = _place(request.headers.get("origin", ""))
    if origin is None:
        return False
    base = _place(conf.get("api", "base_url", fallback=""))
    scheme, _, _ = origin
    return origin == base or origin == _place(f"{scheme}://{request.headers.get('host', '')}")


def _place(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname, port


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt="llamabatch-page")
