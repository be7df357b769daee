"""
Runs mutmut with tests that are collected once, so that a mutant costs its tests and little more.

mutmut forks for each mutant and starts pytest there, which takes longer than most of these tests. Here pytest collects
before the fork. Run as a script: it must not import the package ``tests``, whose copy the tests are run from.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mutmut.__main__ as mutmut
from _pytest.config import _prepareconfig
from _pytest.main import Session
from mutmut.runners.harness import PytestRunner
from mutmut.utils.file_utils import change_cwd
from mutmut.workers import isolation

if TYPE_CHECKING:
    from collections.abc import Iterable


class CollectedTests(PytestRunner):  # type: ignore[misc,unused-ignore]  # mutmut may be missing
    """Has the tests ready when a mutant is forked."""

    def prepare_main_test_run(self) -> None:
        """Collect the tests, before the first fork."""
        arguments = ["--rootdir=.", "--capture=no", "--tb=native", "-q", *self._pytest_add_cli_args]
        with change_cwd("mutants"):
            config = _prepareconfig([*arguments, *self._pytest_add_cli_args_test_selection])
            config._do_configure()
            self.session = Session.from_config(config)
            config.hook.pytest_sessionstart(session=self.session)
            self.items = {item.nodeid: item for item in self.session.perform_collect()}

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Run tests until one fails, which 1 says."""
        if mutant_name is None:
            result: int = super().run_tests(mutant_name=None, tests=tests)
            return result
        chosen = [self.items[test] for test in tests]
        with change_cwd("mutants"), Path(os.devnull).open("w") as nowhere:
            for number in (1, 2):  # this process is a fork and ends with its tests
                os.dup2(nowhere.fileno(), number)
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.session.testsfailed:
                    return 1
        return 0


if __name__ == "__main__":
    isolation.PytestRunner = CollectedTests  # type: ignore[attr-defined,unused-ignore]
    mutmut._run(sys.argv[2:], int(sys.argv[1]))
