"""What the page shows of a DAG that a user may not see while the database does not tell which DAG made what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.page_world import SECRET_DAG

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("new_process"),
    pytest.mark.filterwarnings("ignore"),  # Airflow's API server: what it is warned of is its own
    pytest.mark.timeout(300),  # the first test makes a database and builds the API server
]


@pytest.fixture
def secret(world, monkeypatch):
    """A directory of payslips and the batch over it, which is not too young to be told of."""
    monkeypatch.setattr("airflow_provider_llamabatch.ui.limits.XCOM_LAG", -86400.0)
    world.settle()
    world.rows.clear()
    directory = world.directory("payslips", {"payslips.txt": "much"})
    return directory, world.batch(directory, SECRET_DAG)


def statuses(user, directory, batch):
    return [user.get(path).status_code for path in (f"/batches/{batch}", f"/directories/{directory}")]


def test_xcoms_that_a_backend_keeps_elsewhere_tell_of_no_dag(user, world, secret):
    world.rows[-1]["value"] = "s3://xcoms/payroll/run/create_batch/1f.gz"
    world.store()
    assert statuses(user("clerk"), *secret) == [404, 404]
    assert secret[1] not in user("clerk").read("/batches")
    assert "payslips" not in user("clerk").read("/directories")
    assert statuses(user("admin"), *secret) == [200, 200]


def test_more_xcoms_than_are_read_tell_of_some_dags_only(user, world, secret, monkeypatch):
    monkeypatch.setattr("airflow_provider_llamabatch.ui.limits.MAX_XCOMS", 1)
    for run in ("one", "two"):
        world.xcom("other", run, "count", "usage", {"tokens": 5}, datetime.now(UTC) + timedelta(hours=1))
    world.store()
    assert statuses(user("clerk"), *secret) == [404, 404]
    assert statuses(user("admin"), *secret) == [200, 200]


def test_a_batch_that_is_younger_than_what_was_read_of_dags_is_not_shown_yet(user, world):
    world.rows.clear()
    world.settle()
    world.store()
    clerk = user("clerk")
    clerk.read("/batches")  # reads the XComs
    batch = world.batch(world.directory("payslips", {"payslips.txt": "much"}), SECRET_DAG)
    world.store()
    assert clerk.get(f"/batches/{batch}").status_code == 404
    assert user("admin").get(f"/batches/{batch}").status_code == 200
