"""Short-lived download addresses, signed so that nothing needs to be remembered about them."""

import hashlib
import hmac
import math
import mimetypes
import re
from typing import Any

from fastapi import HTTPException, Response
from fastapi.responses import FileResponse

from airflow_provider_llamabatch.emulator.documents import results
from airflow_provider_llamabatch.emulator.errors import not_found
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, sure
from airflow_provider_llamabatch.emulator.state import jobs
from airflow_provider_llamabatch.emulator.state.clock import iso
from airflow_provider_llamabatch.emulator.state.outcomes import pages_of
from airflow_provider_llamabatch.emulator.state.records import Job, StoredFile
from airflow_provider_llamabatch.emulator.state.service import EmulatorState

LIFETIME_SECONDS = 3600
FILE = "file"
MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

api = Api("/_emulator/downloads", "Control", needs_key=False)


def presigned(request: ApiRequest, kind: str, id_: str, seconds: int = LIFETIME_SECONDS) -> dict[str, Any]:
    """Return the API's presigned URL object for a file (``kind`` FILE) or for a stored result of a parse job."""
    expires = math.ceil(request.now) + seconds
    base = str(request.base_url).rstrip("/")
    signature = _signature(request.service, kind, id_, expires)
    url = f"{base}/_emulator/downloads/{kind}/{id_}?expires={expires}&signature={signature}"
    return {"url": url, "expires_at": iso(expires), "form_fields": None}


@api.route("GET", "/{kind}/{id_}", refusals=[403, 404], media_type="*/*")
def download(request: ApiRequest, kind: str, id_: str, expires: int, signature: str) -> Response:
    """Serve a download address; no key is needed."""
    if not hmac.compare_digest(signature.encode(), _signature(request.service, kind, id_, expires).encode()):
        raise HTTPException(403, "The signature does not match")
    if request.now > expires:
        raise HTTPException(403, "Request has expired")
    return _file(request, id_) if kind == FILE else _result(request, kind, id_)


def _file(request: ApiRequest, id_: str) -> Response:
    found = [project.files.get(id_) for project in request.service.projects.values()]
    file: StoredFile = sure(next(filter(None, found), None), "File", id_)
    given = file.content_type or mimetypes.guess_type(file.name)[0] or ""
    media_type = given if MEDIA_TYPE.fullmatch(given) else "application/octet-stream"
    return FileResponse(request.service.blobs.path(file.blob), media_type=media_type)


def _result(request: ApiRequest, kind: str, id_: str) -> Response:
    if kind not in results.STORED:
        raise not_found("Result", kind)
    found = [project.jobs["parse_v2"].get(id_) for project in request.service.projects.values()]
    job: Job = sure(next(filter(None, found), None), "Job", id_)
    if jobs.results_are_gone(job, request.now, request.settings):
        raise not_found("Result", kind)
    media_type = "text/plain" if kind in {"text", "markdown"} else "application/json"
    chosen = pages_of(job, request.service.blobs.document(job.blob))
    return Response(results.stored(chosen, kind), media_type=media_type)


def _signature(service: EmulatorState, kind: str, id_: str, expires: int) -> str:
    signed = f"{kind}/{id_}/{expires}".encode()
    return hmac.new(service.download_secret, signed, hashlib.sha256).hexdigest()
