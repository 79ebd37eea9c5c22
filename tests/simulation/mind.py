"""What the model of the service answers: decided by the words of its context alone, so a rebuilt one answers alike.

What a user says is ``<mark> <verb> [words]``; the mark is unique. An answer's words are marked and numbered, so that
whoever reads them later can tell which answer they are from and how much of it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SEARCH = "search_knowledge_base"

# How many words the answers to these verbs have; a word is a quarter of a second.
_LENGTH = {"say": 4, "long": 26, "search": 5, "two": 4, "both": 3, "remember": 3, "recall": 4, "fail": 2, "filter": 2}
VERBS = tuple(_LENGTH)
_CALLS = {"search": 1, "two": 2, "both": 1}


@dataclass(slots=True)
class Item:
    """An item of the service's context.

    Attributes:
        shown: as the wire shows it.
        text: what the model knows of it; of the assistant's speech what was not cut off.
        audio_ms: milliseconds of the assistant's speech in it.
    """

    shown: Json
    text: str
    audio_ms: float = 0.0

    @property
    def id(self) -> str:
        return str(self.shown["id"])

    @property
    def kind(self) -> str:
        return str(self.shown.get("role") or self.shown["type"])


@dataclass(slots=True)
class Intent:
    """What a response will consist of: words, then calls of the search with their queries."""

    words: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    status: str = "completed"


def decide(context: Sequence[Item], mark: str, *, may_search: bool) -> Intent:
    """The answer to the last thing that a user said."""
    asked, results = _last_question(context)
    _, verb, *words = [*asked.split(), "say", ""][: max(3, len(asked.split()))]
    if verb not in _LENGTH:
        verb = "say"
    intent = Intent()
    calls = _CALLS.get(verb, 0)
    if calls and may_search and not results:
        intent.queries = [f"{asked} {number}" for number in range(calls)]
        if verb != "both":
            return intent
    intent.words = [f"{mark}.{number}" for number in range(_LENGTH[verb])]
    if verb == "recall":
        intent.words.append(_recalled(context, words[0]))
    intent.status = {"fail": "failed", "filter": "incomplete"}.get(verb, "completed")
    return intent


def _last_question(context: Sequence[Item]) -> tuple[str, int]:
    """The last thing a user said, and how many results of tools came since."""
    results = 0
    for item in reversed(context):
        if item.kind == "user":
            return item.text, results
        results += item.kind == "function_call_output"
    return "", results


def _recalled(context: Sequence[Item], key: str) -> str:
    for item in reversed(context):
        words = item.text.split()
        if "remember" in words[:-2] and words[words.index("remember") + 1] == key:
            return words[words.index("remember") + 2]
    return "forgotten"
