from __future__ import annotations

import pytest

from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.storage import Storage


@pytest.fixture(autouse=True)
def without_packages(monkeypatch: pytest.MonkeyPatch):
    """An Airflow on which no file system is installed."""

    def missing(url, conn_id=None):
        raise ValueError(f"No filesystem registered for scheme {url.partition(':')[0]}")

    monkeypatch.setattr("airflow_provider_llamabatch.storage.ObjectStoragePath", missing)


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket/in", "apache-airflow-providers-amazon[s3fs]"),
        ("gs://bucket/in", "apache-airflow-providers-google"),
        ("abfs://container/in", "apache-airflow-providers-microsoft-azure"),
    ],
)
def test_the_package_that_a_storage_needs_is_named(url: str, package: str):
    with pytest.raises(InvalidInputError) as raised:
        Storage(url, argument="source")

    assert str(raised.value).startswith(f"source: {url!r} cannot be opened: No filesystem registered")
    assert str(raised.value).endswith(f"pip install '{package}'")


def test_of_another_scheme_only_what_airflow_says_is_told():
    with pytest.raises(InvalidInputError, match=r"No filesystem registered for scheme nope$"):
        Storage("nope://bucket/in")


@pytest.mark.parametrize("source", [None, 7, ["in/*.pdf"]])
def test_what_is_no_path_is_refused_under_the_name_of_its_argument(source: object):
    with pytest.raises(InvalidInputError) as raised:
        Storage(source, argument="source")
    assert str(raised.value) == f"source: must be a path or a URL, not {source!r}"


def test_an_api_key_as_the_name_of_a_storages_connection_is_refused_and_not_shown():
    with pytest.raises(InvalidInputError, match=r"^source_conn_id: holds an API key") as raised:
        Storage("s3://documents/in", "llx-abcdefghijklmnopqrstuvwxyz", argument="source")
    assert "abcdefgh" not in str(raised.value)
