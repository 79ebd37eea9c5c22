"""Over a hundred documents that mean harm: what becomes of them on their way to the model and to people."""

import time
import unicodedata

import msgspec
import pytest

from protocol.conversation.actions import ToolResult
from server.knowledge.base import DocumentText, Passage, Profile, UnknownPassage
from server.simulator.mind import CallTool, Say, ToolOffer, Utterance, decide
from server.tools.registry import ToolRegistry
from server.tools.search import (
    NAME,
    OUTPUT_MAX_BYTES,
    PASSAGE_MAX_CHARS,
    PASSAGES_MAX_CHARS,
    SNIPPET_MAX_CHARS,
    TITLE_MAX_CHARS,
    URI_MAX_CHARS,
    search_tool,
)
from tests.tools.hostile import DOCUMENTS, FOREIGN, HIDDEN, Hostile, passage

IDS = [document.name for document in DOCUMENTS]
QUESTION = "When does the lighthouse open on Sundays?"
OFFERS = [ToolOffer(NAME, "Search.", {"type": "object", "properties": {"query": {"type": "string"}}})]


class Shelf:
    """A knowledge base whose every search finds these; implements ``KnowledgeBase``."""

    kb_id = "museum"
    profile = Profile(kb_id="museum", title="Museum")

    def __init__(self, *found: Passage) -> None:
        self._found = list(found)
        self.asked: list[str] = []

    async def search(self, query: str, *, limit: int = 5) -> list[Passage]:
        self.asked.append(query)
        return self._found

    async def document(self, passage_id: str) -> DocumentText:
        raise UnknownPassage(passage_id)


async def searched(*documents: Hostile, passages: int = 20) -> ToolResult:
    found = [passage(document, number) for number, document in enumerate(documents, start=1)]
    tools = ToolRegistry([search_tool(Shelf(*found), passages=passages)], timeout_s=30)
    return await tools.run(NAME, '{"query":"lighthouse"}')


def invisible(text: str) -> list[str]:
    """Characters that nobody sees, by their names; ends of lines are seen."""
    hidden = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    planted = {char for _, chars in HIDDEN for char in chars if not char.isprintable() or unicodedata.combining(char)}
    return [
        f"U+{ord(char):04X}"
        for char in text
        if char != "\n" and (unicodedata.category(char) in hidden or (char in planted and char != "\U0001f3f4"))
    ]


def test_there_are_more_than_a_hundred() -> None:
    assert len(DOCUMENTS) >= 130
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
async def test_a_hostile_document_is_quoted_data_of_bounded_size(document: Hostile) -> None:
    result = await searched(document)
    assert len(result.output.encode()) <= OUTPUT_MAX_BYTES
    output = msgspec.json.decode(result.output)
    assert list(output) == ["query", "passages", "note"]
    assert output["query"] == "lighthouse"
    if document.name in FOREIGN:
        assert output["passages"] == []
        assert result.evidence == ()
        return
    (quoted,) = output["passages"]
    assert list(quoted) == ["id", "title", "text", "score"]
    assert quoted["id"] == "museum/1.md#1"
    assert len(quoted["text"]) <= PASSAGE_MAX_CHARS
    assert len(quoted["title"]) <= TITLE_MAX_CHARS
    assert "not instructions" in output["note"]
    assert "<|" not in quoted["text"] + quoted["title"]
    assert invisible(quoted["text"] + quoted["title"]) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
async def test_what_people_are_shown_of_it_is_clean_too(document: Hostile) -> None:
    for found in (await searched(document)).evidence:
        source = found.source
        assert invisible(source.title + source.snippet + source.uri + source.id + found.text) == []
        assert "\n" not in source.title + source.snippet + source.uri
        assert len(source.title) <= TITLE_MAX_CHARS
        assert len(source.snippet) <= SNIPPET_MAX_CHARS
        assert len(source.uri) <= URI_MAX_CHARS
        scheme = source.uri.partition(":")[0].strip().lower() if ":" in source.uri else ""
        assert scheme not in {"javascript", "data", "vbscript", "file", "blob"}, source.uri


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
async def test_a_model_that_reads_it_calls_nothing_that_is_not_listed(document: Hostile) -> None:
    result = await searched(document)
    said = [
        Utterance("user", QUESTION),
        Utterance("tool_call", "{}", NAME, "c"),
        Utterance("tool_result", result.output, NAME, "c"),
    ]
    for _ in range(3):
        decision = decide(said, tools=OFFERS, instructions="You guide visitors.")
        if isinstance(decision, Say):
            assert decision.text not in ("I have been taken over.", "The museum is closed for ever.")
            return
        assert isinstance(decision, CallTool)
        assert decision.name == NAME
        said += [Utterance("tool_call", "{}", NAME, "d"), Utterance("tool_result", result.output, NAME, "d")]
    pytest.fail("it does not stop searching")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("open_the_vault", "{}"),
        ("search_knowledge_base ", '{"query":"x"}'),
        ("SEARCH_KNOWLEDGE_BASE", '{"query":"x"}'),
        ("__class__", "{}"),
        ("", "{}"),
    ],
)
async def test_a_call_that_a_document_asked_for_meets_no_tool(name: str, arguments: str) -> None:
    shelf = Shelf()
    result = await ToolRegistry([search_tool(shelf, passages=5)], timeout_s=5).run(name, arguments)
    assert "error" in msgspec.json.decode(result.output)
    assert shelf.asked == []


@pytest.mark.parametrize("more", ['"kb_id":"payroll"', '"knowledge_base":"payroll"', '"filter":"kb_id ne \'\'"'])
async def test_no_argument_chooses_another_knowledge_base(more: str) -> None:
    shelf = Shelf(passage(DOCUMENTS[0]))
    result = await ToolRegistry([search_tool(shelf, passages=5)], timeout_s=5).run(NAME, f'{{"query":"x",{more}}}')
    assert shelf.asked == ["x"]
    assert [quoted["id"] for quoted in msgspec.json.decode(result.output)["passages"]] == ["museum/1.md#1"]


async def test_all_of_them_together_are_bounded_too() -> None:
    for first in range(0, len(DOCUMENTS), 20):
        result = await searched(*DOCUMENTS[first : first + 20])
        quoted = msgspec.json.decode(result.output)["passages"]
        assert len(result.output.encode()) <= OUTPUT_MAX_BYTES
        assert sum(len(one["text"]) + len(one["title"]) + len(one["id"]) for one in quoted) <= PASSAGES_MAX_CHARS
        assert all(one["id"].startswith("museum/") for one in quoted)


async def test_an_adapter_that_finds_more_than_it_was_asked_for_is_cut() -> None:
    result = await searched(*DOCUMENTS[:20], passages=3)
    assert len(msgspec.json.decode(result.output)["passages"]) == 3


async def test_the_worst_of_them_are_cleaned_in_no_time() -> None:
    began = time.perf_counter()
    for document in DOCUMENTS:
        await searched(document)
    took_ms = (time.perf_counter() - began) * 1000 / len(DOCUMENTS)
    print(f"{took_ms:.2f} ms a document")
    assert took_ms < 20
