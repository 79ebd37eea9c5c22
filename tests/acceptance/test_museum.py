"""The museum guide, asked as a visitor asks: the frozen questions, through the running server.

The questions were written from the guide by somebody who had not seen the answering code. They are not to be tuned on.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.running import PATIENCE_S, Running, serving

pytestmark = pytest.mark.slow

QUESTIONS = tomllib.loads((Path(__file__).parent / "museum_questions.toml").read_text())
ANSWERED_MIN = 18
# How an honest answer sounds that does not know.
NOT_KNOWN = re.compile(
    r"\b(do not|don't|does not|doesn't|cannot|can't)\b.{0,40}\b(know|say|find|tell)\b", re.IGNORECASE
)


@dataclass
class Outcome:
    """What came of one question. ``wrong`` is empty where it was answered well."""

    question: str
    said: str
    sources: list[str]
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.question}\n    {'; '.join(self.wrong)}\n    said: {self.said}\n    sources: {self.sources[:3]}"


async def asked(server: Running, question: str) -> Outcome:
    """A session of its own for each question, as every visitor has."""
    async with server.opened() as client:
        await client.type(question)
        await client.send("response.create")
        await client.until("response.done", PATIENCE_S)
        said = " ".join(event["transcript"] for event in client.of("response.output_audio_transcript.done"))
        sources = [source["uri"] for event in client.of("avatar.citations") for source in event["sources"]]
        return Outcome(question, said, sources)


def judge_answer(outcome: Outcome, expected: dict[str, Any]) -> None:
    """Every group of facts must be there in one of its wordings, and a right source must be cited first."""
    said = outcome.said.casefold()
    for wordings in expected["fact"]:
        if not any(wording.casefold() in said for wording in wordings):
            outcome.wrong.append(f"lacks {' or '.join(wordings)}")
    right = {expected["source"], *expected["also"]}
    first = outcome.sources[0].rpartition("/")[2].partition("#")[0] if outcome.sources else "none"
    if first not in right:
        outcome.wrong.append(f"first source is {first}, not {expected['source']}")


def judge_ignorance(outcome: Outcome) -> None:
    """The answer must say that it does not know."""
    if not NOT_KNOWN.search(outcome.said):
        outcome.wrong.append("does not say that it does not know")


def table(outcomes: list[Outcome]) -> str:
    """The failures, for people."""
    return "\n".join(["", *(str(outcome) for outcome in outcomes if outcome.wrong)])


async def test_plain_questions_are_answered_with_the_right_fact_and_source(data_dir: Path) -> None:
    outcomes = []
    async with serving(data_dir) as server:
        for expected in QUESTIONS["answered"]:
            outcome = await asked(server, expected["question"])
            judge_answer(outcome, expected)
            outcomes.append(outcome)
    right = sum(not outcome.wrong for outcome in outcomes)
    print(table(outcomes))
    assert len(outcomes) == 20
    assert right >= ANSWERED_MIN, f"{right} of {len(outcomes)}{table(outcomes)}"


async def test_what_the_guide_does_not_say_is_not_known(data_dir: Path) -> None:
    outcomes = []
    async with serving(data_dir) as server:
        for expected in QUESTIONS["unknown"]:
            outcome = await asked(server, expected["question"])
            judge_ignorance(outcome)
            outcomes.append(outcome)
    print(table(outcomes))
    assert len(outcomes) == 5
    assert not [outcome for outcome in outcomes if outcome.wrong], table(outcomes)
