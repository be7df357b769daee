"""Where a task's link leads, and that there is none where it would lead nowhere."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.links import LlamaCloudProjectLink, page_url
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor

NA, OTHER = "https://api.cloud.llamaindex.ai", "https://llama.example.com"

TASKS = [
    CreateBatchOperator(task_id="a", source_directory_id="d", configuration_id="c"),
    CreateBatchOperator.partial(task_id="m", configuration_id="c").expand(source_directory_id=["d"]),
    CancelBatchOperator(task_id="b", batch_id="b"),
    UploadDirectoryOperator(task_id="c", source="s"),
    DeleteDirectoryOperator(task_id="d", directory_id="d"),
    SaveBatchResultsOperator(task_id="e", job_references=[], target="t"),
    BatchSensor(task_id="f", batch_id="b"),
    BatchJobsSensor(task_id="g", job_references=[]),
]


@pytest.mark.parametrize(
    ("base_url", "project", "ui_host", "url"),
    [
        (NA, "p", None, "https://cloud.llamaindex.ai/project/p"),
        (NA, None, None, "https://cloud.llamaindex.ai"),
        ("https://api.cloud.eu.llamaindex.ai", "p", None, "https://cloud.eu.llamaindex.ai/project/p"),
        (NA, "a/b", None, "https://cloud.llamaindex.ai/project/a%2Fb"),
        (OTHER, "p", None, ""),
        (OTHER, None, None, ""),
        (OTHER, "p", "https://ui.example.com/", "https://ui.example.com/project/p"),
        (OTHER, None, "https://ui.example.com", "https://ui.example.com"),
        (NA, "p", "none", ""),
    ],
)
def test_the_page_of_a_project(monkeypatch, base_url, project, ui_host, url):
    if ui_host is not None:
        monkeypatch.setenv("AIRFLOW__LLAMABATCH__UI_HOST", ui_host)

    assert page_url(base_url, project) == url


def links_of(task):
    """Return a task's links as Airflow does when it serializes a DAG."""
    links = task.operator_extra_links
    return links.__get__(task) if isinstance(links, property) else links


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_type)
def test_every_operator_and_sensor_has_the_link_unless_none_is_wanted(task, monkeypatch):
    [link] = links_of(task)
    assert isinstance(link, LlamaCloudProjectLink)

    monkeypatch.setenv("AIRFLOW__LLAMABATCH__UI_HOST", "none")
    assert list(links_of(task)) == []
