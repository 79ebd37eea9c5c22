"""``liveavatar search``: what an avatar would find in a knowledge base, and how fast."""

import argparse
import time
from typing import TYPE_CHECKING

from server.cli.command import OK, CommandFailed, CommandParser, knowledge_folder, load_settings, sentence, whole_number
from server.cli.terminal import counted, dim, one_line, plain

if TYPE_CHECKING:
    from server.cli.command import Commands
    from server.knowledge.base import Passage
    from server.knowledge.sqlite import KnowledgeIndex
    from server.settings import Settings

NAME = "search"
SUMMARY = "Look something up in a knowledge base, as an avatar would."

# The knowledge room's own bounds, which are tested to be these; its import would slow every command down.
_DEFAULT_LIMIT = 5
_MAX_LIMIT = 50

_DESCRIPTION = """\
Search the knowledge base KB and print the passages that answer best: rank,
score (0 to 1), title, where it stands, and the sentences around the match.
"""

_EPILOG = """\
examples:
  liveavatar search museum "opening hours on holidays"
  liveavatar search museum "dinosaurs" --limit 1 --json
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar search KB QUERY [options]", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("kb", metavar="KB", help="the knowledge base")
    parser.add_argument("query", metavar="QUERY", help="a question or a few words")
    parser.add_argument(
        "--limit",
        type=whole_number(1, _MAX_LIMIT),
        default=_DEFAULT_LIMIT,
        metavar="N",
        help=f"passages to print, up to {_MAX_LIMIT} (default {_DEFAULT_LIMIT})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the passages in full")
    parser.add_argument("--data-dir", metavar="DIR", help="the server's data folder (LIVEAVATAR_DATA_DIR)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search, and print what was found; finding nothing is no failure."""
    from protocol.errors import OperatorFault
    from server.knowledge.base import KnowledgeError

    settings = load_settings({"LIVEAVATAR_DATA_DIR": args.data_dir})
    look_up = _in_files if settings.search_endpoint is None else _in_azure
    try:
        passages, took_ms = look_up(settings, args.kb, args.query, args.limit)
    except (KnowledgeError, OperatorFault) as error:
        raise CommandFailed(sentence(error)) from None
    if args.json:
        _print_json(args.kb, args.query, passages, took_ms)
    else:
        _print_text(passages, took_ms)
    return OK


def _in_files(settings: "Settings", kb: str, query: str, limit: int) -> "tuple[list[Passage], float]":
    from server.knowledge.base import UnknownKnowledgeBase
    from server.knowledge.sqlite import KnowledgeIndex

    index = KnowledgeIndex(knowledge_folder(settings.data_dir))
    try:
        index.profile(kb)  # opens it, so that the time below is that of the search alone
        began = time.perf_counter()
        return index.search(kb, query, limit), (time.perf_counter() - began) * 1000
    except UnknownKnowledgeBase as error:
        raise CommandFailed(f"{sentence(error)[:-1]}: {_present(index)}") from None
    finally:
        index.close()


def _in_azure(settings: "Settings", kb: str, query: str, limit: int) -> "tuple[list[Passage], float]":
    import trio

    from server.app.cloud import open_cloud
    from server.app.knowledge import open_search

    async def look_up() -> "tuple[list[Passage], float]":
        async with (
            open_cloud(settings) as cloud,
            open_search(settings, cloud, deadline_s=settings.search_timeout) as search,
            cloud.running(),
        ):
            knowledge = await search.catalog.open(kb)
            began = time.perf_counter()
            return await knowledge.search(query, limit=limit), (time.perf_counter() - began) * 1000

    return trio.run(look_up)


def _present(index: "KnowledgeIndex") -> str:
    ids = index.ids()
    if ids:
        return f"here are {', '.join(ids)}."
    return (
        f"{index.folder} has none. The first start of the server brings the shipped ones; "
        "`liveavatar ingest KB PATH...` makes one of your own."
    )


def _print_json(kb_id: str, query: str, passages: "list[Passage]", took_ms: float) -> None:
    import msgspec

    found = {"kb_id": kb_id, "query": query, "took_ms": round(took_ms, 3), "passages": passages}
    print(msgspec.json.encode(msgspec.to_builtins(found)).decode())


def _print_text(passages: "list[Passage]", took_ms: float) -> None:
    for rank, passage in enumerate(passages, start=1):
        print(f"{rank}. {passage.score:.2f}  {one_line(passage.title)}  {dim(one_line(passage.uri))}")
        print(f"   {plain(passage.snippet)}")
    what = counted(len(passages), "passage") if passages else "Nothing found"
    print(dim(f"{what} in {took_ms:.1f} ms"))
