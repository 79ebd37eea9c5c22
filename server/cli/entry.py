"""The program ``liveavatar``: takes the command line apart, runs a command, and turns its end into an exit code."""

import argparse
import os
import sys
from collections.abc import Sequence

from server.cli import check, ingest, keys, search, serve, sessions, simulate, talk, token
from server.cli.command import FAILED, INTERRUPTED, OK, Command, CommandFailed, CommandParser
from server.cli.terminal import complain, prepare_streams

DISTRIBUTION = "rag-liveavatar"

GROUPS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    ("serve and talk", (serve, talk)),
    ("knowledge bases", (ingest, search)),
    ("who may come in", (keys, token)),
    ("what was said", (sessions,)),
    ("set up and test", (check, simulate)),
)

_DESCRIPTION = """\
A server for talking avatars that answer from a knowledge base.

Avatars (web pages, characters, kiosks, any OpenAI Realtime client) connect to
it; it connects to the Azure OpenAI or OpenAI Realtime API and answers from the
knowledge base that was asked for. Without any account it talks to a simulator
of its own, so the first two examples below work at once.
"""

_EPILOG = """\
examples:
  liveavatar                                        start the server
  liveavatar talk --kb museum "When does it open?"  ask it something
  liveavatar ingest handbook ./docs                 make a knowledge base
  liveavatar check                                  is everything set up?

`liveavatar COMMAND --help` tells more about a command. Settings are environment
variables, or lines of a file .env; `liveavatar check --settings` lists them.
Exit codes: 0 done, 1 failed (standard error says why), 2 wrong usage,
130 interrupted with Ctrl-C.
"""


def build_parser() -> CommandParser:
    """The parser of the whole command line."""
    listed = "\n".join(
        f"{group}:\n" + "\n".join(f"  {command.NAME:<10} {command.SUMMARY}" for command in commands) + "\n"
        for group, commands in GROUPS
    )
    parser = CommandParser(
        prog="liveavatar",
        usage="liveavatar [COMMAND] [options]",
        description=f"{_DESCRIPTION}\n{listed}",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    for _, members in GROUPS:
        for command in members:
            command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own) and return its exit code.

    Raises:
        SystemExit: from argparse, with 2 for wrong usage and 0 after a help text.
    """
    prepare_streams()
    arguments = _with_command(list(sys.argv[1:] if argv is None else argv))
    try:
        args = build_parser().parse_args(arguments)
        code = _print_version() if args.version else args.run(args)
        sys.stdout.flush()
    except CommandFailed as failure:
        for sentence in failure.sentences:
            complain(sentence)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing is left to say, and Python must not try to at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return int(code)


def _with_command(arguments: list[str]) -> list[str]:
    """``serve`` is what the program does when it is not told what to do."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        return [serve.NAME, *arguments]
    return arguments


def _print_version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"liveavatar {version(DISTRIBUTION)}")
    except PackageNotFoundError:
        raise CommandFailed("The version is unknown: the package is not installed.") from None
    return OK
