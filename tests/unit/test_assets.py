from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from airflow_provider_llamabatch.assets import checked_uri, configuration_uri, directory_uri


@pytest.mark.parametrize("uri", [directory_uri("dir-1"), configuration_uri("cfg-PARSE_AGENTIC")])
def test_directories_and_configurations_are_assets(uri: str):
    assert checked_uri(urlsplit(uri)).geturl() == uri


@pytest.mark.parametrize(
    "uri",
    ["llamacloud://dir-1", "llamacloud://directories", "llamacloud://directories/a/b", "llamacloud://jobs/x"],
)
def test_anything_else_is_refused_with_what_it_should_be(uri: str):
    with pytest.raises(ValueError, match="llamacloud://directories/<id>"):
        checked_uri(urlsplit(uri))


def test_airflow_takes_them_and_refuses_others():
    from airflow.providers.common.compat.sdk import Asset

    assert Asset(directory_uri("dir-1")).uri == directory_uri("dir-1")


@pytest.mark.parametrize("wrong", [None, "", "a/b", "bat-1"])
def test_what_is_no_id_becomes_no_asset(wrong):
    for uri in (directory_uri, configuration_uri):
        with pytest.raises(ValueError, match=r"^(directory|configuration)_id: "):
            uri(wrong)
