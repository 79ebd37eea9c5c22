"""``liveavatar serve``: starts the server. What the server is made of is decided in ``server.app``."""

import argparse
import sys
from typing import TYPE_CHECKING

from server.cli.command import (
    OK,
    CommandFailed,
    CommandParser,
    leaves,
    load_settings,
    port_number,
    run_async,
    sentence,
)
from server.cli.terminal import dim, plain

if TYPE_CHECKING:
    from server.app import Serving
    from server.cli.command import Commands
    from server.settings import Settings

NAME = "serve"
SUMMARY = "Start the server (what `liveavatar` alone does)."

_DESCRIPTION = """\
Start the server and stay until Ctrl-C or SIGTERM. Options win over the
environment, and the environment wins over the file .env.
"""

_EPILOG = """\
examples:
  liveavatar
  liveavatar serve --port 9000
  AZURE_OPENAI_ENDPOINT=https://NAME.openai.azure.com AZURE_OPENAI_API_KEY=... \\
      AZURE_OPENAI_DEPLOYMENT=gpt-realtime liveavatar serve
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar serve [options]", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--host", help="address to listen on (LIVEAVATAR_HOST); beyond loopback needs an API key")
    parser.add_argument("--port", type=port_number, help="port to listen on (PORT); 0 takes a free one")
    parser.add_argument("--data-dir", metavar="DIR", help="folder for indexes and whatever else is kept")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    settings = load_settings({"LIVEAVATAR_HOST": args.host, "PORT": args.port, "LIVEAVATAR_DATA_DIR": args.data_dir})
    # `talk` finds a server by itself that listens where the environment says.
    where_expected = args.host is None and args.port is None and settings.port != 0
    return run_async(lambda: _serve(settings, where_expected=where_expected))


async def _serve(settings: "Settings", *, where_expected: bool) -> int:
    import trio

    from server import app
    from server.telemetry import logs

    logs.configure(settings.log_level, settings.log_format)
    try:
        async with trio.open_nursery() as nursery:
            serving: Serving = await nursery.start(app.run, settings)
            if sys.stdout.isatty():
                print(_banner(serving, settings, where_expected=where_expected), flush=True)
    except BaseExceptionGroup as group:
        failure = _translated(group)
        if failure is None:
            raise
        raise failure from group
    return OK


def _translated(group: BaseExceptionGroup[BaseException]) -> CommandFailed | None:
    """The failures that are no fault of ours, in words; None if there is another one among them."""
    from protocol.errors import OperatorFault
    from server.edge.door import CannotListen

    sentences = []
    for leaf in leaves(group):
        if isinstance(leaf, CannotListen):
            sentences.append(f"{sentence(leaf)} --port chooses another port.")
        elif isinstance(leaf, OperatorFault):
            sentences.append(sentence(leaf))
        else:
            return None
    return CommandFailed(*sentences)


def _banner(serving: "Serving", settings: "Settings", *, where_expected: bool) -> str:
    note = " (no account is set up; `liveavatar check` says more)" if settings.chosen_upstream == "embedded" else ""
    knows = ", ".join(serving.knowledge_bases) or "nothing yet: `liveavatar ingest KB PATH...` makes a knowledge base"
    where = "" if where_expected else f" --url {serving.url.replace('http', 'ws', 1)}/ws"
    rows = (
        ("open", serving.url),
        ("answers by", f"{serving.upstream}{note}"),
        ("knows", knows),
        ("try", f'liveavatar talk{where} --kb {settings.default_kb} "..."'),
    )
    lines = [f"  {label:<11}{plain(text)}" for label, text in rows]
    return "\n".join(["", "LiveAvatar is ready.", *lines, dim("  Ctrl-C stops it."), ""])
