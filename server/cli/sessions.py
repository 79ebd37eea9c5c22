"""``liveavatar sessions``: lists, shows, exports and erases what a server has recorded, in its database."""

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from server.cli.command import OK, CommandFailed, CommandParser, run_async, sentence, whole_number
from server.cli.server_address import own_values
from server.cli.terminal import counted, dim, one_line, plain

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from server.cli.command import Commands
    from server.store.sql import SqlRecords
    from server.store.views import SessionDetail, SessionFilter, SessionSummary, TurnView

NAME = "sessions"
SUMMARY = "List, show, export and erase what was said and what it cost."

_DEFAULT_LIMIT = 20
# The store's largest page, which it is tested to be; its import would slow every command down.
PAGE_MAX = 1000

_LOST = "The server stopped without being able to end it: a crash, a kill, or a power cut."

_DESCRIPTION = """\
Read the records of a server where they are kept: in the data folder, or in the
database that DATABASE_URL names. The server may be running or not. To end a
session that lives, use the dashboard or POST /api/sessions/ID/end.

  list             the newest sessions, or those that the filters leave
  show ID          one session: what was said and heard, searches, cost
  export ID        the same as JSON, or its lines of usage as CSV
  export           lines of usage of all sessions that the filters leave
  erase ID...      sessions, with texts, usage and recordings; what they cost
                   stays in the sums of their days
  erase --person P all sessions of a person
"""

_EPILOG = """\
examples:
  liveavatar sessions list --kb museum --since 2026-07-01
  liveavatar sessions show sess_la_3f9a27c081b54d6e90aa12c7
  liveavatar sessions export sess_la_3f9a27c081b54d6e90aa12c7 > talk.json
  liveavatar sessions export --since 2026-07-01 --until 2026-08-01 > july.csv
  liveavatar sessions erase --person visitor-17 --yes
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME,
        usage="liveavatar sessions list|show|export|erase [ID...] [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("action", choices=("list", "show", "export", "erase"), help="what to do")
    parser.add_argument("ids", metavar="ID", nargs="*", help="the session's id, or its beginning where that says which")
    parser.add_argument("--kb", metavar="KB", help="list, export: of this knowledge base")
    parser.add_argument("--principal", metavar="ID", help="list, export: of this principal")
    parser.add_argument("--person", metavar="P", help="list, export, erase: of this person")
    parser.add_argument("--reason", metavar="REASON", help="list, export: that ended so, such as idle_timeout")
    parser.add_argument("--since", metavar="DAY", type=_day, help="list, export: that began on this day (UTC) or later")
    parser.add_argument("--until", metavar="DAY", type=_day, help="list, export: that began before this day (UTC)")
    parser.add_argument("--live", action="store_true", help="list: those that are not over")
    parser.add_argument(
        "--limit",
        type=whole_number(1, PAGE_MAX),
        default=_DEFAULT_LIMIT,
        metavar="N",
        help=f"list: at most so many, up to {PAGE_MAX} (default {_DEFAULT_LIMIT})",
    )
    parser.add_argument("--json", action="store_true", help="list, show: print JSON")
    parser.add_argument("--format", choices=("json", "csv"), help="export: of one session json (default) or csv")
    parser.add_argument("--yes", action="store_true", help="erase: without asking")
    parser.add_argument("--data-dir", metavar="DIR", help="the server's data folder (LIVEAVATAR_DATA_DIR)")
    parser.set_defaults(run=run)


def _day(text: str) -> "dt.datetime":
    import datetime as dt

    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a day such as 2026-07-01, not {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Do it. Standard output gets the records, and nothing else."""
    from protocol.errors import OperatorFault
    from server.store.base import StoreFault

    actions = {"list": _list, "show": _show, "export": _export, "erase": _erase}
    try:
        return run_async(lambda: actions[args.action](args))
    except (OperatorFault, StoreFault, OSError) as error:
        raise CommandFailed(sentence(error)) from None


def _value(name: str) -> str | None:
    """A setting. Not all are loaded: records are read where a server cannot start, too."""
    import os

    return os.environ.get(name) or own_values().get(name)


def _data_dir(args: argparse.Namespace) -> "Path":
    from pathlib import Path

    return Path(args.data_dir or _value("LIVEAVATAR_DATA_DIR") or "data")


@asynccontextmanager
async def _records(args: argparse.Namespace) -> AsyncIterator["SqlRecords"]:
    """The database, which must be there: to read makes none."""
    from server.secret import Secret
    from server.store.places import RECORDS_FILE
    from server.store.sql import SqlRecords
    from server.store.sql_address import address_of, sqlite_address

    url = None if args.data_dir else _value("DATABASE_URL")
    if url is None:
        file = _data_dir(args) / RECORDS_FILE
        if not file.is_file():
            raise CommandFailed(f"There are no records in {file}: no session was held yet, or --data-dir is another.")
        address = sqlite_address(file)
    else:
        address = address_of(Secret(url))
    store = SqlRecords(address)
    try:
        yield store
    finally:
        await store.aclose()


def _which(args: argparse.Namespace) -> "SessionFilter":
    from server.store.views import SessionFilter

    if args.reason is not None and args.reason not in _ends():
        raise CommandFailed(f"No session ends as {args.reason!r}, but as one of: {', '.join(_ends())}.")
    return SessionFilter(
        since=args.since,
        until=args.until,
        kb_id=args.kb,
        principal_id=args.principal,
        person=args.person,
        end_reason=args.reason,
        is_live=True if args.live else None,
    )


def _ends() -> dict[str, str]:
    """Every way to end, by its label, in people's words."""
    from protocol.endings import EndReason
    from server.store.base import UNFINISHED

    return {**{reason.label: reason.text for reason in EndReason}, UNFINISHED: _LOST}


async def _list(args: argparse.Namespace) -> int:
    if args.ids:
        raise CommandFailed("`list` takes no ID: `liveavatar sessions show ID` shows one.")
    async with _records(args) as store:
        page = await store.sessions(_which(args), limit=args.limit)
    if args.json:
        print(_json(page.sessions))
        return OK
    if not page.sessions:
        print("There are no such sessions.")
        return OK
    widths = (16, 34, 16, 16, 9, 6, 12)
    print(dim(_row(("began (UTC)", "session", "knowledge base", "who", "lasted", "turns", "cost", "ended"), widths)))
    for session in page.sessions:
        print(_row(_cells(session), widths))
    if page.next_key is not None:
        print(dim("There are more: --limit, or --until with the day of the last one."), file=sys.stderr)
    return OK


def _cells(session: "SessionSummary") -> tuple[str, ...]:
    lasted = "" if session.ended_at is None else f"{(session.ended_at - session.began_at).total_seconds():.0f} s"
    return (
        session.began_at.strftime("%Y-%m-%d %H:%M"),
        session.session_id,
        session.kb_id,
        session.principal_name or session.principal_id,
        lasted,
        str(session.turns),
        f"{session.cost_usd:.6f}",
        session.end_reason or "live",
    )


def _row(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    padded = [f"{one_line(cell):<{width}}" for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, one_line(cells[-1])])


async def _found(store: "SqlRecords", given: str) -> "SessionDetail":
    """The session of an id, or of the only id that begins so among the newest."""
    from server.store.views import SessionFilter

    kept = await store.session(given)
    if kept is None:
        newest = await store.sessions(SessionFilter(), limit=PAGE_MAX)
        starts = (given, f"sess_la_{given}")
        fitting = [session.session_id for session in newest.sessions if session.session_id.startswith(starts)]
        if len(fitting) > 1:
            raise CommandFailed(f"{counted(len(fitting), 'session')} begin with {given!r}: say more of the id.")
        kept = await store.session(fitting[0]) if fitting else None
    if kept is None:
        raise CommandFailed(f"There is no session {given!r}: `liveavatar sessions list` shows the newest.")
    return kept


def _one_id(args: argparse.Namespace) -> str:
    if len(args.ids) != 1:
        raise CommandFailed(f"Which session? `liveavatar sessions {args.action} ID`.")
    given: str = args.ids[0]
    return given


async def _show(args: argparse.Namespace) -> int:
    async with _records(args) as store:
        kept = await _found(store, _one_id(args))
    if args.json:
        from server.store.export import session_json

        print(session_json(kept).decode(), end="")
        return OK
    session = kept.session
    for name, value in (
        ("session", session.session_id),
        ("began", session.began_at.isoformat(timespec="seconds")),
        (
            "ended",
            f"{session.ended_at.isoformat(timespec='seconds')}, {session.end_reason}"
            if session.ended_at
            else "not yet",
        ),
        ("because", kept.detail or _ends().get(session.end_reason or "", "")),
        ("knowledge base", session.kb_id),
        ("who", f"{session.principal_name} ({session.principal_id})"),
        ("person", session.person),
        ("model", session.model),
        ("cost", f"${session.cost_usd:.6f} in {counted(len(kept.usage), 'line')} of usage"),
    ):
        if value:
            print(f"{name + ':':<16}{one_line(value)}")
    print()
    said = [(turn.at, 0 if turn.role == "user" else 2, _said(turn)) for turn in kept.turns]
    for call in kept.tool_calls:
        took = "" if call.duration_ms is None else f", {call.duration_ms:.0f} ms"
        sources = ", ".join(source.title for source in call.sources)
        line = f"  [{call.name} {call.arguments or ''}: {call.status}{took}{': ' + sources if sources else ''}]"
        said.append((call.at, 1, f"  {dim(one_line(line))}"))
    for _, _, text in sorted(said, key=lambda entry: entry[:2]):
        print(text)
    return OK


def _said(turn: "TurnView") -> str:
    who = {"user": "person", "assistant": "avatar"}.get(turn.role, turn.role)
    text = plain(turn.text).strip()
    lines = [f"{who}: {text}"]
    if turn.heard_text is not None:
        lines.append(
            f"  heard of it ({turn.heard_ms or 0} ms of {turn.sent_ms or 0}): {plain(turn.heard_text).strip()}"
        )
    if turn.stopped_by:
        lines.append(f"  not answered, by the rule {one_line(turn.stopped_by)}")
    times = [
        f"{name} {value:.0f} ms"
        for name, value in (
            ("search", _between(turn.search_began_ms, turn.search_ended_ms)),
            ("first word", turn.first_token_ms),
            ("first sound", turn.first_audio_ms),
            ("done", turn.ended_ms),
        )
        if value is not None
    ]
    if times:
        lines.append(dim(f"  {', '.join(times)}"))
    return "\n".join(lines)


def _between(began: float | None, ended: float | None) -> float | None:
    return None if began is None or ended is None else ended - began


async def _export(args: argparse.Namespace) -> int:
    from server.store.export import session_json, usage_csv

    async with _records(args) as store:
        if args.ids:
            kept = await _found(store, _one_id(args))
            text = usage_csv(kept.usage, header=True) if args.format == "csv" else session_json(kept).decode()
            _write(text)
            return OK
        if args.format == "json":
            raise CommandFailed("JSON is exported of one session: `liveavatar sessions export ID`.")
        key, header = None, True
        while header or key is not None:
            page = await store.usage(_which(args), limit=PAGE_MAX, key=key)
            _write(usage_csv(page.lines, header=header))
            key, header = page.next_key, False
    return OK


def _write(text: str) -> None:
    """As it is: what is exported is for programs, and has its own line ends."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(text)
    else:
        buffer.write(text.encode())
        buffer.flush()


async def _erase(args: argparse.Namespace) -> int:
    if bool(args.ids) == bool(args.person):
        raise CommandFailed("Which? `liveavatar sessions erase ID...`, or `liveavatar sessions erase --person P`.")
    async with _records(args) as store:
        ids = [(await _found(store, given)).session.session_id for given in args.ids]
        what = f"all sessions of {args.person!r}" if args.person else ", ".join(ids)
        if not args.yes:
            _make_sure(what)
        if args.person:
            erasure = await store.erase_person(args.person, [])
        else:
            erasure = await store.erase_sessions(ids)
    from server.store.places import RECORDINGS_FOLDER

    folder = _data_dir(args) / RECORDINGS_FOLDER
    for name in erasure.recordings:
        # Names come from a database; nothing outside the folder is meant by any.
        if "/" not in name:
            (folder / name).unlink(missing_ok=True)
    print(f"{counted(erasure.sessions, 'session')} erased.")
    return OK


def _make_sure(what: str) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed("Nothing was erased: say --yes where nobody can be asked.")
    print(plain(f"Erase {what} for good? Type yes: "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise CommandFailed("Nothing was erased.")


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
