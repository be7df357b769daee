"""The official client's own API tests and its own batch example, run unchanged against the emulator."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator, Settings
from tests.integration.emulator.lenience import be_lenient

VERSION = "2.19.0"
ARCHIVE = f"llama_cloud-{VERSION}.tar.gz"
SHA256 = "17cd945511c3f6bc2f64d73ec5ea24b31ed7d2401b49026a94d7d02b92c5fbf5"
HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache"

API_TESTS = [
    "test_batches.py",
    "test_parsing.py",
    "test_extract.py",
    "test_configurations.py",
    "test_projects.py",
    "test_v2_projects.py",
    "test_files.py",
    "test_webhook_configs.py",
    "beta/test_directories.py",
    "beta/directories/test_files.py",
]
# Left out: the variants over aiohttp need an extra of the client, and POST /api/v1/beta/files/query is deprecated.
LEFT_OUT = "not aiohttp and not _query"
EXPECTED = 872


@pytest.fixture(scope="module")
def sources() -> Path:
    """The client's source distribution, unpacked: its tests and examples are not in the wheel."""
    unpacked = CACHE / f"llama_cloud-{VERSION}"
    if not unpacked.is_dir():
        CACHE.mkdir(exist_ok=True)
        # Unpacked aside, so that a killed run leaves no half of it behind.
        with tempfile.TemporaryDirectory(dir=CACHE) as aside:
            with tarfile.open(fileobj=io.BytesIO(download())) as tar:
                tar.extractall(aside, filter="data")
            (Path(aside) / unpacked.name).rename(unpacked)
    return unpacked


def download() -> bytes:
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    page_url = f"{index.rstrip('/')}/llama-cloud/"
    listing = fetch(page_url).decode()
    found = re.search(rf"[\"']([^\"'#]*{re.escape(ARCHIVE)})", listing)
    assert found, f"{page_url} does not offer {ARCHIVE}"
    content = fetch(urllib.parse.urljoin(page_url, found[1]))
    assert hashlib.sha256(content).hexdigest() == SHA256
    return content


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def test_the_official_api_tests_pass(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be_lenient(monkeypatch)
    with LlamaCloudEmulator(api_key="My API Key") as emulator:  # the key their conftest sends
        environment = {**os.environ, "PYTHONPATH": str(HERE), "TEST_API_BASE_URL": emulator.url}
        plain = ["-q", "-o", "addopts=-p no:anyio", "-p", "no:cacheprovider", "-p", "official_unskip"]
        plain += ["-k", LEFT_OUT]
        files = [f"tests/api_resources/{name}" for name in API_TESTS]
        command = [sys.executable, "-m", "pytest", *plain, *files]
        run = subprocess.run(
            command, cwd=sources, env=environment, capture_output=True, text=True, check=False
        )
        asked = emulator.control.counters()["requests"]
    assert run.returncode == 0, run.stdout[-5000:]
    summary = run.stdout.strip().splitlines()[-1]
    assert f"{EXPECTED} passed" in summary, summary
    assert "skipped" not in summary
    assert asked > EXPECTED / 2


# Looks every ten or three seconds become more frequent ones.
RUNNER = """
import asyncio, runpy, sys
sleep = asyncio.sleep
asyncio.sleep = lambda seconds, *more: sleep(min(seconds, 0.1), *more)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("batches/batch_end_to_end.py", [r"\(PENDING\)", "Batch status: COMPLETED"]),
        ("batches/batch_end_to_end.py", [r"(?m)^(?:dfl-\S+ -> parse_v2 pjb-\S+\n){2}"]),
        ("parse/parse_end_to_end.py", ["page_number=1", "TextItem"]),
        ("parse/parse_manual_polling.py", ["Job status: RUNNING", "page_number=1"]),
        ("parse/parse_extract_page_images.py", ["^$"]),  # no images are taken out of documents
        ("extract/extract_v2_end_to_end.py", ["Job created: ext-", "Vendor: "]),
        ("extract/extract_v2_manual_polling.py", ["status: COMPLETED", "Result:"]),
    ],
)
def test_the_official_examples_run_to_their_end(sources: Path, example: str, said: list[str]) -> None:
    script = sources / "examples" / example
    with LlamaCloudEmulator(
        settings=Settings(batch_pending_seconds=0.2, batch_running_seconds=0.3)
    ) as emulator:
        keys = {"LLAMA_CLOUD_API_KEY": emulator.api_key, "LLAMA_CLOUD_BASE_URL": emulator.url}
        command = [sys.executable, "-c", RUNNER, script.name]
        run = subprocess.run(
            command, cwd=script.parent, env=os.environ | keys, capture_output=True, text=True, check=False
        )
    assert run.returncode == 0, run.stderr
    for pattern in said:
        assert re.search(pattern, run.stdout), run.stdout
