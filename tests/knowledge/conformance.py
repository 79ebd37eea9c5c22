"""What every knowledge catalog must do, whatever stands behind it: one function, run by each adapter's tests."""

from collections.abc import Awaitable, Callable, Mapping

import pytest
import trio

from server.knowledge.base import (
    MAX_LIMIT,
    KnowledgeBase,
    KnowledgeCatalog,
    Passage,
    UnknownKnowledgeBase,
    UnknownPassage,
)

# kb_id -> file name -> Markdown. An adapter's test fills its backend with this, in whatever way it is filled.
BASES: Mapping[str, Mapping[str, str]] = {
    "harbour": {
        "opening-hours.md": (
            "# Opening hours\n\nThe lighthouse is open from 9 am to 5 pm. It is closed on Mondays.\n\n"
            "## Holidays\n\nOn public holidays the lighthouse opens at noon.\n"
        ),
        "prices.md": "# Tickets and prices\n\nAn adult ticket costs 12 euros. Children pay 4 euros.\n",
        "keeper.md": "# The keeper\n\nThe keeper Elin Strand lived here for forty years. She opened the door to all.\n",
        "café.md": "# Café\n\nThe café sells crème brûlée. The kitchen closes at 4 pm.\n",
    },
    "observatory": {
        "opening-hours.md": "# Opening hours\n\nThe observatory is open on clear Fridays from 10 pm.\n",
        "telescope.md": "# The telescope\n\nThe telescope's mirror is two metres wide.\n",
    },
}

HOSTILE_QUERIES = (
    "",
    "   ",
    "?",
    '"',
    "'; DROP TABLE passage; --",
    '" OR "1"="1',
    "title:keeper AND (",
    "NEAR(keeper strand, 2)",
    "keeper*",
    "NOT keeper",
    "^keeper",
    "{title} : keeper",
    "keeper\0strand",
    "\ud800",
    "日本語の質問",
    "Πότε ανοίγει το μουσείο;",
    "👩‍🚀🚀",
    "a" * 100_000,
    "keeper " * 10_000,
    "-" * 5_000,
)

HOSTILE_IDS = (
    "",
    "harbour",
    "harbour/",
    "harbour/keeper.md",
    "harbour/keeper.md#",
    "harbour/keeper.md#0",
    "harbour/keeper.md#-1",
    "harbour/keeper.md#1 ",
    "harbour/keeper.md#01",
    "harbour/keeper.md#99",
    "harbour/keeper.md#99999999999999999999",
    "harbour/keeper.md#１",
    "harbour/none.md#1",
    "keeper.md#1",
    "harbour/../observatory/telescope.md#1",
    "harbour/'; DROP TABLE document; --#1",
    "harbour/%#1",
    "harbour/\0#1",
    "harbour/\ud800#1",
    "harbour/" + "x" * 100_000 + "#1",
)

MakeCatalog = Callable[[Mapping[str, Mapping[str, str]]], Awaitable[KnowledgeCatalog]]


async def check_catalog(make: MakeCatalog) -> None:
    """Runs every check against a catalog that `make` has filled with the documents given to it."""
    catalog = await make(BASES)
    await _check_opening(catalog)
    base = await catalog.open("harbour")
    await _check_answers(base)
    await _check_shape(base)
    await _check_documents(catalog)
    await _check_limits(base)
    await _check_hostile_queries(base)
    await _check_isolation(catalog)
    await _check_concurrency(base)
    await _check_cancellation(base)


async def _check_opening(catalog: KnowledgeCatalog) -> None:
    profiles = await catalog.profiles()
    assert [profile.kb_id for profile in profiles] == ["harbour", "observatory"]
    assert all(profile.title for profile in profiles)
    base = await catalog.open("observatory")
    assert base.kb_id == base.profile.kb_id == "observatory"
    for unknown in ("nothing", "", "HARBOUR", "../harbour", "harbour\0", "x" * 10_000, "\ud800"):
        with pytest.raises(UnknownKnowledgeBase) as caught:
            await catalog.open(unknown)
        assert caught.value.kb_id == unknown
        assert "observatory" not in str(caught.value)
        assert len(str(caught.value)) < 1_000


async def _check_answers(base: KnowledgeBase) -> None:
    for query, document in (
        ("When does it open on Mondays?", "opening-hours.md"),
        ("How much is a ticket for an adult?", "prices.md"),
        ("Who was Elin Strand?", "keeper.md"),
        ("creme brulee", "café.md"),
        ("CRÈME BRÛLÉE", "café.md"),
        ("opened doors", "keeper.md"),
    ):
        passages = await base.search(query)
        assert passages, query
        assert document in passages[0].id, query
    assert await base.search("zyzzyva") == []


async def _check_shape(base: KnowledgeBase) -> None:
    passages = await base.search("lighthouse opening holidays")
    assert len({passage.id for passage in passages}) == len(passages)
    scores = [passage.score for passage in passages]
    assert scores == sorted(scores, reverse=True)
    for passage in passages:
        assert isinstance(passage, Passage)
        assert passage.id.startswith("harbour/")
        assert passage.title
        assert passage.uri
        assert passage.end - passage.start == len(passage.text) > 0
        assert passage.snippet
        assert "\n" not in passage.snippet
    assert passages[0].title == "Opening hours > Holidays"
    assert passages[0].text == "On public holidays the lighthouse opens at noon."
    assert await base.search("lighthouse opening holidays") == passages


async def _check_documents(catalog: KnowledgeCatalog) -> None:
    base = await catalog.open("harbour")
    for query in ("lighthouse opening holidays", "keeper", "café", "ticket price"):
        for passage in await base.search(query):
            document = await base.document(passage.id)
            assert document.id == passage.id
            assert document.text[document.start : document.end] == passage.text
            assert document.uri == passage.uri
            assert passage.title.startswith(document.title)
            assert not document.cut_before
            assert not document.cut_after
    document = await base.document("harbour/opening-hours.md#2")
    assert "It is closed on Mondays." in document.text[: document.start]
    assert [document.text[start:end] for start, end in document.headings] == ["Holidays"]
    other = await catalog.open("observatory")
    for passage_id in (*HOSTILE_IDS, "observatory/telescope.md#1"):
        with pytest.raises(UnknownPassage) as caught:
            await base.document(passage_id)
        assert len(str(caught.value)) < 1_000
    with pytest.raises(UnknownPassage):
        await other.document("harbour/keeper.md#1")


async def _check_limits(base: KnowledgeBase) -> None:
    assert len(await base.search("lighthouse keeper ticket", limit=1)) == 1
    assert len(await base.search("lighthouse keeper ticket", limit=MAX_LIMIT)) >= 3
    for limit in (0, -1, MAX_LIMIT + 1):
        with pytest.raises(ValueError, match="limit"):
            await base.search("keeper", limit=limit)


async def _check_hostile_queries(base: KnowledgeBase) -> None:
    for query in HOSTILE_QUERIES:
        assert isinstance(await base.search(query), list)
    assert await base.search("keeper NOT strand") == await base.search("keeper strand")


async def _check_isolation(catalog: KnowledgeCatalog) -> None:
    for kb_id in BASES:
        base = await catalog.open(kb_id)
        passages = await base.search("opening hours observatory lighthouse", limit=MAX_LIMIT)
        assert {passage.id.split("/")[0] for passage in passages} == {kb_id}


async def _check_concurrency(base: KnowledgeBase) -> None:
    expected = {query: await base.search(query) for query in ("keeper", "ticket price", "opening hours", "café")}

    async def ask(query: str) -> None:
        assert await base.search(query) == expected[query]

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            for query in expected:
                nursery.start_soon(ask, query)


async def _check_cancellation(base: KnowledgeBase) -> None:
    expected = await base.search("keeper")
    for _ in range(20):
        with trio.CancelScope() as scope:
            scope.cancel()
            await base.search("keeper")
            pytest.fail("a search is a checkpoint")
        assert scope.cancelled_caught
        with trio.move_on_after(0.000_5):
            await base.search("ticket price")
    assert await base.search("keeper") == expected
