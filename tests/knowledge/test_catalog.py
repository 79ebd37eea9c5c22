import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from server.knowledge.base import KnowledgeCatalog, KnowledgeUnavailable
from server.knowledge.catalog import SqliteCatalog
from server.knowledge.ingest import IngestProgress
from server.knowledge.sqlite import KnowledgeIndex
from tests.knowledge.conformance import check_catalog
from tests.knowledge.conftest import Fill


async def test_the_embedded_catalog_conforms(index: KnowledgeIndex, fill: Fill) -> None:
    async def make(bases: Mapping[str, Mapping[str, str]]) -> KnowledgeCatalog:
        for kb_id, files in bases.items():
            await trio.to_thread.run_sync(fill, files, kb_id)
        return SqliteCatalog(index)

    await check_catalog(make)


async def test_profiles_leave_out_a_file_that_cannot_be_read(index: KnowledgeIndex, fill: Fill) -> None:
    fill({"a.md": "# A\n\nSome words."}, "good")
    index.file("broken").write_bytes(b"not a database at all" * 100)
    assert [profile.kb_id for profile in await SqliteCatalog(index).profiles()] == ["good"]
    with pytest.raises(KnowledgeUnavailable):
        await SqliteCatalog(index).open("broken")


async def test_abandoned_searches_leave_no_descriptor_behind(index: KnowledgeIndex, fill: Fill) -> None:
    fill({"a.md": "# A\n\nA lantern on the quay."})
    base = await SqliteCatalog(index).open("kb")
    await base.search("lantern")

    async def hurried() -> None:
        with trio.move_on_after(0.000_2):
            await base.search("lantern quay")

    async def crowd() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(hurried)
        await base.search("lantern")

    await crowd()
    # The most there can be: every query thread has had a connection of its own.
    for _ in range(4):
        await crowd()
    assert len(os.listdir("/proc/self/fd")) < 100
    assert len(index._idle) <= 5


async def test_ingesting_runs_in_a_thread_and_searching_goes_on(index: KnowledgeIndex, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number}.md").write_text(f"# Article {number}\n\nThe lantern number {number} shines.")
    catalog = SqliteCatalog(index)
    threads: set[str] = set()

    def progress(state: IngestProgress) -> None:
        threads.add(threading.current_thread().name)

    report = await catalog.ingest("kb", [folder], progress=progress)
    assert report.added == 100
    assert threads
    assert threading.main_thread().name not in threads
    assert await (await catalog.open("kb")).search("lantern 42")


async def test_cancelling_an_ingestion_keeps_whole_batches_and_it_can_be_run_again(
    index: KnowledgeIndex, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:03}.md").write_text(f"# Article {number}\n\nThe lantern number {number} shines.")
    catalog = SqliteCatalog(index)
    with trio.CancelScope() as scope:

        def progress(state: IngestProgress) -> None:
            if state.documents == 70:
                trio.from_thread.run_sync(scope.cancel)

        await catalog.ingest("kb", [folder], progress=progress)
    assert scope.cancelled_caught
    base = await catalog.open("kb")
    assert await base.search("lantern 063")
    report = await catalog.ingest("kb", [folder])
    assert (report.added, report.unchanged, report.passages) == (36, 64, 100)
