"""``show``, run within the test's process."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llamabatch.llamacloud import calls


class TestShow:
    """What a batch and its files became."""

    def test_pages_credits_and_errors_are_told_per_file(self, command, emulator, hook, make_directory):
        emulator.control.change(mapping_error_files=["1.txt"])
        batch = hook.create_batch(source_directory_id=make_directory(2), configuration_id="cfg-PARSE_AGENTIC")
        emulator.control.advance(600)

        code, out, _ = command("show", batch.id, "--output", "json")

        shown = json.loads(out)
        good, bad = shown["files"]
        assert (good["file"], good["status"], good["pages"]) == ("0.txt", "COMPLETED", 1)
        assert good["credits"] == shown["batch"]["credits"] > 0
        assert bad["error"]
        assert shown["batch"]["jobs"] == {"COMPLETED": 1, "without a job": 1}
        assert code == 1

    def test_statuses_alone_take_few_requests(self, command, batch, emulator):
        emulator.control.advance(600)
        before = len(emulator.control.requests())

        code, out, _ = command("show", batch.id, "--without-usage", "--output", "json")

        assert code == 0
        assert [file["status"] for file in json.loads(out)["files"]] == ["COMPLETED"] * 2
        assert len(emulator.control.requests()) - before == 3  # the batch, its directory's files, the jobs

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"jobs_finish": "after_completed", "job_lag_seconds": 9999}, "RUNNING"),
            ({"results_expire_seconds": 60}, "COMPLETED"),
        ],
    )
    def test_a_job_without_results_yet_or_any_more_has_its_status_and_no_error(
        self, command, emulator, hook, make_directory, changes, status
    ):
        emulator.control.change(unfinished_results_code=404, **changes)
        batch = hook.create_batch(source_directory_id=make_directory(2), configuration_id="cfg-PARSE_AGENTIC")
        emulator.control.advance(600)

        code, out, _ = command("show", batch.id, "--output", "json")

        files = json.loads(out)["files"]
        assert [(file["status"], file["error"]) for file in files] == [(status, None)] * 2
        assert code == 0

    def test_a_job_that_was_deleted_is_not_counted_as_a_file_without_one(
        self, command, batch, emulator, hook
    ):
        emulator.control.advance(600)
        deleted, _ = hook.get_batch(batch.id, expand_results=True).results
        hook.send(calls.delete_parse_job(deleted.job_reference.id))

        for more in ((), ("--without-usage",)):
            _, out, _ = command("show", batch.id, "--output", "json", *more)
            assert json.loads(out)["batch"]["jobs"] == {"COMPLETED": 1, "unknown": 1}

    def test_a_running_batch_has_no_files_yet(self, command, batch):
        code, out, _ = command("show", batch.id)

        assert code == 0
        assert "still runs" in out
        assert "No data found" not in out
        assert json.loads(command("show", batch.id, "--output", "json")[1])["batch"]["files"] is None

    def test_a_directory_that_is_gone_leaves_the_ids(self, command, batch, emulator, hook):
        emulator.control.advance(600)
        hook.send(calls.delete_directory(batch.source_directory_id))

        shown = json.loads(command("show", batch.id, "--output", "json")[1])

        assert all(file["file"].startswith("dfl-") for file in shown["files"])

    def test_a_gateways_page_does_not_pass_for_a_directory_that_is_gone(
        self, command, batch, emulator, no_waiting
    ):
        emulator.control.advance(600)
        emulator.control.add_fault(kind="html", status=404, path="/files$")

        code, out, error = command("show", batch.id, "--output", "json")

        assert (code, out) == (1, "")
        assert "/files was answered with 404" in error

    def test_an_unknown_batch_is_one_sentence(self, command):
        code, out, error = command("show", "bat-nope")

        assert (code, out) == (1, "")
        assert "answered with 404" in error
        assert "Traceback" not in error
