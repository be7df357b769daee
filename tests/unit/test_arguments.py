"""A wrong constant is found when the DAG is read; what is known only later passes."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, XComArg

from airflow_provider_llamabatch.airflow_compat import has_partitions
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.task_groups import process_directory

A_DAG = DAG("a", schedule=None)


def create(**arguments):
    return CreateBatchOperator(task_id="a", source_directory_id="d", configuration_id="c", **arguments)


def upload(**arguments):
    return UploadDirectoryOperator(task_id="a", source="s", **arguments)


def save(**arguments):
    return SaveBatchResultsOperator(task_id="a", job_references=[], target="t", **arguments)


def batch_sensor(**arguments):
    return BatchSensor(task_id="a", batch_id="b", **arguments)


def jobs_sensor(**arguments):
    return BatchJobsSensor(task_id="a", job_references=[], **arguments)


def group(**arguments):
    with DAG("of_a_group", schedule=None):
        return process_directory(**{"source": "s", "target": "t", "configuration_id": "c", **arguments})


@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [
        (create, "job_type", "parse"),
        (create, "job_type", None),
        (create, "job_type", 2),
        (create, "poll_interval", 0),
        (create, "timeout", "1h"),
        (create, "timeout", timedelta(0)),
        (create, "max_file_attempts", 0),
        (batch_sensor, "poll_interval", 0),
        (batch_sensor, "poll_interval", True),
        (jobs_sensor, "timeout", -1),
        (jobs_sensor, "poll_interval", "often"),
        (create, "fresh", "False"),
        (create, "wait_for_jobs", 1),
        (create, "deferrable", "no"),
        (create, "cancel_on_kill", None),
        (create, "fail_on_partial_error", "{{ true }}"),
        (upload, "directory_type", "forever"),
        (upload, "if_empty", "ignore"),
        (upload, "on_unsupported", 7),
        (upload, "outputs", "markdown"),
        (upload, "outputs", ["pdf"]),
        (upload, "max_concurrency", 0),
        (upload, "max_files_per_directory", 1001),
        (save, "outputs", ()),
        (save, "outputs", ["markdown", "pdf"]),
        (save, "max_concurrency", 1.5),
        (upload, "pattern", ""),
        (upload, "pattern", " "),
        (upload, "max_files", -1),
        (upload, "max_files", "5"),
        (upload, "max_pages", True),
        (save, "min_confidence", 1.01),
        (save, "min_confidence", -0.1),
        (save, "min_confidence", "0.9"),
        (group, "poll_interval", -1),
        (group, "timeout", "1h"),
        (group, "max_file_attempts", "2"),
        (group, "job_type", "parse"),
        (group, "outputs", ["records"]),  # of parse jobs, that is
        (group, "outputs", ["markdown", "parquet"]),
        (group, "max_files", -1),
        (group, "min_confidence", 90),
    ],
)
def test_a_wrong_constant_is_named(make, argument, value):
    with pytest.raises(InvalidInputError) as raised:
        make(**{argument: value})

    assert isinstance(raised.value, AirflowFailException)  # of a mapped task it shows at run time: no retry
    assert str(raised.value).startswith(f"{argument}: must be ")
    assert repr(value) in str(raised.value)


def cancel(**arguments):
    return CancelBatchOperator(task_id="a", **arguments)


def wait(**arguments):
    return BatchSensor(task_id="a", **arguments)


def create_with(**arguments):
    return CreateBatchOperator(
        task_id="a",
        wait_for_jobs=True,
        max_file_attempts=2,
        **{"source_directory_id": "d", "configuration_id": "c", **arguments},
    )


@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [
        (create_with, "source_directory_id", "cfg-PARSE_AGENTIC"),
        (create_with, "configuration_id", "dir-123"),
        (create_with, "retry_configuration_id", "dir-123"),
        (cancel, "batch_id", "dir-1"),
        (wait, "batch_id", "pjb-1"),
        (save, "source_directory_id", "bat-1"),
    ],
)
def test_a_constant_id_of_something_else_is_found_when_the_dag_is_read(make, argument, value):
    with pytest.raises(
        InvalidInputError, match=f"^{argument}: must be the id of a .*, not of a .*{value}"
    ) as raised:
        make(**{argument: value})

    assert isinstance(raised.value, AirflowFailException)


@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [
        (create, "job_type", "{{ params.job_type }}"),
        (create, "job_type", "{% if x %}parse_v2{% endif %}"),
        (create, "job_type", XComArg(CancelBatchOperator(task_id="before", batch_id="b", dag=A_DAG))),
        (create, "timeout", timedelta(hours=1)),
        (create, "job_type", "extract_v2"),
        (save, "outputs", ["records", "parquet"]),
        (save, "min_confidence", 1),
        (upload, "max_files", 0),
        (upload, "pattern", "{{ params.pattern }}"),
        (upload, "directory_type", "user"),
    ],
)
def test_what_is_right_or_known_later_passes(make, argument, value):
    assert getattr(make(**{argument: value}), argument) == value


def test_the_task_group_finds_it_too():
    with pytest.raises(InvalidInputError, match="outputs: must be"):
        group(outputs=("pdf",))


@pytest.mark.parametrize(
    ("make", "arguments", "problem"),
    [
        (upload, {"mirror": True}, "mirror=True needs directory_id"),
        (upload, {"changed_only": True}, "changed_only=True needs directory_id"),
        (create, {"retry_configuration_id": "r"}, "needs max_file_attempts=2 or more"),
        (group, {"retry_configuration_id": "r"}, "needs max_file_attempts=2 or more"),
        (group, {"source": None}, "process_directory takes .* and neither was given"),
        (group, {"directory_id": "dir-1"}, "process_directory takes .* and both were: 's' and 'dir-1'"),
    ],
)
def test_arguments_that_do_not_go_together_are_named(make, arguments, problem):
    with pytest.raises(ValueError, match=problem):
        make(**arguments)


@pytest.mark.parametrize("make", [create, group])
def test_a_configuration_for_attempts_that_there_are_none_of_is_named(make):
    with pytest.raises(
        InvalidInputError, match=r"^retry_configuration_id: 'r' is .* needs max_file_attempts=2 or more"
    ):
        make(retry_configuration_id="r")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("pattern", "**/*.pdf"),
        ("source_conn_id", "aws_default"),
        ("reuse", False),
        ("if_empty", "fail"),
        ("on_unsupported", "fail"),
        ("max_files", 0),
        ("max_pages", 1000),
        ("max_files_per_directory", 100),
    ],
)
def test_what_counts_for_an_upload_is_refused_where_the_task_group_uploads_nothing(argument, value):
    with pytest.raises(
        InvalidInputError, match=f"^{argument}: counts for the upload of a source, "
    ) as raised:
        group(source=None, directory_id="dir-1", **{argument: value})
    assert repr(value) in str(raised.value)


def test_arguments_that_go_together_pass():
    upload(mirror=True, directory_id="{{ params.directory_id }}")
    group(retry_configuration_id="r", max_file_attempts=2)
    group(source=None, directory_id="dir-1", pattern="**/*", max_files=None, max_file_attempts=2)
    create(retry_configuration_id="r", max_file_attempts=2, wait_for_jobs=True)


def test_an_argument_that_the_task_group_does_not_have_is_its_own_mistake():
    with pytest.raises(
        TypeError, match=r"^process_directory\(\) got an unexpected keyword argument 'nonsense'$"
    ):
        group(nonsense=1)


@pytest.mark.skipif(not has_partitions(), reason="Airflow has partitions from 3.3 on")
@pytest.mark.parametrize("make", [save, group])
def test_partitions_are_those_of_an_asset(make):
    with pytest.raises(InvalidInputError, match="partitions: must be an Asset, not 'x'"):
        make(partitions="x")


@pytest.mark.parametrize(
    "operator",
    [
        CreateBatchOperator,
        CancelBatchOperator,
        UploadDirectoryOperator,
        DeleteDirectoryOperator,
        SaveBatchResultsOperator,
        BatchSensor,
        BatchJobsSensor,
    ],
)
def test_every_argument_that_is_true_or_false_is_checked(operator):
    parameters = inspect.signature(inspect.unwrap(operator.__init__)).parameters
    arguments = {
        name: "a"
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    switches = [
        name for name, parameter in parameters.items() if str(parameter.annotation).startswith("bool")
    ]

    for switch in switches:
        with pytest.raises(InvalidInputError, match=f"^{switch}: must be True or False, not 'False'"):
            operator(task_id="a", **arguments, **{switch: "False"})


@pytest.mark.parametrize("make", [batch_sensor, jobs_sensor])
def test_two_intervals_of_a_sensor_that_differ_are_an_error(make):
    with pytest.raises(InvalidInputError, match=r"poll_interval: must be the same as poke_interval \(9\)"):
        make(poll_interval=7, poke_interval=9)

    assert make(poll_interval=9, poke_interval=timedelta(seconds=9)).poll_interval == 9


@pytest.mark.parametrize("make", [batch_sensor, jobs_sensor])
def test_a_sensors_own_poke_interval_wins_over_the_poll_interval_of_all_tasks(make):
    with DAG("intervals", schedule=None, default_args={"poll_interval": 7}):
        assert make(poke_interval=9).poll_interval == 9


@pytest.mark.parametrize("make", [batch_sensor, jobs_sensor])
@pytest.mark.parametrize("value", [0, -1, "5"])
def test_a_wrong_poke_interval_is_named_as_it_was_given(make, value):
    with pytest.raises(InvalidInputError, match=r"^poke_interval: must be a number of seconds above 0"):
        make(poke_interval=value)


def test_an_api_key_in_another_argument_is_not_shown():
    with pytest.raises(InvalidInputError, match=r"^job_type: must be one of .*, not an API key$"):
        create(job_type="llx-abcdefghijklmnopqrstuvwxyz")
