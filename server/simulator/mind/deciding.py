"""The order in which the mind's rules are tried: what to do next in a conversation. Pure and deterministic."""

import re
from collections.abc import Sequence

from server.simulator.mind.answering import answer
from server.simulator.mind.calling import SEARCH_TOOL, asked_tool, fill, is_search, search_call, spoken_result
from server.simulator.mind.memory import is_asking, recall
from server.simulator.mind.passages import Passage, SearchFailure, plain_passages, read_passages
from server.simulator.mind.phrasebook import phrase
from server.simulator.mind.question import Question, read_question, without_scaffold
from server.simulator.mind.smalltalk import dictated, greeting, small_talk
from server.simulator.mind.utterance import CallTool, Decision, NamedTool, Say, ToolChoice, ToolOffer, Utterance
from server.simulator.mind.words import content_stems

# How far back a follow-up may point.
_EARLIER_QUESTIONS_MAX = 3
# Of a longer text the beginning is understood: about three minutes of speech.
_READ_CHARS_MAX = 2_000
_FIRST_SENTENCE = re.compile(r"^.*?(?:[.!?](?=\s|$)|$)", re.DOTALL)


def decide(
    history: Sequence[Utterance],
    *,
    tools: Sequence[ToolOffer] = (),
    tool_choice: ToolChoice = "auto",
    instructions: str = "",
    language: str = "en",
    response_instructions: str | None = None,
) -> Decision:
    """What to do after `history` (oldest first): say something, or call one of `tools`.

    `instructions` are the session's; `response_instructions` those of one response, of which "Say exactly: ..." and
    "Say: ..." dictate the text (so does a system message that ends the history). A tool choice that demands a call is
    obeyed once per user utterance: with a result at hand the mind speaks, so that no client is led in circles.
    """
    history = [_shortened(entry) for entry in history]
    text = dictated(response_instructions)
    if text is None and history and history[-1].role == "system":
        text = dictated(history[-1].text)
    if text is not None:
        return Say(text)
    at = next((index for index in range(len(history) - 1, -1, -1) if history[index].role == "user"), None)
    asked = history[at].text.strip() if at is not None else ""
    results = [entry for entry in history[at or 0 :] if entry.role == "tool_result"]
    question = _question(history, at, instructions)
    offered = tools if tool_choice != "none" else ()
    if not results and (demanded := _demanded(tool_choice, tools, asked)):
        return _call(demanded, question, asked)
    if results:
        return _speak_results(results, history, question, language)
    if at is None:
        spoken = any(entry.role == "assistant" for entry in history)
        return Say(phrase("waiting", language) if spoken else greeting(instructions, language))
    if not asked:
        return Say(phrase("untranscribed", language))
    reply = small_talk(asked, instructions, language) or recall(history[: at + 1], language)
    if reply is not None:
        return Say(reply)
    if not any(char.isalnum() for char in asked):
        return Say(phrase("waiting", language))
    tool = asked_tool(offered, asked) or next(filter(is_search, offered), None)
    if tool is not None:
        return _call(tool, question, asked)
    return _from_memory(history, question, asked, language)


def _shortened(entry: Utterance) -> Utterance:
    if entry.role in ("tool_result", "system") or len(entry.text) <= _READ_CHARS_MAX:
        return entry
    return Utterance(entry.role, entry.text[:_READ_CHARS_MAX], entry.name, entry.call_id)


def _question(history: Sequence[Utterance], at: int | None, instructions: str) -> Question:
    if at is None:
        return read_question("")
    earlier = [entry.text for entry in reversed(history[:at]) if entry.role == "user" and entry.text.strip()]
    askings = [text for text in earlier if is_asking(text)][:_EARLIER_QUESTIONS_MAX]
    first = _FIRST_SENTENCE.match(instructions.strip()[:_READ_CHARS_MAX])
    # "You are Nora, the guide of the Harbour Museum." names what everything here is about.
    subject = frozenset(content_stems(first.group() if first else ""))
    return read_question(history[at].text, earlier=askings, subject=subject)


def _demanded(choice: ToolChoice, tools: Sequence[ToolOffer], asked: str) -> ToolOffer | None:
    if isinstance(choice, NamedTool):
        return next((tool for tool in tools if tool.name == choice.name), None)
    if choice != "required" or not tools:
        return None
    return asked_tool(tools, asked) or next(filter(is_search, tools), tools[0])


def _call(tool: ToolOffer, question: Question, asked: str) -> CallTool:
    if is_search(tool):
        return CallTool(tool.name, search_call(tool, question.query or asked, asked))
    return CallTool(tool.name, fill(tool.parameters, without_scaffold(asked)))


def _speak_results(
    results: Sequence[Utterance], history: Sequence[Utterance], question: Question, language: str
) -> Say:
    names = {entry.call_id: entry.name for entry in history if entry.role == "tool_call"}
    passages: list[Passage] = []
    said: list[str] = []
    searched = failed = False
    for result in results:
        name = result.name or names.get(result.call_id)
        found = read_passages(result.text)
        if isinstance(found, SearchFailure):
            if name == SEARCH_TOOL or name is None:
                failed = True
            else:
                said.append(spoken_result(result.text, language))
        elif found is not None or name == SEARCH_TOOL:
            searched = True
            passages.extend(plain_passages(result.text) if found is None else found)
        else:
            said.append(spoken_result(result.text, language))
    answered = answer(question, passages)
    if answered is not None:
        return Say(" ".join([*said, answered.text]), answered.used_ids)
    if said:
        return Say(" ".join(said))
    return Say(phrase("failed" if failed and not searched else "unknown", language))


def _from_memory(history: Sequence[Utterance], question: Question, asked: str, language: str) -> Say:
    """Without a search: what an earlier search brought may still answer; else it is said that it cannot look."""
    known: list[Passage] = []
    for entry in history:
        found = read_passages(entry.text) if entry.role == "tool_result" else None
        if isinstance(found, list):
            known.extend(found)
    answered = answer(question, known)
    if answered is not None:
        return Say(answered.text, answered.used_ids)
    return Say(phrase("no_search" if is_asking(asked) else "echo", language, text=asked))
