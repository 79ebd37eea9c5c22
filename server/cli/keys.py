"""``liveavatar keys``: makes, lists and revokes the API keys of a server, in its data folder. Asks no server."""

import argparse
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from server.cli.command import OK, CommandFailed, CommandParser, knowledge_folder, sentence, whole_number
from server.cli.server_address import own_values
from server.cli.terminal import plain

if TYPE_CHECKING:
    from pathlib import Path

    from server.cli.command import Commands
    from server.security.key_file import KeyEntry, KeyFile

NAME = "keys"
SUMMARY = "Make, list and revoke API keys."

# The security room's own, which are tested to be these; its import would slow every command down.
SCOPES = ("talk", "mint", "records", "administer")
_DEFAULT_SCOPES = ("talk", "mint")
# As are these.
MOST_SESSIONS = 1_000_000
MOST_MINUTES = 1_440_000_000
MOST_USD = Decimal(1_000_000)

_DESCRIPTION = """\
Make a key for each program that connects, list what there is, and revoke a key
that is no longer needed or may have been seen. A running server notices within
two seconds, and ends the sessions of a revoked key. A key is printed once, when
it is made: what is kept (keys.json in the data folder) does not open anything.

Scopes: talk (hold conversations), mint (make tickets and client secrets for
pages), records (read what was said), administer (the server's condition,
ending and erasing sessions).
"""

_EPILOG = """\
examples:
  liveavatar keys create kiosk --scope talk --kb museum
  liveavatar keys create website
  liveavatar keys list
  liveavatar keys revoke kiosk
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar keys create|list|revoke [NAME] [options]", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("action", choices=("create", "list", "revoke"), help="what to do")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the key's name, for those who read logs and lists")
    parser.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        dest="scopes",
        help=f"create: what it may do, once for each (default {' and '.join(_DEFAULT_SCOPES)})",
    )
    parser.add_argument(
        "--kb", action="append", metavar="KB", dest="kb_ids", help="create: a knowledge base it is for (default: all)"
    )
    parser.add_argument("--sessions", type=whole_number(1, MOST_SESSIONS), metavar="N", help="create: sessions at once")
    parser.add_argument(
        "--minutes",
        type=whole_number(1, MOST_MINUTES),
        metavar="N",
        help="create: minutes of sessions a day, all of them together",
    )
    parser.add_argument(
        "--usd",
        type=_amount,
        metavar="N",
        help="create: US dollars of the Realtime service a day, all of them together",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="the server's data folder (LIVEAVATAR_DATA_DIR)")
    parser.set_defaults(run=run)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not 0 < amount <= MOST_USD:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount up to {MOST_USD:,}")
    return amount


def run(args: argparse.Namespace) -> int:
    """Do it. What is printed on standard output is the key or the list, and nothing else."""
    from server.security.key_file import KeyFile, KeyFileError

    file = KeyFile(_data_dir(args.data_dir))
    try:
        if args.action == "list":
            _only_for_create(args)
            _list(file)
        elif not args.name:
            raise CommandFailed(f"Which key? `liveavatar keys {args.action} NAME`.")
        elif args.action == "create":
            _create(file, args)
        else:
            _only_for_create(args)
            file.revoke(args.name)
            print(f"{args.name} is revoked.")
    except KeyFileError as error:
        raise CommandFailed(sentence(error)) from None
    return OK


def _data_dir(given: str | None) -> "Path":
    """The data folder. Not all settings are loaded: a server beyond loopback wants a key before it has any."""
    import os
    from pathlib import Path

    name = "LIVEAVATAR_DATA_DIR"
    return Path(given or os.environ.get(name) or own_values().get(name) or "data")


def _only_for_create(args: argparse.Namespace) -> None:
    if any((args.scopes, args.kb_ids, args.sessions, args.minutes, args.usd)):
        raise CommandFailed("A key's rights are given when it is made: `liveavatar keys create NAME --scope ...`.")


def _create(file: "KeyFile", args: argparse.Namespace) -> None:
    import sys

    wanted = args.scopes or _DEFAULT_SCOPES
    key = file.create(
        args.name,
        scopes=tuple(scope for scope in SCOPES if scope in wanted),  # type: ignore[misc]
        kb_ids=tuple(dict.fromkeys(args.kb_ids)) if args.kb_ids else None,
        sessions=args.sessions,
        minutes_per_day=args.minutes,
        usd_per_day=args.usd,
    )
    print(key)
    if missing := _not_here(args):
        text = f"Not in this data folder (yet): {', '.join(missing)}. The key is made for it all the same."
        print(plain(text), file=sys.stderr)
    if sys.stdout.isatty():
        print("Keep it now: it is not shown again.", file=sys.stderr)


def _not_here(args: argparse.Namespace) -> list[str]:
    """Of the knowledge bases that were named, those that are not on this machine, where they would be on it."""
    folder = knowledge_folder(_data_dir(args.data_dir))
    if not args.kb_ids or not folder.is_dir() or _is_elsewhere():
        return []
    from server.knowledge.base import KnowledgeError
    from server.knowledge.sqlite import KnowledgeIndex

    index = KnowledgeIndex(folder)
    try:
        there = index.ids()
    except KnowledgeError:
        return []
    finally:
        index.close()
    return [kb_id for kb_id in dict.fromkeys(args.kb_ids) if kb_id not in there]


def _is_elsewhere() -> bool:
    import os

    name = "AZURE_SEARCH_ENDPOINT"
    return bool(os.environ.get(name) or own_values().get(name))


def _list(file: "KeyFile") -> None:
    entries = file.read()
    if not entries:
        print("There are no keys yet: `liveavatar keys create NAME` makes one.")
    for entry in entries:
        print(plain(_line(entry)))


def _line(entry: "KeyEntry") -> str:
    bases = "every knowledge base" if entry.kb_ids is None else ", ".join(entry.kb_ids)
    limits = [f"{entry.sessions} at once"] if entry.sessions else []
    limits += [f"{entry.minutes_per_day:g} minutes a day"] if entry.minutes_per_day else []
    limits += [f"{entry.usd_per_day:f} USD a day"] if entry.usd_per_day else []
    until = f", revoked {_day(entry.revoked_at)}" if entry.revoked_at is not None else ""
    rights = "; ".join([", ".join(entry.scopes), bases, *limits])
    return f"{entry.name:<20} made {_day(entry.created_at)}{until}  {rights}"


def _day(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
