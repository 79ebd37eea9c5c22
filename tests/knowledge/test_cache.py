"""The cache before knowledge bases, on a clock of the test's own."""

from collections.abc import AsyncIterator, Mapping

import pytest
import trio
import trio.testing

from server.knowledge.base import (
    DEFAULT_LIMIT,
    DocumentText,
    KnowledgeBase,
    KnowledgeCatalog,
    KnowledgeUnavailable,
    Passage,
    Profile,
)
from server.knowledge.cache import CachedCatalog
from server.knowledge.catalog import SqliteCatalog
from server.knowledge.sqlite import KnowledgeIndex
from tests.knowledge.conformance import check_catalog
from tests.knowledge.conftest import Fill


class _Slow:
    """A catalog of one knowledge base whose answers take a second, or fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.error: Exception | None = None
        self.profile = Profile(kb_id="kb", title="KB")
        self.kb_id = "kb"

    async def open(self, kb_id: str) -> KnowledgeBase:
        await trio.lowlevel.checkpoint()
        return self

    async def profiles(self) -> list[Profile]:
        await trio.lowlevel.checkpoint()
        return [self.profile]

    async def search(self, query: str, *, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        self.asked.append(query)
        try:
            await trio.sleep(1)
        except trio.Cancelled:
            self.cancelled.append(query)
            raise
        if self.error is not None:
            raise self.error
        return [_passage(query)]

    async def document(self, passage_id: str) -> DocumentText:
        self.asked.append(passage_id)
        await trio.sleep(1)
        return DocumentText(
            id=passage_id,
            title="T",
            uri="u",
            text="text",
            start=0,
            end=4,
            headings=[],
            cut_before=False,
            cut_after=False,
        )


def _passage(text: str) -> Passage:
    return Passage(id="kb/a#1", title="A", uri="a", text=text, start=0, end=len(text), score=1.0, snippet=text)


@pytest.fixture
def slow() -> _Slow:
    return _Slow()


@pytest.fixture
async def nursery() -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as opened:
        yield opened
        opened.cancel_scope.cancel()


async def test_an_answer_is_kept_for_a_while(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    base = await CachedCatalog(slow, nursery, ttl_s=60).open("kb")
    first = await base.search("keeper")
    began = trio.current_time()
    again = await base.search("  keeper ")
    assert trio.current_time() == began
    assert again == first
    # Each has a list of its own.
    again.clear()
    assert await base.search("keeper") == first
    await trio.sleep(60)
    await base.search("keeper")
    assert slow.asked == ["keeper", "keeper"]


async def test_other_questions_limits_and_documents_are_other_answers(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    base = await CachedCatalog(slow, nursery).open("kb")
    for _ in range(2):
        await base.search("keeper")
        await base.search("keeper", limit=3)
        await base.search("lantern")
        await base.document("kb/a#1")
    assert slow.asked == ["keeper", "keeper", "lantern", "kb/a#1"]
    with pytest.raises(ValueError, match="limit"):
        await base.search("keeper", limit=0)


async def test_many_who_ask_at_once_ask_once(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    catalog = CachedCatalog(slow, nursery)
    bases = [await catalog.open("kb") for _ in range(10)]
    async with trio.open_nursery() as many:
        for base in bases:
            many.start_soon(base.search, "keeper")
    assert slow.asked == ["keeper"]
    assert trio.current_time() == 1


async def test_who_is_cancelled_harms_nobody_else(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    base = await CachedCatalog(slow, nursery).open("kb")
    found: list[list[Passage]] = []

    async def patient() -> None:
        found.append(await base.search("keeper"))

    async with trio.open_nursery() as many:
        with trio.move_on_after(0.5):
            many.start_soon(patient)
            # The first who asked leaves as well as one who came later.
            await base.search("keeper")
        many.start_soon(patient)
    assert found == [[_passage("keeper")]] * 2
    assert slow.asked == ["keeper"]
    assert slow.cancelled == []


async def test_a_question_that_nobody_waits_for_is_cancelled(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    base = await CachedCatalog(slow, nursery).open("kb")
    with trio.move_on_after(0.5):
        await base.search("keeper")
    # Whoever asks right away gets an answer, and not the end of the other one.
    assert await base.search("keeper") == [_passage("keeper")]
    assert slow.cancelled == ["keeper"]
    assert slow.asked == ["keeper", "keeper"]


async def test_errors_reach_all_who_wait_and_are_not_kept(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    base = await CachedCatalog(slow, nursery).open("kb")
    for error in (KnowledgeUnavailable("down"), RuntimeError("a bug")):
        slow.error = error
        told: list[BaseException] = []

        async def ask(told: list[BaseException] = told) -> None:
            try:
                await base.search("keeper")
            except (KnowledgeUnavailable, RuntimeError) as caught:
                told.append(caught)

        async with trio.open_nursery() as many:
            for _ in range(3):
                many.start_soon(ask)
        assert told == [error] * 3
    slow.error = None
    assert await base.search("keeper") == [_passage("keeper")]


async def test_who_waits_when_the_server_stops_is_told(slow: _Slow, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        base = await CachedCatalog(slow, inner).open("kb")

        async def ask() -> None:
            with pytest.raises(KnowledgeUnavailable, match="stopping"):
                await base.search("keeper")

        outer.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        inner.cancel_scope.cancel()


async def test_answers_are_bounded_in_number_and_bytes(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    catalog = CachedCatalog(slow, nursery, max_entries=3)
    base = await catalog.open("kb")
    for query in ("a", "b", "c", "a", "d"):
        await base.search(query)
    assert catalog.entries == 3
    slow.asked.clear()
    await base.search("a")
    await base.search("b")
    assert slow.asked == ["b"]

    small = CachedCatalog(slow, nursery, max_bytes=20_000)
    base = await small.open("kb")
    for number in range(20):
        await base.search("x" * 1_000 + str(number))
        assert small.bytes_held <= 20_000
    assert 1 < small.entries < 10
    await base.search("y" * 30_000)
    assert small.bytes_held <= 20_000


async def test_without_a_time_nothing_is_kept(
    slow: _Slow, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    catalog = CachedCatalog(slow, nursery, ttl_s=0)
    base = await catalog.open("kb")
    await base.search("keeper")
    await base.search("keeper")
    assert slow.asked == ["keeper", "keeper"]
    assert catalog.entries == 0


async def test_a_cached_catalog_conforms(index: KnowledgeIndex, fill: Fill) -> None:
    async with trio.open_nursery() as opened:

        async def make(bases: Mapping[str, Mapping[str, str]]) -> KnowledgeCatalog:
            for kb_id, files in bases.items():
                await trio.to_thread.run_sync(fill, files, kb_id)
            return CachedCatalog(SqliteCatalog(index), opened)

        await check_catalog(make)
        opened.cancel_scope.cancel()
