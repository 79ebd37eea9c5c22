"""A knowledge index in a folder of the test's own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from server.knowledge.ingest import IngestReport, ingest
from server.knowledge.sqlite import KnowledgeIndex


@pytest.fixture
def index(tmp_path: Path) -> Iterator[KnowledgeIndex]:
    made = KnowledgeIndex(tmp_path / "index")
    yield made
    made.close()


class Fill(Protocol):
    """Writes files and ingests their folder."""

    def __call__(self, files: Mapping[str, str], kb_id: str = "kb") -> IngestReport: ...


@pytest.fixture
def fill(index: KnowledgeIndex, tmp_path: Path) -> Fill:
    def fill_index(files: Mapping[str, str], kb_id: str = "kb") -> IngestReport:
        folder = tmp_path / "sources" / kb_id
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return ingest(index, kb_id, [folder])

    return fill_index
