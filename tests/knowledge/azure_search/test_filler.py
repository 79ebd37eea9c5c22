"""Ingestion into indexes of the stand-in: what is made, sent, removed and left alone."""

import json
from collections import Counter
from typing import Any

import pytest
import trio

from server.knowledge.azure_search.config import IndexFields, KnowledgeBaseSource, SearchConfigError
from server.knowledge.azure_search.upload import BATCH_BYTES, BATCH_DOCUMENTS, Change, batches
from server.knowledge.base import InvalidKnowledgeBaseId, KnowledgeUnavailable
from server.knowledge.ingest import IngestProgress
from tests.knowledge.azure_search.conftest import Bench
from tests.knowledge.azure_search.stand_in.definitions import read_definition
from tests.knowledge.azure_search.stand_in.http import Request
from tests.knowledge.azure_search.stand_in.index import Index

FILES = {
    "keeper.md": "# The keeper\n\nThe keeper Elin Strand lived here.\n\n## Later\n\nShe moved to town.\n",
    "prices.md": "# Prices\n\nA ticket costs 12 euros.\n",
}
TWO = (KnowledgeBaseSource(kb_id="kb", index="shared"), KnowledgeBaseSource(kb_id="other", index="shared"))


def _owners(bench: Bench) -> Counter[str]:
    return Counter(document["kb_id"] for document in bench.documents())


def _actions(bench: Bench) -> list[str]:
    sent: list[str] = []
    for request in bench.stand_in.requests:
        if request.path.endswith("search.index"):
            sent += [action["@search.action"] for action in json.loads(request.body)["value"]]
    return sent


def _counts(report: Any) -> tuple[int, int, int, int]:
    return (report.added, report.changed, report.unchanged, report.removed)


async def test_an_index_is_made_and_filled(bench: Bench) -> None:
    report = await bench.fill(FILES)
    assert _counts(report) == (2, 0, 0, 0)
    assert report.passages == 3
    (first,) = [document for document in bench.documents() if document.get("number") == 2]
    assert first == {
        "id": first["id"],
        "kb_id": "kb",
        "path": "keeper.md",
        "number": 2,
        "title": "The keeper",
        "headings": "Later",
        "content": "She moved to town.",
        "uri": "keeper.md",
        "start": first["start"],
        "location": str(bench.folder / "kb" / "keeper.md"),
        "hash": first["hash"],
    }
    made = bench.stand_in.indexes["shared"].definition
    assert made.semantic == {"default": ["title", "content", "headings"]}
    assert "vector" not in made.fields


async def test_what_has_not_changed_is_not_sent_again(bench: Bench) -> None:
    await bench.fill(FILES)
    bench.stand_in.requests.clear()
    report = await bench.fill(FILES)
    assert _counts(report) == (0, 0, 2, 0)
    assert _actions(bench) == []


async def test_what_changed_is_replaced_and_what_is_gone_is_removed(bench: Bench) -> None:
    await bench.fill(FILES)
    folder = bench.write({"keeper.md": "# The keeper\n\nShe left.\n"})
    (folder / "prices.md").unlink()
    report = await bench.filler().ingest("kb", [folder])
    assert _counts(report) == (0, 1, 0, 1)
    assert report.passages == 1
    assert [document["content"] for document in bench.documents() if "number" in document] == ["She left."]


async def test_others_documents_are_left_alone(bench: Bench) -> None:
    bench.sources = TWO
    await bench.fill(FILES, "kb")
    await bench.fill(FILES, "other")
    before = _owners(bench)
    (bench.folder / "kb" / "keeper.md").unlink()
    (bench.folder / "kb" / "prices.md").unlink()
    report = await bench.filler().ingest("kb", [bench.folder / "kb"])
    assert report.removed == 2
    after = _owners(bench)
    assert after["other"] == before["other"] == 3
    assert after["kb"] == 0
    assert after["kb#persona"] == after["other#persona"] == 1


async def test_a_moved_folder_changes_no_passage(bench: Bench) -> None:
    await bench.fill(FILES)
    moved = bench.folder / "elsewhere"
    (bench.folder / "kb").rename(moved)
    bench.stand_in.requests.clear()
    report = await bench.filler().ingest("kb", [moved])
    assert _counts(report) == (0, 0, 2, 0)
    assert set(_actions(bench)) == {"merge"}
    assert {document["location"] for document in bench.documents() if "number" in document} == {
        str(moved / "keeper.md"),
        str(moved / "prices.md"),
    }
    (moved / "keeper.md").write_text("# The keeper\n\nAnother.\n")
    again = bench.folder / "again"
    moved.rename(again)
    assert _counts(await bench.filler().ingest("kb", [again])) == (0, 1, 1, 0)
    assert {document["location"] for document in bench.documents() if "number" in document} == {
        str(again / "keeper.md"),
        str(again / "prices.md"),
    }


async def test_documents_that_are_refused_in_passing_are_sent_again(bench: Bench) -> None:
    refusals = iter([503, 409, 0, 422])
    bench.stand_in.document_statuses = lambda _: next(refusals, 0)
    report = await bench.fill(FILES)
    assert report.passages == 3
    assert _owners(bench) == {"kb": 3, "kb#persona": 1}


async def test_documents_that_are_refused_are_named_and_taken_in_next_time(bench: Bench) -> None:
    await bench.fill({"notes.md": "# Notes\n\nNothing.\n"})
    known = {document["id"] for document in bench.documents()}
    seen: list[str] = []

    def second_is_refused(key: str) -> int:
        if key not in known and key not in seen:
            seen.append(key)
        return 400 if len(seen) > 1 and key == seen[1] else 0

    bench.stand_in.document_statuses = second_is_refused
    with pytest.raises(KnowledgeUnavailable, match=r"refused 1 of 3 passages: keeper\.md#2 \(400: The document was"):
        await bench.fill(FILES)
    bench.stand_in.document_statuses = lambda _: 0
    report = await bench.fill(FILES)
    assert report.added + report.changed + report.unchanged == 3
    assert report.unchanged == 2
    assert report.passages == 4
    assert _owners(bench)["kb"] == 4


async def test_a_document_that_lost_a_passage_is_taken_in_again(bench: Bench) -> None:
    await bench.fill(FILES)
    documents = bench.stand_in.indexes["shared"].documents
    lost = next(key for key, document in documents.items() if document.get("number") == 2)
    del documents[lost]
    report = await bench.fill(FILES)
    assert (report.added, report.unchanged, report.passages) == (1, 1, 3)
    assert lost in documents


async def test_cancelling_leaves_what_can_be_run_again(bench: Bench) -> None:
    folder = bench.write({f"{number:03}.md": f"# Article {number}\n\nThe lantern {number}.\n" for number in range(100)})
    with trio.CancelScope() as scope:

        def progress(state: IngestProgress) -> None:
            if state.documents == 70:
                trio.from_thread.run_sync(scope.cancel)

        await bench.filler().ingest("kb", [folder], progress=progress)
    assert scope.cancelled_caught
    assert _owners(bench)["kb"] == 64
    report = await bench.filler().ingest("kb", [folder])
    assert (report.added, report.unchanged, report.passages) == (36, 64, 100)


async def test_more_than_a_page_of_passages_is_known_wholly(bench: Bench) -> None:
    sections = "\n\n".join(f"## Part {number}\n\nThe lantern {number}.\n" for number in range(1_200))
    await bench.fill({"long.md": f"# Lanterns\n\n{sections}"})
    bench.stand_in.requests.clear()
    report = await bench.fill({})
    assert (report.unchanged, report.passages) == (1, 1_200)
    assert _actions(bench) == []
    filters = [body["filter"] for body in bench.stand_in.bodies]
    assert all(text.startswith("kb_id eq 'kb'") for text in filters)
    assert len(filters) == 3


def test_batches_are_bounded_in_number_and_size() -> None:
    small = {str(number): Change("upload", {"id": str(number)}, "") for number in range(2 * BATCH_DOCUMENTS + 1)}
    assert [len(batch) for batch in batches(small)] == [BATCH_DOCUMENTS, BATCH_DOCUMENTS, 1]
    large = {str(number): Change("upload", {"content": "x" * (BATCH_BYTES // 2)}, "") for number in range(3)}
    assert [len(batch) for batch in batches(large)] == [1, 1, 1]
    assert list(batches({})) == []


async def test_a_busy_service_gets_the_batch_again(bench: Bench) -> None:
    def is_write(request: Request) -> bool:
        return request.path.endswith("search.index")

    bench.stand_in.fail(429, times=2, wanted=is_write, Retry_After="0")
    assert (await bench.fill(FILES)).passages == 3


async def test_a_batch_that_a_proxy_finds_too_large_is_said(bench: Bench) -> None:
    bench.stand_in.fail(413, times=1, wanted=lambda request: b"lantern" in request.body)
    with pytest.raises(KnowledgeUnavailable, match="answers 413"):
        await bench.fill({f"{name}.md": "# A\n\nA lantern.\n" for name in "abcd"})


async def test_vectors_are_made_of_passages_and_the_index_says_by_what(bench: Bench) -> None:
    await bench.fill(FILES, vectors=True)
    passages = [document for document in bench.documents() if "number" in document]
    assert all(len(document["vector"]) == 32 for document in passages)
    raw = bench.stand_in.indexes["shared"].definition.raw
    (vectorizer,) = raw["vectorSearch"]["vectorizers"]
    assert vectorizer["azureOpenAIParameters"]["deploymentId"] == "embedding"
    assert "apiKey" not in vectorizer["azureOpenAIParameters"]
    assert _counts(await bench.fill(FILES, vectors=True)) == (0, 0, 2, 0)


async def test_an_index_without_vectors_is_not_filled_with_some(bench: Bench) -> None:
    await bench.fill(FILES)
    with pytest.raises(KnowledgeUnavailable, match=r"no field 'vector': look at LIVEAVATAR_SEARCH_FIELDS"):
        await bench.fill(FILES, vectors=True)


async def test_searching_vectors_needs_a_model_to_make_them(bench: Bench) -> None:
    with pytest.raises(SearchConfigError, match="LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT"):
        await bench.filler("hybrid").ingest("kb", [bench.write(FILES)])


@pytest.mark.parametrize("deployment", ["embedding", "nowhere"])
async def test_the_embedding_model_says_what_is_wrong_with_it(bench: Bench, deployment: str) -> None:
    embedder = bench.embedder(deployment)
    if deployment == "embedding":
        first, second = await embedder.embed(["keeper", "lantern"])
        assert len(first) == len(second) == 32
        bench.stand_in.fail(401, times=1)
        with pytest.raises(KnowledgeUnavailable, match="LIVEAVATAR_SEARCH_EMBEDDING_API_KEY"):
            await embedder.embed(["keeper"])
    else:
        with pytest.raises(KnowledgeUnavailable, match="LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT=nowhere"):
            await embedder.embed(["keeper"])


async def test_an_index_of_others_is_left_alone(bench: Bench) -> None:
    fields: list[dict[str, object]] = [
        {"name": "chunk_id", "type": "Edm.String", "key": True},
        {"name": "chunk", "type": "Edm.String"},
    ]
    bench.stand_in.indexes["shared"] = Index(read_definition({"name": "shared", "fields": fields}))
    with pytest.raises(KnowledgeUnavailable, match=r"no field 'id': look at LIVEAVATAR_SEARCH_FIELDS \(key=id\)"):
        await bench.fill(FILES)
    assert _actions(bench) == []


async def test_what_the_settings_do_not_allow_is_said(bench: Bench) -> None:
    folder = bench.write(FILES)
    bench.sources = (
        KnowledgeBaseSource(kb_id="whole", index="a", filter_field=""),
        KnowledgeBaseSource(kb_id="partly", index="b", fields=IndexFields(hash="")),
    )
    filler = bench.filler()
    for kb_id, setting in (
        ("unknown", "LIVEAVATAR_SEARCH_SOURCES"),
        ("whole", "LIVEAVATAR_SEARCH_FILTER_FIELD"),
        ("partly", "LIVEAVATAR_SEARCH_FIELDS"),
    ):
        with pytest.raises(SearchConfigError, match=setting):
            await filler.ingest(kb_id, [folder])
    with pytest.raises(InvalidKnowledgeBaseId):
        await filler.ingest("../kb", [folder])
    assert bench.stand_in.requests == []


async def test_another_language_has_another_analyzer(bench: Bench) -> None:
    await bench.filler(analyzer="de.microsoft").ingest("kb", [bench.write(FILES)])
    fields = bench.stand_in.indexes["shared"].definition.raw["fields"]
    assert {field["analyzer"] for field in fields if field.get("searchable")} == {"de.microsoft"}


async def test_a_profile_that_is_gone_gives_way_to_the_default(bench: Bench) -> None:
    folder = bench.write({**FILES, "profile.toml": 'title = "Guide"\n'})
    await bench.filler().ingest("kb", [folder])
    assert (await bench.catalog().open("kb")).profile.title == "Guide"
    bench.unlink("profile.toml")
    await bench.filler().ingest("kb", [folder])
    assert (await bench.catalog().open("kb")).profile.title == "Kb"
