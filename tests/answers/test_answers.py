"""Search and mind together over the museum guide, on questions in visitors' own words."""

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from protocol.conversation.citations import by_support
from server.knowledge.catalog import SqliteCatalog
from server.knowledge.shipped import MUSEUM, load_shipped
from server.knowledge.sqlite import KnowledgeIndex
from server.simulator.mind import CallTool, Say, ToolOffer, Utterance, decide
from server.tools.search import NAME, Search, search_tool

_HERE = Path(__file__).parent
# As many passages as a server gives to the model unless told otherwise.
_PASSAGES = 5
_WORDS_MAX = 62
_OFFER = ToolOffer(NAME, "Search.", {"type": "object", "properties": {"query": {"type": "string"}}})


class Asked(msgspec.Struct):
    """A question inside the guide: every entry of `fact` must be said, in any of its spellings."""

    question: str
    source: str
    fact: list[list[str]]
    also: list[str] = []


class Unknown(msgspec.Struct):
    """A question that the guide does not answer."""

    question: str


class Questions(msgspec.Struct):
    """One file of questions."""

    answered: list[Asked]
    unknown: list[Unknown]


class Guide:
    """The museum as a visitor meets it."""

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog

    async def ask(self, text: str) -> tuple[str, list[str]]:
        """What is said, and the sources as a client is told them: the one that it rests on most first."""
        museum = await self._catalog.open(MUSEUM)
        instructions = museum.profile.instructions
        said = [Utterance("user", text)]
        call = decide(said, tools=[_OFFER], instructions=instructions)
        assert isinstance(call, CallTool), (text, call)
        result = await search_tool(museum, passages=_PASSAGES).call(Search(call.arguments["query"]))
        said += [Utterance("tool_call", "{}", NAME, "c"), Utterance("tool_result", result.output, NAME, "c")]
        answer = decide(said, tools=[_OFFER], instructions=instructions)
        assert isinstance(answer, Say), (text, answer)
        return answer.text, [source.uri for source in by_support(answer.text, result.evidence)]


@pytest.fixture
async def guide(tmp_path: Path) -> AsyncIterator[Guide]:
    index = KnowledgeIndex(tmp_path)
    load_shipped(index)
    yield Guide(SqliteCatalog(index))
    index.close()


def questions(name: str) -> Questions:
    return msgspec.convert(tomllib.loads((_HERE / name).read_text(encoding="utf-8")), Questions)


async def wrong(guide: Guide, asked: list[Asked]) -> list[tuple[str, str, list[str]]]:
    """Those that miss their fact, or cite another source first."""
    found = []
    for one in asked:
        text, sources = await guide.ask(one.question)
        is_said = all(any(spelling.lower() in text.lower() for spelling in spellings) for spellings in one.fact)
        if not (is_said and sources and sources[0] in (one.source, *one.also)):
            found.append((one.question, text, sources[:2]))
    return found


async def answered_anyway(guide: Guide, unknown: list[Unknown]) -> list[tuple[str, str]]:
    """Those that are not refused."""
    replies = [(one.question, (await guide.ask(one.question))[0]) for one in unknown]
    return [(question, text) for question, text in replies if "don't know" not in text]


# The share that must be right. The first file was written by somebody who did not know the rules, the second by
# those who made them; the rules were mended on both, so neither tells how well an unseen question fares.
@pytest.mark.parametrize(("name", "share"), [("museum_dev.toml", 0.88), ("museum_practice.toml", 0.78)])
async def test_visitors_questions_get_the_fact_and_its_source(guide: Guide, name: str, share: float) -> None:
    asked = questions(name).answered
    missed = await wrong(guide, asked)
    assert len(missed) <= (1 - share) * len(asked), missed


@pytest.mark.parametrize(("name", "share"), [("museum_dev.toml", 0.96), ("museum_practice.toml", 0.8)])
async def test_questions_outside_the_guide_are_refused(guide: Guide, name: str, share: float) -> None:
    unknown = questions(name).unknown
    answered = await answered_anyway(guide, unknown)
    assert len(answered) <= (1 - share) * len(unknown) + 1e-9, answered


async def test_the_sample_questions_of_the_profile_are_answered(guide: Guide, tmp_path: Path) -> None:
    facts = {
        "When does the museum open on Saturday?": "10 am",
        "How much is a family ticket?": "32 euros",
        "Which tram goes to the museum?": "3 and 7",
        "Can I bring my dog?": "not allowed",
        "How heavy is the Great Tide Machine?": "840 kilograms",
        "Who founded the museum?": "Ottilie Marsh",
    }
    assert set(KnowledgeIndex(tmp_path).profile(MUSEUM).sample_questions) == set(facts)
    for question, fact in facts.items():
        text, _ = await guide.ask(question)
        assert fact in text, (question, text)
        assert len(text.split()) <= _WORDS_MAX
