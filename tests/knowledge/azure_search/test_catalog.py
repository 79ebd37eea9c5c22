"""The adapter against the stand-in: what is asked, what is answered, and whose passages they are."""

from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from server.knowledge.azure_search.config import KnowledgeBaseSource, Mode, fields_of
from server.knowledge.base import KnowledgeCatalog, Profile, UnknownPassage
from server.knowledge.profiles import default_profile
from tests.knowledge.azure_search.conftest import Bench
from tests.knowledge.azure_search.stand_in.definitions import read_definition
from tests.knowledge.azure_search.stand_in.index import Index
from tests.knowledge.conformance import BASES, check_catalog

TWO = tuple(KnowledgeBaseSource(kb_id=kb_id, index="shared") for kb_id in BASES)
APART = tuple(KnowledgeBaseSource(kb_id=kb_id, index=f"index-{kb_id}", filter_value="all") for kb_id in BASES)
KEEPER = {"keeper.md": "# The keeper\n\nThe keeper Elin Strand lived here.\n"}


async def _fill(bench: Bench, bases: Mapping[str, Mapping[str, str]], *, vectors: bool = False) -> None:
    for kb_id, files in bases.items():
        await bench.fill(files, kb_id, vectors=vectors)


@pytest.mark.parametrize("sources", [TWO, APART], ids=["one index", "an index each"])
@pytest.mark.parametrize("semantic", ["", "default"], ids=["words", "words, ranked semantically"])
async def test_the_catalog_conforms(bench: Bench, sources: tuple[KnowledgeBaseSource, ...], semantic: str) -> None:
    bench.sources = sources

    async def make(bases: Mapping[str, Mapping[str, str]]) -> KnowledgeCatalog:
        await _fill(bench, bases)
        return bench.catalog(semantic=semantic)

    await check_catalog(make)
    assert all("filter" in body for body in bench.stand_in.bodies)


@pytest.mark.parametrize("brought", [True, False], ids=["vectors brought along", "vectors made by the service"])
@pytest.mark.parametrize(("mode", "semantic"), [("vector", ""), ("hybrid", ""), ("hybrid", "default")])
async def test_every_mode_finds_what_is_meant(bench: Bench, mode: Mode, semantic: str, brought: bool) -> None:
    bench.sources = TWO
    await _fill(bench, BASES, vectors=True)
    catalog = bench.catalog(mode, semantic, bench.embedder() if brought else None)
    base = await catalog.open("harbour")
    for query, document in (("How much is an adult ticket?", "prices.md"), ("Who was Elin Strand?", "keeper.md")):
        found = await base.search(query, limit=3)
        assert found[0].id.startswith(f"harbour/{document}#"), query
        assert {passage.id.split("/")[0] for passage in found} == {"harbour"}
        scores = [passage.score for passage in found]
        assert scores == sorted(scores, reverse=True)
        assert 0 < scores[0] <= 1
    (query,) = bench.stand_in.bodies[-1]["vectorQueries"]
    assert query["kind"] == ("vector" if brought else "text")
    assert await base.search("?!") == []


async def test_every_request_carries_the_filter_and_asks_for_no_more_than_is_needed(bench: Bench) -> None:
    await bench.fill(KEEPER)
    base = await bench.catalog().open("kb")
    (passage,) = await base.search("keeper' or kb_id ne '", limit=7)
    searched = bench.stand_in.bodies[-1]
    assert searched["filter"] == "kb_id eq 'kb'"
    assert searched["top"] == 7
    assert searched["search"] == "keeper kb id ne"
    assert set(searched["select"].split(",")) == {
        "id",
        "kb_id",
        "content",
        "title",
        "headings",
        "uri",
        "path",
        "number",
        "start",
    }
    await base.document(passage.id)
    assert bench.stand_in.bodies[-1]["filter"] == (
        "kb_id eq 'kb' and path eq 'keeper.md' and number ge 0 and number le 102"
    )


async def test_another_knowledge_bases_passage_is_dropped_and_told(bench: Bench) -> None:
    bench.sources = TWO
    await _fill(bench, BASES)
    base = await bench.catalog().open("harbour")
    bench.stand_in.indexes["shared"].ignores_filters = True
    with capture_logs() as logs:
        found = await base.search("opening hours lighthouse observatory", limit=20)
    assert found
    assert {passage.id.split("/")[0] for passage in found} == {"harbour"}
    assert any("another knowledge base" in entry["event"] and entry["log_level"] == "error" for entry in logs)
    with pytest.raises(UnknownPassage):
        await base.document("harbour/telescope.md#1")


async def test_a_long_document_is_shown_around_the_passage(bench: Bench) -> None:
    sections = "\n\n".join(f"## Part {number}\n\nThe lantern number {number} shines.\n" for number in range(1, 301))
    await bench.fill({"long.md": f"# Lanterns\n\n{sections}"})
    base = await bench.catalog().open("kb")
    document = await base.document("kb/long.md#150")
    assert document.text[document.start : document.end] == "The lantern number 150 shines."
    assert (document.cut_before, document.cut_after) == (True, True)
    assert "number 50 shines" in document.text
    assert "number 250 shines" in document.text
    assert "number 251 shines" not in document.text
    assert not (await base.document("kb/long.md#300")).cut_after
    assert not (await base.document("kb/long.md#1")).cut_before


def _foreign_index(*, has_owner: bool = False) -> Index:
    """As "Import and vectorize data" makes one: chunks with a key that no filter takes, and no numbers."""
    fields: list[dict[str, object]] = [
        {"name": "chunk_id", "type": "Edm.String", "key": True, "filterable": False, "sortable": True},
        {"name": "parent_id", "type": "Edm.String", "searchable": False},
        {"name": "chunk", "type": "Edm.String"},
        {"name": "title", "type": "Edm.String"},
    ]
    if has_owner:
        fields.append({"name": "tenant", "type": "Edm.String", "searchable": False})
    index = Index(read_definition({"name": "theirs", "fields": fields}))
    for key, chunk, owner in (("a_1", "The keeper lived here.", "one"), ("b_1", "The keeper left.", "two")):
        document = {"chunk_id": key, "parent_id": "p", "chunk": chunk, "title": "keeper.pdf"}
        index.documents[key] = document | ({"tenant": owner} if has_owner else {})
    return index


THEIRS = fields_of({"key": "chunk_id", "content": "chunk", "title": "title"})


async def test_an_index_of_others_is_searched_by_its_own_field_names(bench: Bench) -> None:
    bench.stand_in.indexes["theirs"] = _foreign_index()
    bench.sources = (KnowledgeBaseSource(kb_id="kb", index="theirs", filter_field="", fields=THEIRS),)
    base = await bench.catalog().open("kb")
    first, second = await base.search("who was the keeper?")
    assert {first.id, second.id} == {"kb/a_1#1", "kb/b_1#1"}
    assert (first.title, first.start, first.end) == ("keeper.pdf", 0, len(first.text))
    document = await base.document("kb/a_1#1")
    assert document.text == "The keeper lived here."
    assert (document.cut_before, document.cut_after) == (False, False)
    for unknown in ("kb/c_1#1", "kb/a_1#2", "kb/a/1#1", "kb/a_1') or ('#1"):
        with pytest.raises(UnknownPassage):
            await base.document(unknown)


async def test_a_passage_looked_up_by_its_key_must_be_the_knowledge_bases_own(bench: Bench) -> None:
    bench.stand_in.indexes["theirs"] = _foreign_index(has_owner=True)
    bench.sources = (
        KnowledgeBaseSource(kb_id="kb", index="theirs", filter_field="tenant", filter_value="one", fields=THEIRS),
    )
    base = await bench.catalog().open("kb")
    assert [passage.id for passage in await base.search("keeper")] == ["kb/a_1#1"]
    assert (await base.document("kb/a_1#1")).text
    with pytest.raises(UnknownPassage):
        await base.document("kb/b_1#1")


async def test_equal_passages_stand_in_the_same_order_each_time(bench: Bench) -> None:
    await bench.fill({f"{name}.md": "# Same\n\nThe lantern shines.\n" for name in "abcdefg"})
    base = await bench.catalog().open("kb")
    expected = await base.search("lantern", limit=50)
    documents = bench.stand_in.indexes["shared"].documents
    for key in list(documents):
        documents[key] = documents.pop(key)
    bench.stand_in.indexes["shared"].documents = dict(reversed(documents.items()))
    assert await base.search("lantern", limit=50) == expected


PROFILE = 'title = "Harbour guide"\ngreeting = "Ahoy!"\nvoice = "marin"\nlanguage = "en"\ninstructions = "Be kind."\n'


async def test_a_persona_is_that_of_the_settings_else_the_ingested_else_the_default(bench: Bench) -> None:
    configured = Profile(kb_id="a", title="From the settings")
    bench.sources = (
        KnowledgeBaseSource(kb_id="a", index="shared", profile=configured),
        KnowledgeBaseSource(kb_id="b", index="shared"),
        KnowledgeBaseSource(kb_id="c", index="shared"),
    )
    for kb_id in "ab":
        await bench.fill({**KEEPER, "profile.toml": PROFILE}, kb_id)
    a, b, c = await bench.catalog().profiles()
    assert a == configured
    assert (b.kb_id, b.title, b.greeting, b.voice) == ("b", "Harbour guide", "Ahoy!", "marin")
    assert c == default_profile("c")
    # It is beside the passages, and no search finds it.
    assert await (await bench.catalog().open("b")).search("ahoy kind harbour guide") == []


async def test_a_service_that_is_down_keeps_nobody_from_opening(bench: Bench) -> None:
    bench.sources = TWO
    bench.stand_in.fail(403, times=1_000)
    catalog = bench.catalog()
    with capture_logs() as logs:
        base = await catalog.open("harbour")
        assert [profile.kb_id for profile in await catalog.profiles()] == ["harbour", "observatory"]
    assert base.profile == default_profile("harbour")
    asked = len(bench.stand_in.requests)
    await catalog.open("harbour")
    assert len(bench.stand_in.requests) == asked
    assert all("persona" in entry["event"] for entry in logs)


async def test_numbers_from_zero_and_fields_that_are_left_out_are_no_hindrance(bench: Bench) -> None:
    fields = [
        {"name": "id", "type": "Edm.String", "key": True},
        {"name": "text", "type": "Edm.String"},
        {"name": "doc", "type": "Edm.String", "searchable": False},
        {"name": "n", "type": "Edm.Int32"},
    ]
    index = Index(read_definition({"name": "theirs", "fields": fields}))
    for number, text in enumerate(("Above the door.", "A lantern hangs.", "Below the roof.")):
        index.documents[str(number)] = {"id": str(number), "text": text, "doc": "house", "n": number}
    bench.stand_in.indexes["theirs"] = index
    mapped = fields_of({"key": "id", "content": "text", "document": "doc", "number": "n"})
    bench.sources = (KnowledgeBaseSource(kb_id="kb", index="theirs", filter_field="", fields=mapped),)
    base = await bench.catalog().open("kb")
    (found,) = await base.search("lantern")
    assert (found.id, found.title, found.uri) == ("kb/house#1", "house", "house")
    assert "Above the door." in (await base.document("kb/house#0")).text
