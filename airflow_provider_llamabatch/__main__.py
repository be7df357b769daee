"""``python -m airflow_provider_llamabatch``: the commands of ``airflow llamabatch``, on every Airflow."""

from __future__ import annotations

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    from airflow_provider_llamabatch.cli.definition import get_cli_commands

    [group] = get_cli_commands()
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_llamabatch", description=group.help)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in group.subcommands:
        one = commands.add_parser(
            command.name, help=command.help, description=command.description or command.help
        )
        for argument in command.args:
            argument.add_to_parser(one)
        one.set_defaults(func=command.func)
    options = parser.parse_args(arguments)
    options.func(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
