"""``airflow llamabatch plan``: what an upload would do, without uploading anything."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.cli.console import command, connected, show, show_document
from airflow_provider_llamabatch.documents import upload_plan
from airflow_provider_llamabatch.documents.results import ALL_OUTPUTS
from airflow_provider_llamabatch.execution.arguments import check_words
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_provider_llamabatch.documents.upload_plan import Held, SourceFile
    from airflow_provider_llamabatch.storage import Storage

NEW, CHANGED, UNCHANGED, EMPTY, UNSUPPORTED = "new", "changed", "unchanged", "empty", "unsupported"
FAILED_BEFORE = "failed_before"


@dataclass(slots=True)
class Plan:
    """
    What an upload would do: a state and perhaps a reason for every file, and how many directories it takes.

    ``pages`` are of PDFs that would be sent; None where they were not counted.
    """

    files: list[SourceFile]
    states: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    directories: int = 0
    pages: dict[str, int] | None = None

    def sending(self) -> list[SourceFile]:
        """Return the files that would be sent."""
        return [file for file in self.files if self.states[file.path] in (NEW, CHANGED)]

    def summary(self) -> dict[str, Any]:
        """Return counts of files by state, and bytes, pages and directories of what would be sent."""
        states = Counter(self.states.values())
        return {
            "files": len(self.files),
            **{
                state: states[state] for state in (NEW, CHANGED, UNCHANGED, FAILED_BEFORE, UNSUPPORTED, EMPTY)
            },
            "bytes": sum(file.size for file in self.sending()),
            "pages": None if self.pages is None else sum(self.pages.values()),
            "directories": self.directories,
        }

    def rows(self, *, everything: bool) -> list[dict[str, Any]]:
        """Return a row per file: of all, or of those that cannot be processed."""
        return [
            {
                "file": file.path,
                "state": self.states[file.path],
                "bytes": file.size,
                "pages": (self.pages or {}).get(file.path),
                "reason": self.reasons.get(file.path),
            }
            for file in self.files
            if everything or file.path in self.reasons
        ]

    def problems(self, *, max_files: int | None, max_pages: int | None) -> list[str]:
        """Say what in it a pipeline should stop for."""
        sending, pages = len(self.sending()), sum((self.pages or {}).values())
        problems = []
        if self.reasons:
            problems.append(f"{len(self.reasons)} files cannot be processed and would be left out")
        if max_files is not None and sending > max_files:
            problems.append(f"{sending} files would be sent, more than --max-files {max_files}")
        if max_pages is not None and pages > max_pages:
            problems.append(f"the PDFs to send have {pages} pages, more than --max-pages {max_pages}")
        return problems


@functools.partial(command, failed=2)
def plan(options: Namespace) -> int:
    """Print what an upload would do."""
    from airflow_provider_llamabatch.storage import Storage, files_outside

    _check(options)
    url, pattern = upload_plan.split_pattern(options.source, options.pattern)
    source = Storage(url, options.source_conn_id, argument="source")
    target = Storage(options.target, options.target_conn_id) if options.target else None
    made = preflighted(files_outside(target, source, pattern))
    if options.directory_id:
        _compare_with_directory(made, source, options)
    elif target is not None:
        _compare_with_target(made, source, target, options)
    if not options.directory_id:
        made.directories = upload_plan.assign(
            made.sending(), [], max_files=options.max_files_per_directory, mirror=False
        ).count
    if not options.without_pages:
        made.pages = _pages(source, made.sending(), needed=options.max_pages is not None)
    _print(made, options)
    problems = made.problems(max_files=options.max_files, max_pages=options.max_pages)
    if options.output == "table":
        fine = "Every file can be processed." if made.files else "There is no file that matches."
        print("\n".join(f"- {problem}" for problem in problems) or fine)
    elif problems:
        print(*problems, sep="\n", file=sys.stderr)
    return int(bool(problems))


def preflighted(files: Sequence[SourceFile]) -> Plan:
    """Return the plan for files of which nothing is known but what the source's storage says."""
    made = Plan(sorted(files, key=lambda file: file.path))
    accepted, refused = upload_plan.preflight(made.files)
    made.states = {file.path: NEW for file in accepted}
    made.reasons = {one.path: one.reason for one in refused}
    for file in made.files:
        if file.path in made.reasons:
            made.states[file.path] = EMPTY if file.size == 0 and not file.problem else UNSUPPORTED
    return made


def _check(options: Namespace) -> None:
    if options.target and not options.configuration_id:
        raise InvalidInputError(
            "--target", "needs --configuration-id: results are used again for the same one"
        )
    if options.target and options.directory_id:
        raise InvalidInputError("--target", "and --directory-id exclude each other")
    _outputs(options)
    if options.max_pages is not None and options.without_pages:
        raise InvalidInputError("--max-pages", "and --without-pages exclude each other")


def _outputs(options: Namespace) -> list[str]:
    outputs = [output.strip() for output in options.outputs.split(",")]
    check_words("--outputs", outputs, ALL_OUTPUTS)
    return outputs


def _compare_with_target(made: Plan, source: Storage, target: Storage, options: Namespace) -> None:
    """Tell what has a result under the target, and what had one of another content or configuration."""
    from airflow_provider_llamabatch.configuration import max_concurrency
    from airflow_provider_llamabatch.documents.result_plan import MANIFEST
    from airflow_provider_llamabatch.execution.reusing import earlier_results, reused_rows
    from airflow_provider_llamabatch.execution.saving import configuration_of, rows_in

    with connected(options) as (hook, scope):
        configuration = configuration_of(hook, options.configuration_id, **scope, must_exist=True)
    outputs = _outputs(options)
    threads = max_concurrency()
    found = earlier_results(target, configuration, outputs, threads=threads)
    reused, _ = reused_rows(found, source, made.sending(), threads=threads)
    before = {row.file for row in rows_in(target, MANIFEST) or ()}
    for file in made.sending():
        if (row := reused.get(file.path)) is not None:
            made.states[file.path] = FAILED_BEFORE if row.failed_before else UNCHANGED
        else:
            made.states[file.path] = CHANGED if file.path in before else NEW


def _compare_with_directory(made: Plan, source: Storage, options: Namespace) -> None:
    """Tell what an existing directory holds in its present version, and what in another one."""
    from airflow_provider_llamabatch.defaults import PAGE_SIZE
    from airflow_provider_llamabatch.llamacloud import calls

    directory_id = options.directory_id
    with connected(options) as (hook, scope):
        hook.send(calls.get_directory(directory_id, **scope))
        listed = hook.iterate(calls.list_directory_files(directory_id, page_size=PAGE_SIZE, **scope))
        held = [upload_plan.held_from(file, directory_id) for file in listed]
    by_key = upload_plan.by_key(held)
    for file in made.sending():
        versions = by_key.get(upload_plan.path_key(file.path), [])
        if versions:
            made.states[file.path] = UNCHANGED if _is_held(source, file, versions) else CHANGED
    added = sum(state == NEW for state in made.states.values())
    made.directories = 1
    if len(held) + added > options.max_files_per_directory:
        raise InvalidInputError(
            "--directory-id",
            f"{directory_id} would hold {len(held) + added} files, more than the "
            f"{options.max_files_per_directory} that a batch takes; plan without it to spread them",
        )


def _is_held(source: Storage, file: SourceFile, versions: Sequence[Held]) -> bool:
    from airflow_provider_llamabatch.execution.uploading import hash_of

    sha256 = upload_plan.known_content(file, versions) or hash_of(source, file.path)[0]
    return upload_plan.decide(upload_plan.unique_id(file.path, sha256, ""), versions).keep is not None


def _pages(source: Storage, files: list[SourceFile], *, needed: bool) -> dict[str, int] | None:
    """Return the pages of PDFs; None where nothing here can count them and no limit needs it."""
    from importlib.util import find_spec

    from airflow_provider_llamabatch.configuration import max_concurrency
    from airflow_provider_llamabatch.execution.pages import pages_by_path

    if not needed and find_spec("pypdf") is None:
        return None
    return pages_by_path(source, files, threads=max_concurrency())


def _print(made: Plan, options: Namespace) -> None:
    rows = made.rows(everything=options.all or options.output in ("json", "yaml"))
    if options.output in ("json", "yaml"):
        show_document({"summary": made.summary(), "files": rows}, options.output)
        return
    show([{"plan": name, "": value} for name, value in made.summary().items()], options.output)
    if rows:
        print()
        show(rows, options.output)
