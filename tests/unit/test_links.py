"""Where a task's link leads, and that there is none where it would lead nowhere."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch import links
from airflow_provider_llamabatch.airflow_compat import has_views
from airflow_provider_llamabatch.links import BatchPageLink, LlamaCloudProjectLink, batch_page_url, page_url
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


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_type)
def test_every_operator_and_sensor_has_the_link_unless_none_is_wanted(task, monkeypatch):
    link, *others = (
        task.operator_extra_links
    )  # as Airflow iterates over it after a run, also of a mapped task
    assert isinstance(link, LlamaCloudProjectLink)
    submits = "CreateBatch" in task.task_type
    assert [type(other) for other in others] == ([BatchPageLink] if submits and has_views() else [])

    monkeypatch.setenv("AIRFLOW__LLAMABATCH__UI_HOST", "none")
    assert not task.operator_extra_links  # as Airflow asks before it serializes a DAG


@pytest.mark.parametrize(
    ("base_url", "in_frame", "url"),
    [
        ("", True, "/plugin/llamabatch/llamabatch/connections/c%2F1/batches/bat-1"),
        ("", False, "/llamabatch/connections/c%2F1/batches/bat-1"),
        (
            "https://a.b/air/",
            True,
            "https://a.b/air/plugin/llamabatch/air/llamabatch/connections/c%2F1/batches/bat-1",
        ),
        ("https://a.b/air", False, "https://a.b/air/llamabatch/connections/c%2F1/batches/bat-1"),
    ],
)
def test_the_page_of_a_batch_in_airflows_own_ui(monkeypatch, base_url, in_frame, url):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    monkeypatch.setattr(links, "opens_views_anywhere", lambda: in_frame)

    assert batch_page_url("c/1", "bat-1") == url
