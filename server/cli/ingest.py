"""``liveavatar ingest``: takes documents into a knowledge base and reports what came of it."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from server.cli.command import OK, CommandFailed, CommandParser, knowledge_folder, load_settings, sentence
from server.cli.terminal import complain, counted, dim, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from server.cli.command import Commands
    from server.knowledge.ingest import IngestProgress, IngestReport
    from server.settings import Settings

NAME = "ingest"
SUMMARY = "Take documents into a knowledge base."

# Often enough to look alive, seldom enough to cost nothing.
_PROGRESS_EVERY_S = 0.1
_PROGRESS_COLUMNS = 78

_DESCRIPTION = """\
Take Markdown, text and HTML files into the knowledge base KB, which is made if
there is none. Folders are taken in with everything below them. Run it again
after a change: what changed is replaced, what is gone from a folder is removed.
A running server answers from the new content at once.

A file profile.toml at the top of a folder gives the avatar its persona: title,
greeting, instructions, voice, language, sample_questions.

With AZURE_SEARCH_ENDPOINT set the knowledge base is in Azure AI Search: its index
is made if there is none, and filled.
"""

_EPILOG = """\
examples:
  liveavatar ingest handbook ./handbook
  liveavatar ingest handbook notes.md faq.html
"""


def add(commands: "Commands") -> None:
    """Add the command's parser."""
    parser: CommandParser = commands.add_parser(
        NAME, usage="liveavatar ingest KB PATH... [--data-dir DIR]", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("kb", metavar="KB", help="name of the knowledge base: lower-case letters, digits, - and _")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="file or folder")
    parser.add_argument("--data-dir", metavar="DIR", help="the server's data folder (LIVEAVATAR_DATA_DIR)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take the paths in; fails if nothing of them could be."""
    from pathlib import Path

    from protocol.errors import OperatorFault
    from server.knowledge.base import KnowledgeError

    settings = load_settings({"LIVEAVATAR_DATA_DIR": args.data_dir})
    paths = [Path(path) for path in args.paths]
    progress = _ProgressLine()
    began = time.perf_counter()
    try:
        take_in = _into_files if settings.search_endpoint is None else _into_azure
        report = take_in(settings, args.kb, paths, progress)
    except (KnowledgeError, OperatorFault) as error:
        raise CommandFailed(sentence(error)) from None
    except OSError as error:
        raise CommandFailed(f"The knowledge base cannot be written: {error}.") from None
    finally:
        progress.clear()
    return _tell(report, time.perf_counter() - began)


def _into_files(settings: "Settings", kb: str, paths: "list[Path]", progress: "_ProgressLine") -> "IngestReport":
    from server.knowledge.ingest import ingest
    from server.knowledge.sqlite import KnowledgeIndex

    index = KnowledgeIndex(knowledge_folder(settings.data_dir))
    try:
        return ingest(index, kb, paths, progress=progress.show)
    finally:
        index.close()


def _into_azure(settings: "Settings", kb: str, paths: "list[Path]", progress: "_ProgressLine") -> "IngestReport":
    import trio

    from server.app.cloud import open_cloud
    from server.app.knowledge import open_search

    async def fill() -> "IngestReport":
        async with (
            open_cloud(settings) as cloud,
            open_search(settings, cloud, deadline_s=settings.search_timeout) as search,
            cloud.running(),
        ):
            return await search.filler.ingest(kb, paths, progress=progress.show)

    return trio.run(fill)


class _ProgressLine:
    """A line on the terminal that is written over and over; nothing where standard error is no terminal."""

    def __init__(self) -> None:
        self._wanted = sys.stderr.isatty()
        self._next_at = 0.0

    def show(self, progress: "IngestProgress") -> None:
        """How far it is."""
        now = time.monotonic()
        if self._wanted and now >= self._next_at:
            self._next_at = now + _PROGRESS_EVERY_S
            text = f"{counted(progress.documents, 'document')}: {one_line(progress.path)}"[:_PROGRESS_COLUMNS]
            print(f"\r{dim(text.ljust(_PROGRESS_COLUMNS), sys.stderr)}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave an empty line for what follows."""
        if self._wanted:
            print(f"\r{' ' * _PROGRESS_COLUMNS}\r", end="", file=sys.stderr, flush=True)


def _tell(report: "IngestReport", took_s: float) -> int:
    for problem in report.problems:
        complain(f"{problem.path}: {problem.text}")
    if not report.added + report.changed + report.unchanged + report.removed:
        raise CommandFailed(
            f"Nothing was taken into {report.kb_id!r}: give Markdown, text or HTML files, or folders with such files."
        )
    counts = ", ".join(f"{getattr(report, name)} {name}" for name in ("added", "changed", "unchanged", "removed"))
    passages = counted(report.passages, "passage")
    print(f"{report.kb_id}: {counts} ({took_s:.1f} s). It holds {passages} now.")
    if report.skipped:
        print(dim(f"{report.skipped} hidden or other files and folders were left out."))
    if report.problems:
        print(f"{counted(len(report.problems), 'problem')}, named above.")
    return OK
