"""The commands against the emulator: each once as a process of its own, what they decide within this one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from io import BytesIO

import httpx
import pytest
from pypdf import PdfWriter

from airflow_provider_llamabatch.__main__ import main
from airflow_provider_llamabatch.cli.definition import get_cli_commands
from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.execution.saving import configuration_of
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from tests.integration.cli.conftest import COMMAND, KEY, started

HAS_COMMANDS_OF_PROVIDERS = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 2)


@pytest.fixture
def source(tmp_path):
    writer = PdfWriter()
    for _ in range(3):
        writer.add_blank_page(72, 72)
    pdf = BytesIO()
    writer.write(pdf)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf.getvalue())
    (folder / "b.txt").write_text("two")
    return folder


@pytest.mark.long
class TestProcesses:
    """Each command once as a user starts it."""

    def test_list(self, batch, connection):
        shown = started("list", "--output", "json")

        assert [row["id"] for row in json.loads(shown.stdout)] == [batch.id]
        told = [line for line in shown.stderr.splitlines() if "alembic" not in line]  # Airflow 3.1's own
        assert (shown.returncode, told) == (0, [])

    def test_show(self, batch, emulator, connection):
        emulator.control.advance(60)

        shown = started("show", batch.id)

        assert shown.returncode == 0
        assert re.search(r"status +\| COMPLETED", shown.stdout)
        assert len(re.findall(r"\d\.txt .*COMPLETED", shown.stdout)) == 2

    def test_cancel(self, batch, emulator, connection):
        asked = started("cancel", batch.id, stdin=subprocess.DEVNULL)
        assert (asked.returncode, emulator.control.counters()["cancels"]) == (1, 0)
        assert "--yes" in asked.stderr

        assert started("cancel", batch.id, "--yes").returncode == 0
        assert emulator.control.counters()["cancels"] == 1

    def test_json_stays_json_where_colours_are_forced(self, batch, emulator, connection):
        shown = started("list", "--output", "json", env={**os.environ, "FORCE_COLOR": "1"})

        assert [one["id"] for one in json.loads(shown.stdout)] == [batch.id]

    def test_names_that_the_output_cannot_show_end_no_command(self, emulator, hook, connection):
        directory = hook.send(calls.create_directory(name="documents", type="ephemeral")).id
        hook.send(calls.upload_directory_file(directory, b"hello", display_name="\u6587\u4ef6.txt"))
        batch = hook.create_batch(source_directory_id=directory, configuration_id="cfg-PARSE_AGENTIC")
        emulator.control.advance(600)

        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        shown = started("show", batch.id, env=environment)

        assert shown.returncode == 0
        assert "Traceback" not in shown.stderr
        assert "??.txt" in shown.stdout

    def test_plan(self, source, emulator, connection):
        shown = started("plan", str(source), "--output", "yaml")

        assert shown.returncode == 0
        assert "new: 2" in shown.stdout
        assert "pages: 3" in shown.stdout
        assert emulator.control.requests() == []

    @pytest.mark.parametrize("more", [[], ["--verbose"]])
    def test_what_another_provider_logs_is_not_in_the_answer(self, s3, emulator, connection, more):
        s3.put_object(Bucket="documents", Key="in/a.txt", Body=b"one")
        url = "s3://documents/in"

        shown = started("plan", url, "--source-conn-id", "storage", "--output", "json", *more)

        assert json.loads(shown.stdout)["summary"]["files"] == 1
        assert ("AWS Connection" in shown.stderr) == bool(more)

    def test_a_pipe_that_nobody_reads_any_more_ends_it_quietly(self, source):
        reading, writing = os.pipe()
        os.close(reading)
        shown = subprocess.run(
            [*COMMAND, "plan", str(source), "--all", "--output", "plain"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)

        assert [line for line in shown.stderr.splitlines() if "alembic" not in line] == []
        assert shown.returncode == 1

    def test_doctor(self, connection, tmp_path):
        environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
        shown = started("doctor", "--output", "json", env=environment)

        found = {row["check"]: row for row in json.loads(shown.stdout)}
        assert {name for name, row in found.items() if row["result"] == "ok"} == {
            "versions",
            "configuration",
            "connection",
            "key",
            "project",
            "clock",
            "max_map_length",
        }
        assert found["triggerers"]["result"] == "unknown"
        assert found["triggerers"]["what to do"]
        assert shown.returncode == 0
        assert KEY not in shown.stdout + shown.stderr

    def test_emulator(self):
        with subprocess.Popen([*COMMAND, "emulator"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            printed = process.stdout.readline()
            process.send_signal(signal.SIGTERM)

        assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", printed)
        assert process.returncode == 0

    def test_emulator_takes_its_settings(self):
        options = ["--seed", "7", "--set", "job_lag_seconds=3", "--set", "latency=far"]
        with subprocess.Popen([*COMMAND, "emulator", *options], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            settings = httpx.get(f"{url}/_emulator/settings").json()
            process.send_signal(signal.SIGTERM)

        assert (settings["job_lag_seconds"], settings["latency"]) == (3, "far")

    @pytest.mark.skipif(not HAS_COMMANDS_OF_PROVIDERS, reason="providers bring commands since Airflow 3.2")
    def test_airflow_has_the_commands(self, batch, connection):
        shown = subprocess.run(
            [sys.executable, "-m", "airflow", "llamabatch", "list", "--output", "json"],
            capture_output=True,
            text=True,
            check=True,
        )

        assert batch.id in shown.stdout


def test_every_command_has_help(capsys):
    [group] = get_cli_commands()
    for one in group.subcommands:
        with pytest.raises(SystemExit) as ended:
            main([one.name, "--help"])
        assert ended.value.code == 0
        assert (one.description or one.help)[:20] in capsys.readouterr().out


class TestList:
    """What is listed."""

    def test_filters_are_sent_along(self, command, batch):
        assert batch.id in command("list", "--directory", batch.source_directory_id)[1]
        assert batch.id not in command("list", "--directory", "dir-other")[1]
        assert batch.id not in command("list", "--status", "FAILED")[1]
        assert batch.id in command("list", "--since", "1h")[1]
        assert batch.id not in command("list", "--status", "failed")[1]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("list", "--since", "yesterday"), "--since: must be an ISO 8601 time"),
            (("list", "--since", "999999d"), "--since: must be an ISO 8601 time"),
            (("list", "--status", "NOPE"), "'NOPE'"),
            (("list", "--limit", "0"), "--limit: must be a whole number above 0"),
            (("list", "--limit", "ten"), "--limit: must be a whole number above 0"),
            (("list", "--directory", "bat-1"), "--directory: must be the id of a directory, not of a batch"),
            (("list", "--project-id", "a/b"), "--project-id: 'a/b' is not an id"),
            (("list", "--conn-id", KEY), "--conn-id: holds an API key"),
            (("show", "dir-123"), "BATCH: must be the id of a batch, not of a directory"),
            (("plan", ".", "--max-files-per-directory", "0"), "must be a whole number above 0"),
            (("plan", ".", "--max-files", "-1"), "--max-files: must be a whole number from 0"),
            (("list", "--conn-id", " "), "--conn-id: is empty"),
            (("plan", ".", "--max-files-per-directory", "1001"), "must be at most 1000"),
            (("cancel", "dir-123"), "BATCH: must be the id of a batch, not of a directory"),
        ],
    )
    def test_a_wrong_argument_ends_with_2_before_any_request(self, command, emulator, arguments, said):
        code, out, error = command(*arguments)

        assert code == 2
        assert said in error
        assert out == ""
        assert emulator.control.requests() == []

    def test_that_a_request_is_sent_again_is_said_once(self, command, emulator, no_waiting):
        emulator.control.add_fault(kind="status", status=503, method="GET", times=3)

        code, _, error = command("list")

        assert code == 0
        assert (
            error.count("Trying again, the last time within 120 s: GET /api/v2/batches was answered with 503")
            == 1
        )
        assert len(error.splitlines()) == 1


class TestCancel:
    """When a batch is cancelled."""

    @pytest.mark.parametrize(("answer", "cancels"), [("y", 1), ("YES", 1), ("n", 0), ("", 0)])
    def test_a_person_is_asked(self, command, batch, emulator, monkeypatch, answer, cancels):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("builtins.input", lambda _: answer)

        code, _, _ = command("cancel", batch.id)

        assert (code, emulator.control.counters()["cancels"]) == (1 - cancels, cancels)

    def test_who_ends_the_input_has_not_said_yes(self, command, batch, emulator, monkeypatch):
        def ended(_):
            raise EOFError

        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("builtins.input", ended)

        code, out, _ = command("cancel", batch.id)

        assert (code, emulator.control.counters()["cancels"]) == (1, 0)
        assert "was left alone" in out

    def test_one_that_has_ended_is_left_alone(self, command, batch, emulator):
        emulator.control.advance(600)

        code, out, _ = command("cancel", batch.id, "--yes")

        assert (code, emulator.control.counters()["cancels"]) == (0, 0)
        assert "COMPLETED already" in out


class TestPlan:
    """What an upload would do."""

    def plan(self, command, *arguments):
        code, out, error = command("plan", *map(str, arguments), "--output", "json")
        return code, json.loads(out)["summary"] if out else None, error

    def test_what_cannot_be_processed_is_named_and_ends_with_1(self, command, source):
        (source / "c.qqq").write_text("?")
        (source / "d.txt").write_text("")

        code, out, _ = command("plan", str(source))

        assert code == 1
        assert re.search(r"c\.qqq +\| unsupported .*convert it", out)
        assert re.search(r"d\.txt +\| empty ", out)
        assert "a.pdf" not in out
        assert "a.pdf" in command("plan", str(source), "--all")[1]

    @pytest.mark.parametrize(
        ("limit", "code"),
        [("--max-pages=2", 1), ("--max-pages=3", 0), ("--max-files=1", 1), ("--max-files=2", 0)],
    )
    def test_limits(self, command, source, limit, code):
        assert self.plan(command, source, limit)[0] == code
        assert ("more than --max" in command("plan", str(source), limit, "--output", "json")[2]) == bool(code)

    def test_where_nothing_matches_nothing_is_called_fine(self, command, source):
        code, out, _ = command("plan", str(source), "--pattern", "*.docx")

        assert (code, "There is no file that matches." in out) == (0, True)

    def test_directories_are_counted(self, command, source):
        _, summary, _ = self.plan(command, source, "--max-files-per-directory", 1)

        assert summary["directories"] == 2

    def test_what_a_directory_holds_is_unchanged_or_changed(self, command, source, hook, context):
        directory = hook.send(calls.create_directory(name="in", type="user")).id
        UploadDirectoryOperator(
            task_id="upload", source=str(source), directory_id=directory, changed_only=True
        ).execute(context)
        (source / "b.txt").write_text("another")
        (source / "c.txt").write_text("three")

        code, summary, _ = self.plan(command, source, "--directory-id", directory)

        states = {state: summary[state] for state in ("new", "changed", "unchanged")}
        assert states == {"new": 1, "changed": 1, "unchanged": 1}
        assert (code, summary["pages"], summary["directories"]) == (0, 0, 1)

    @pytest.mark.parametrize("spelled", ["{target}", "out", "./out/", "file://{target}"])
    def test_what_has_a_result_is_unchanged(self, command, source, tmp_path, hook, monkeypatch, spelled):
        monkeypatch.chdir(tmp_path)
        target = tmp_path / "out"
        target.mkdir()
        text = (source / "b.txt").read_bytes()
        (target / "b.txt.md").write_text("two")
        configuration = configuration_of(hook, "cfg-PARSE_AGENTIC", None, None)
        rows = [
            manifest_row(target, "b.txt", text, configuration),
            manifest_row(target, "a.pdf", b"another", configuration),
        ]
        (target / "manifest.jsonl").write_bytes(b"".join(rows))

        code, summary, _ = self.plan(
            command,
            source,
            "--target",
            spelled.format(target=target),
            "--configuration-id",
            "cfg-PARSE_AGENTIC",
        )

        states = {state: summary[state] for state in ("new", "changed", "unchanged")}
        assert (code, states) == (0, {"new": 0, "changed": 1, "unchanged": 1})

    def test_what_failed_for_its_content_is_not_called_unchanged(self, command, source, tmp_path, hook):
        target = tmp_path / "out"
        target.mkdir()
        row = manifest.Row(
            "b.txt",
            "FAILED",
            error="NO_DATA_FOUND_IN_FILE",
            source_sha256=hashlib.sha256((source / "b.txt").read_bytes()).hexdigest(),
            configuration=configuration_of(hook, "cfg-PARSE_AGENTIC", None, None),
        )
        (target / "manifest.jsonl").write_bytes(b"".join(manifest.to_lines([row])))

        _, summary, _ = self.plan(
            command, source, "--target", target, "--configuration-id", "cfg-PARSE_AGENTIC"
        )

        assert (summary["failed_before"], summary["unchanged"], summary["new"]) == (1, 0, 1)

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["/nowhere"], "there is nothing at"),
            (["{source}", "--target", "/out"], "--configuration-id"),
            (["{source}", "--target", "{source}", "--configuration-id", "c"], "is the same folder as"),
            (["{source}", "--max-pages", "1", "--without-pages"], "exclude each other"),
            (["{source}", "--directory-id", "dir-nope"], "404"),
            (["{source}", "--target", "/out", "--configuration-id", "cfg-nope"], "404"),
            (["{source}", "--outputs", "markdwn"], "--outputs: must be some of markdown"),
        ],
    )
    def test_no_plan_ends_with_2(self, command, source, arguments, problem):
        code, _, error = self.plan(command, *(argument.format(source=source) for argument in arguments))

        assert code == 2
        assert problem in error


def manifest_row(target, file, content, configuration):
    """Return the manifest's line of a file that was processed with this content."""
    row = manifest.Row(
        file,
        manifest.COMPLETED,
        path=f"{target}/{file}.md",
        bytes=3,
        sha256=hashlib.sha256(b"two").hexdigest(),
        configuration=configuration,
        job_type="parse_v2",
        source_sha256=hashlib.sha256(content).hexdigest(),
    )
    [line] = manifest.to_lines([row])
    return line
