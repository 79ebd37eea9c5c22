"""The reference pages in ``docs/`` on settings, commands and metrics, made from the code so that they cannot be wrong.

``python -m server.cli.reference --write`` writes them; ``--check`` says whether they are up to date.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.cli.command import FAILED, MAX_HELP_COLUMNS, OK, CommandParser
from server.cli.entry import GROUPS, build_parser
from server.cli.settings_table import as_markdown
from server.telemetry import catalogue

DOCS = Path(__file__).parents[2] / "docs"

_MADE = "<!-- Made by `python -m server.cli.reference --write`; do not edit. -->"

_SETTINGS_INTRO = """\
Settings are environment variables. A file `.env` in the folder where the server is started is read
too; the environment wins over it. An empty value counts as not set. A name that begins with
`LIVEAVATAR_` and is not in this table is an error, so that a misspelt one is noticed.

`liveavatar check` looks at the settings and names every problem; `liveavatar check --settings`
prints this table. Secrets are never shown in any output.
"""

_COMMANDS_INTRO = """\
The program is `liveavatar`. What follows is what its `--help` says.
"""

_METRICS_INTRO = """\
What stands at `/metrics`, and what is exported by OpenTelemetry; [operations.md](operations.md) says
who may see it, and what to do about it. A histogram `NAME` has `NAME_bucket`, `NAME_sum` and
`NAME_count`. Prometheus gets `process_*` too, as from every Python program.
"""


def pages() -> dict[str, str]:
    """The text of every page, by file name. Always the same for the same code, wherever it is made."""
    return {
        "settings.md": f"# Settings\n\n{_MADE}\n\n{_SETTINGS_INTRO}\n{as_markdown()}\n",
        "commands.md": f"# Commands\n\n{_MADE}\n\n{_COMMANDS_INTRO}{_helps()}",
        "metrics.md": f"# Metrics\n\n{_MADE}\n\n{_METRICS_INTRO}\n{catalogue.as_markdown()}\n",
    }


def _helps() -> str:
    with _terminal_of(MAX_HELP_COLUMNS):
        parser = build_parser()
        sections = [("liveavatar", parser.format_help())]
        for name, command in _subparsers(parser).items():
            sections.append((f"liveavatar {name}", command.format_help()))
    return "".join(f"\n## {name}\n\n```text\n{text.strip()}\n```\n" for name, text in sections)


def _subparsers(parser: CommandParser) -> dict[str, CommandParser]:
    """The commands' parsers in the order of the help."""
    holder = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    return {command.NAME: holder.choices[command.NAME] for _, commands in GROUPS for command in commands}


@contextmanager
def _terminal_of(columns: int) -> Iterator[None]:
    """A terminal of this width and without colours, as far as argparse looks."""
    wanted = {"COLUMNS": str(columns), "NO_COLOR": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def stale(docs: Path = DOCS) -> list[Path]:
    """The pages that are missing or do not say what the code says."""
    found = []
    for name, text in pages().items():
        file = docs / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            found.append(file)
    return found


def write(docs: Path = DOCS) -> list[Path]:
    """Bring the pages up to date; those that were not."""
    changed = stale(docs)
    for file in changed:
        file.write_text(pages()[file.name], encoding="utf-8")
    return changed


def main(argv: list[str] | None = None) -> int:
    """Check or write the pages."""
    parser = CommandParser(prog="python -m server.cli.reference", description="The reference pages in docs/.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail if a page is out of date")
    what.add_argument("--write", action="store_true", help="bring the pages up to date")
    args = parser.parse_args(argv)
    files = write() if args.write else stale()
    for file in files:
        print(f"{file}: {'written' if args.write else 'is out of date: run `python -m server.cli.reference --write`'}")
    return FAILED if args.check and files else OK


if __name__ == "__main__":
    sys.exit(main())
