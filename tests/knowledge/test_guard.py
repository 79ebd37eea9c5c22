"""The guard around knowledge bases: nobody waits longer than its deadline, and nobody waits where it is of no use."""

import threading
from collections.abc import Iterator, Mapping

import pytest
import structlog
import trio
import trio.testing

from server.breaker import BreakerState, CircuitBreaker
from server.knowledge.base import (
    DocumentText,
    KnowledgeCatalog,
    KnowledgeUnavailable,
    Passage,
    Profile,
    UnknownKnowledgeBase,
    UnknownPassage,
)
from server.knowledge.catalog import SqliteCatalog
from server.knowledge.guard import GuardedCatalog, GuardedKnowledgeBase
from server.knowledge.sqlite import KnowledgeIndex
from tests.knowledge.conformance import check_catalog
from tests.knowledge.conftest import Fill

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
FOREVER = float("inf")


class Books:
    """A knowledge base that answers as it is told; implements ``KnowledgeBase``."""

    def __init__(self, kb_id: str = "books") -> None:
        self.kb_id = kb_id
        self.profile = Profile(kb_id=kb_id, title=kb_id.title())
        self.takes_s = 0.0
        self.error: Exception | None = None
        self.asked = 0

    async def search(self, query: str, *, limit: int = 5) -> list[Passage]:
        self.asked += 1
        await trio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return []

    async def document(self, passage_id: str) -> DocumentText:
        await self.search(passage_id)
        raise UnknownPassage(passage_id)


class Shelf:
    """A catalog; implements ``KnowledgeCatalog``."""

    def __init__(self) -> None:
        self.books = {"books": Books(), "maps": Books("maps")}
        self.takes_s = 0.0

    async def open(self, kb_id: str) -> Books:
        await trio.sleep(self.takes_s)
        if kb_id not in self.books:
            raise UnknownKnowledgeBase(kb_id)
        return self.books[kb_id]

    async def profiles(self) -> list[Profile]:
        await trio.sleep(self.takes_s)
        return [book.profile for book in self.books.values()]


def guarded(books: Books) -> tuple[GuardedKnowledgeBase, CircuitBreaker]:
    breaker = CircuitBreaker("knowledge base books", failures=3, cool_down_s=5, max_cool_down_s=30)
    return GuardedKnowledgeBase(books, breaker, deadline_s=4), breaker


async def _fails(base: GuardedKnowledgeBase, match: str | None = None) -> float:
    """Seconds until a question is refused."""
    began = trio.current_time()
    with pytest.raises(KnowledgeUnavailable, match=match):
        await base.search("whales")
    return trio.current_time() - began


async def test_answers_pass(autojump_clock: trio.testing.MockClock) -> None:
    books = Books()
    base, breaker = guarded(books)
    assert (base.kb_id, base.profile) == ("books", books.profile)
    assert await base.search("whales") == []
    assert breaker.state is CLOSED


async def test_a_search_that_hangs_is_given_up_and_then_no_longer_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    books = Books()
    books.takes_s = FOREVER
    base, breaker = guarded(books)
    for _ in range(3):
        assert await _fails(base, "within 4 s") == pytest.approx(4, abs=0.01)
    assert breaker.state is OPEN
    for _ in range(10):
        assert await _fails(base, "asked again in") < 0.01
    assert books.asked == 3


async def test_afterwards_one_question_finds_out_whether_it_is_back(autojump_clock: trio.testing.MockClock) -> None:
    books = Books()
    books.takes_s = FOREVER
    base, breaker = guarded(books)
    for _ in range(3):
        await _fails(base)
    await trio.sleep(5.001)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fails, base, "within 4 s")
        await trio.testing.wait_all_tasks_blocked()
        assert breaker.state is HALF_OPEN
        assert await _fails(base, "asked again") < 0.01
    books.takes_s = 0
    await trio.sleep(10.001)
    assert await base.search("whales") == []
    assert breaker.state.value == "closed"


async def test_failures_count_and_what_is_an_answer_does_not(autojump_clock: trio.testing.MockClock) -> None:
    books = Books()
    base, breaker = guarded(books)
    for error in (UnknownKnowledgeBase("books"), ValueError("limit")):
        books.error = error
        for _ in range(5):
            with pytest.raises(type(error)):
                await base.search("whales")
    books.error = None
    for _ in range(5):
        with pytest.raises(UnknownPassage):
            await base.document("books/a.md#1")
    assert breaker.failures == 0
    for failures, failure in enumerate((KnowledgeUnavailable("locked"), RuntimeError("the adapter is wrong")), start=1):
        books.error = failure
        with pytest.raises(type(failure)):
            await base.search("whales")
        assert breaker.failures == failures


async def test_a_document_is_guarded_too(autojump_clock: trio.testing.MockClock) -> None:
    books = Books()
    books.takes_s = FOREVER
    base, breaker = guarded(books)
    for _ in range(3):
        with pytest.raises(KnowledgeUnavailable, match="within 4 s"):
            await base.document("books/a.md#1")
    assert breaker.state is OPEN


async def test_a_cancelled_question_says_nothing_and_gives_its_place_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    books = Books()
    books.takes_s = FOREVER
    base, breaker = guarded(books)
    for _ in range(5):
        with trio.move_on_after(1):
            await base.search("whales")
    assert breaker.failures == 0
    for _ in range(3):
        await _fails(base)
    await trio.sleep(5.001)
    with trio.move_on_after(1):
        await base.search("whales")
    books.takes_s = 0
    assert await base.search("whales") == []


async def test_each_knowledge_base_has_a_breaker_of_its_own_for_all_sessions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shelf = Shelf()
    catalog = GuardedCatalog(shelf, deadline_s=4)
    shelf.books["books"].error = KnowledgeUnavailable("broken")
    for _ in range(3):
        await _fails(await catalog.open("books"), "broken")
    await _fails(await catalog.open("books"), "asked again")
    assert await (await catalog.open("maps")).search("whales") == []
    assert [(breaker.name, breaker.state) for breaker in catalog.breakers] == [
        ("knowledge base books", OPEN),
        ("knowledge base maps", CLOSED),
    ]
    with pytest.raises(UnknownKnowledgeBase):
        await catalog.open("no such")
    assert len(catalog.breakers) == 2


async def test_a_catalog_that_hangs_holds_nobody(autojump_clock: trio.testing.MockClock) -> None:
    shelf = Shelf()
    shelf.takes_s = FOREVER
    catalog = GuardedCatalog(shelf, deadline_s=4)
    began = trio.current_time()
    with pytest.raises(KnowledgeUnavailable, match="within 4 s"):
        await catalog.open("books")
    with pytest.raises(KnowledgeUnavailable, match="within 4 s"):
        await catalog.profiles()
    assert trio.current_time() - began == pytest.approx(8, abs=0.01)


async def test_it_is_a_catalog_like_any_other(index: KnowledgeIndex, fill: Fill) -> None:
    async def make(bases: Mapping[str, Mapping[str, str]]) -> KnowledgeCatalog:
        for kb_id, files in bases.items():
            await trio.to_thread.run_sync(fill, files, kb_id)
        return GuardedCatalog(SqliteCatalog(index), deadline_s=30)

    await check_catalog(make)


class StuckIndex(KnowledgeIndex):
    """An index on a disk that has stopped answering."""

    def __init__(self, index: KnowledgeIndex) -> None:
        super().__init__(index.folder)
        self.works = threading.Event()
        self.stuck = 0
        self.most_stuck = 0

    def search(self, kb_id: str, query: str, limit: int = 5) -> list[Passage]:
        self.stuck += 1
        self.most_stuck = max(self.most_stuck, self.stuck)
        try:
            if not self.works.wait(10):
                raise KnowledgeUnavailable("the test has ended")
        finally:
            self.stuck -= 1
        return super().search(kb_id, query, limit)


async def test_a_disk_that_stops_answering_holds_no_session_and_few_threads(index: KnowledgeIndex, fill: Fill) -> None:
    fill({"a.md": "# A\n\nA lantern on the quay."})
    disk = StuckIndex(index)
    catalog = GuardedCatalog(SqliteCatalog(disk), deadline_s=0.1, cool_down_s=0.3, max_cool_down_s=0.3)
    base = await catalog.open("kb")
    refused = 0

    async def ask() -> None:
        nonlocal refused
        with pytest.raises(KnowledgeUnavailable):
            await base.search("lantern")
        refused += 1

    try:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(ask)
            assert refused == 50
            assert 1 <= disk.most_stuck <= 4
    finally:
        disk.works.set()
    with trio.fail_after(5):
        while catalog.breakers[0].state is not CLOSED:
            await trio.sleep(0.05)
            try:
                assert await base.search("lantern")
            except KnowledgeUnavailable:
                continue
    disk.close()


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield
