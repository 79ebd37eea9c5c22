"""The knowledge bases that come with the product: finds their sources and keeps their indexes up to date."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from server.knowledge.ingest import IngestReport, ingest_roots
from server.knowledge.schema import WrongIndexVersion, reset
from server.knowledge.sources import Root
from server.knowledge.sqlite import KnowledgeIndex

_log = structlog.get_logger("liveavatar.knowledge")

MUSEUM = "museum"
PROJECT = "liveavatar"

_SHIPPED = Path(__file__).parent / "shipped"
_CHECKOUT = Path(__file__).parents[2]
# What a wheel carries a copy of, at the same paths below `shipped/liveavatar/`.
_PROJECT_FILES = ("README.md", "docs")


@dataclass(frozen=True, slots=True)
class ShippedSource:
    """A knowledge base of the product and what it is made from."""

    kb_id: str
    folder: Path
    names: tuple[str, ...]
    """The files and folders inside `folder`; empty: all of it, with its own profile."""
    profile_file: Path | None

    def roots(self) -> list[Root]:
        """Its roots, under locations that are the same wherever the product is installed."""
        base = f"shipped:{self.kb_id}"
        if not self.names:
            return [Root(self.folder, base)]
        found = [name for name in self.names if (self.folder / name).exists()]
        return [
            Root(self.folder / name, f"{base}/{name}", name if (self.folder / name).is_dir() else "") for name in found
        ]


def shipped_sources(*, shipped: Path = _SHIPPED, checkout: Path = _CHECKOUT) -> list[ShippedSource]:
    """The museum guide and the project's documentation, from a checkout if this is one, else from the wheel."""
    documentation = shipped / PROJECT
    if (checkout / "pyproject.toml").is_file() and (checkout / "README.md").is_file():
        documentation = checkout
    return [
        ShippedSource(MUSEUM, shipped / MUSEUM, (), None),
        ShippedSource(PROJECT, documentation, _PROJECT_FILES, shipped / f"{PROJECT}.profile.toml"),
    ]


def load_shipped(index: KnowledgeIndex, sources: list[ShippedSource] | None = None) -> list[IngestReport]:
    """Brings the shipped knowledge bases up to date; blocks. Nothing is written when nothing changed.

    An index that another version made is emptied and made anew: its sources are here. Documents that an operator
    added to a shipped knowledge base stay, except in that case. Raises KnowledgeUnavailable.
    """
    reports: list[IngestReport] = []
    for source in shipped_sources() if sources is None else sources:
        try:
            report = _load(index, source)
        except WrongIndexVersion:
            _log.warning("shipped knowledge base made anew", kb_id=source.kb_id)
            reset(index.file(source.kb_id))
            report = _load(index, source)
        for problem in report.problems:
            _log.warning("shipped document problem", kb_id=source.kb_id, path=problem.path, problem=problem.text)
        reports.append(report)
    return reports


def _load(index: KnowledgeIndex, source: ShippedSource) -> IngestReport:
    return ingest_roots(index, source.kb_id, source.roots(), profile_file=source.profile_file)
