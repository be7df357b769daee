"""The files for larger deployments say nothing that Airflow does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

DEPLOY = Path(__file__).parents[2] / "deploy"
# What the chart takes at its top level and below what is set here, from its values.schema.json.
CHART = {
    "executor": None,
    "airflowVersion": None,
    "images": {"airflow"},
    "data": {"metadataSecretName", "brokerUrlSecretName", "resultBackendSecretName"},
    "postgresql": {"enabled"},
    "redis": {"enabled"},
    "pgbouncer": {"enabled", "metadataPoolSize", "resultBackendPoolSize", "maxClientConn"},
    "extraEnvFrom": None,
    "workers": {"replicas", "resources", "terminationGracePeriodSeconds"},
    "triggerer": {"replicas", "resources"},
    "scheduler": {"replicas"},
    "dagProcessor": {"enabled", "replicas"},
    "apiServer": {"replicas"},
    "config": None,
}
COMPONENTS = {"api-server", "scheduler", "dag-processor", "worker", "triggerer", "migration"}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def options() -> dict[str, set[str]]:
    from airflow.configuration import conf

    return {section: set(found["options"]) for section, found in conf.configuration_description.items()}


@pytest.fixture
def values() -> Any:
    return read("helm-values.yaml")


def test_the_values_name_only_what_the_chart_takes(values):
    assert set(values) <= set(CHART)
    for name, allowed in CHART.items():
        if allowed is not None:
            assert set(values[name]) <= allowed


def test_the_values_set_only_options_that_airflow_has(values):
    known = options()
    if "state_store" not in known:
        pytest.skip("these values set options that Airflow has from 3.3 on")
    of_celery = values["config"].pop("celery")  # the Celery provider's section
    assert set(of_celery) == {"worker_concurrency"}
    for section, chosen in values["config"].items():
        assert set(chosen) <= known[section]


def test_the_values_hold_no_secret_and_a_standby_for_each_wait(values):
    assert "llx-" not in str(values)
    assert values["triggerer"]["replicas"] >= 2
    assert yaml.safe_load(values["extraEnvFrom"]) == [{"secretRef": {"name": "llamacloud"}}]


def test_the_composition_has_every_component_with_the_same_environment():
    services = read("compose.yaml")["services"]

    assert set(services) == COMPONENTS | {"postgres", "redis"}
    assert {services[name]["environment"]["AIRFLOW__CORE__EXECUTOR"] for name in COMPONENTS} == {
        "CeleryExecutor"
    }
    for name in COMPONENTS - {"migration"}:
        assert services[name]["depends_on"] == {"migration": {"condition": "service_completed_successfully"}}
    assert [name for name in services if services[name].get("deploy") == {"replicas": 2}] == [
        "scheduler",
        "worker",
        "triggerer",
    ]


def test_the_composition_listens_on_the_loopback_interface_and_asks_for_every_secret():
    services = read("compose.yaml")["services"]
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")

    assert [name for name in services if "ports" in services[name]] == ["api-server"]
    assert services["api-server"]["ports"] == ["127.0.0.1:8080:8080"]
    for secret in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "AIRFLOW_SECRET", "LLAMA_CLOUD_API_KEY"):
        assert f"${{{secret}:?}}" in text


def test_the_composition_sets_only_options_that_airflow_has():
    known = options()
    if "api_auth" not in known:
        pytest.skip("for Airflow 3")
    for name in read("compose.yaml")["services"]["worker"]["environment"]:
        parts = name.split("__")
        if len(parts) == 3 and parts[1] not in ("CELERY",):
            assert parts[2].lower() in known[parts[1].lower()]
