"""Short-lived download addresses, signed so that nothing needs to be remembered about them."""

from __future__ import annotations

import hashlib
import hmac
import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel

from airflow_provider_llamabatch.emulator import results
from airflow_provider_llamabatch.emulator.answers import Answer, Refusal, not_found
from airflow_provider_llamabatch.emulator.asking import Last
from airflow_provider_llamabatch.emulator.clock import iso

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

LIFETIME_SECONDS = 3600
FILE = "file"


class DownloadQuery(BaseModel):
    """What a download address carries."""

    expires: Annotated[int, Last]
    signature: Annotated[str, Last]


def presigned(world: World, ask: Ask, kind: str, id_: str, seconds: int = LIFETIME_SECONDS) -> dict[str, Any]:
    """Return the API's presigned URL object for a file (``kind`` FILE) or for a stored result of a parse job."""
    expires = math.ceil(world.now) + seconds
    signature = _signature(world, kind, id_, expires)
    url = f"{ask.base_url}/_emulator/downloads/{kind}/{id_}?expires={expires}&signature={signature}"
    return {"url": url, "expires_at": iso(expires), "form_fields": None}


def download(world: World, ask: Ask) -> Answer:
    """Serve a download address; no key is needed."""
    kind, id_ = ask.ids["kind"], ask.ids["id"]
    query = ask.query(DownloadQuery)
    if not hmac.compare_digest(query.signature, _signature(world, kind, id_, query.expires)):
        raise Refusal(403, "The signature does not match")
    if world.now > query.expires:
        raise Refusal(403, "Request has expired")
    if kind == FILE:
        file = world.stored_file(id_)
        return Answer(raw=file.blob.content, media_type=file.content_type or "application/octet-stream")
    if kind not in results.STORED:
        raise not_found("Result", kind)
    document = world.job(id_, "parse_v2").blob.document
    media_type = "text/plain" if kind in {"text", "markdown"} else "application/json"
    return Answer(raw=results.stored(document, kind, world.settings.failed_pages), media_type=media_type)


def _signature(world: World, kind: str, id_: str, expires: int) -> str:
    return hmac.new(world.download_secret, f"{kind}/{id_}/{expires}".encode(), hashlib.sha256).hexdigest()


ROUTES = [("GET", "/_emulator/downloads/{kind}/{id}", download)]
