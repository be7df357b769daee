"""The doctor against the emulator."""

from __future__ import annotations

import json
import os

import pytest

from tests.integration.cli.conftest import started


class TestDoctor:
    """What is said of a service that does not answer as it should."""

    def checks(self, command, *arguments):
        code, out, _ = command("doctor", "--output", "json", *arguments)
        return code, {row["check"]: row for row in json.loads(out)}

    def test_a_key_that_is_refused_leaves_the_rest_unknown(self, command, connect, emulator):
        connect(password="llx-wrong", host=emulator.url)

        code, found = self.checks(command)

        assert code == 1
        results = [found[name]["result"] for name in ("connection", "key", "project", "clock")]
        assert results == ["ok", "fail", "unknown", "unknown"]
        assert "401" in found["key"]["found"]
        assert "llx-wrong" not in json.dumps(found)

    def test_an_extra_with_a_slip_in_its_name_is_a_warning(self, command, connect, emulator):
        connect(password=emulator.api_key, host=emulator.url, extra={"timout_seconds": 5})

        _, found = self.checks(command)

        assert found["connection"]["result"] == "warn"
        assert "did you mean timeout_seconds?" in found["connection"]["found"]

    @pytest.mark.parametrize("name", ["POL_INTERVAL", "POL_INTERVAL_CMD"])
    def test_an_option_with_a_slip_in_its_name_is_a_warning(self, command, monkeypatch, name):
        monkeypatch.setenv(f"AIRFLOW__LLAMABATCH__{name}", "echo 5")

        _, found = self.checks(command)

        assert found["configuration"]["result"] == "warn"
        assert "did you mean poll_interval?" in found["configuration"]["found"]

    def test_a_wrong_option_is_no_fault_of_the_connection(self, command, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LLAMABATCH__MAX_ATTEMPTS", "many")

        code, found = self.checks(command)

        assert (code, found["connection"]["result"]) == (1, "fail")
        assert found["connection"]["what to do"] == "correct the option, as docs/configuration.md says"

    def test_a_service_that_does_not_answer_is_no_fault_of_the_connection(self, command, connect, emulator):
        connect(password=emulator.api_key, host="http://127.0.0.1:1")

        code, found = self.checks(command)

        assert (code, found["key"]["result"]) == (1, "fail")
        assert found["key"]["what to do"].startswith("the service does not answer: ")

    def test_a_plan_without_batches_is_found(self, command, emulator):
        emulator.control.add_fault(kind="status", status=403, method="GET", path="/batches$", times=1)

        code, found = self.checks(command)

        assert (code, found["key"]["result"]) == (1, "fail")

    def test_a_missing_connection_is_found(self, command):
        code, found = self.checks(command, "--conn-id", "nope")

        assert (code, found["connection"]["result"]) == (1, "fail")
        assert found["connection"]["what to do"]

    def test_a_project_of_somebody_else_is_found(self, command):
        code, found = self.checks(command, "--project-id", "prj-other")

        assert code == 1
        results = [found[name]["result"] for name in ("connection", "key", "project", "clock")]
        assert results == ["ok", "ok", "fail", "ok"]

    def test_a_wrong_option_is_found(self, command, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LLAMABATCH__POLL_INTERVAL", "soon")

        code, found = self.checks(command)

        assert (code, found["configuration"]["result"]) == (1, "fail")
        assert "poll_interval" in found["configuration"]["found"]

    @pytest.mark.long
    @pytest.mark.parametrize("database", ["/nonexistent/x.db", "{tmp_path}/not_migrated.db"])
    def test_a_database_that_cannot_be_read_is_named(self, tmp_path, database):
        url = f"sqlite:///{database.format(tmp_path=tmp_path)}"
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        }
        shown = started("doctor", "--conn-id", "nope", "--output", "json", env=environment)

        found = {row["check"]: row for row in json.loads(shown.stdout)}["connection"]
        assert (shown.returncode, found["result"]) == (1, "fail")
        assert "the metadata database cannot be read: OperationalError: " in found["found"]
        assert "airflow db migrate" in found["what to do"]
