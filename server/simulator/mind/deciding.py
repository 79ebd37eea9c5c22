"""The order in which the mind's rules are tried: what to do next in a conversation. Pure and deterministic."""

import re
from collections.abc import Sequence

from msgspec import Struct

from server.simulator.mind.answering import answer
from server.simulator.mind.calling import SEARCH_TOOL, asked_tool, fill, is_search, search_call, spoken_result
from server.simulator.mind.directives import GoOn, Remark, go_on, read_directive
from server.simulator.mind.memory import is_asking, recall
from server.simulator.mind.passages import Passage, SearchFailure, plain_passages, read_passages
from server.simulator.mind.phrasebook import phrase
from server.simulator.mind.question import Question, read_question, without_scaffold
from server.simulator.mind.smalltalk import dictated, forbids_greeting, greeting, small_talk
from server.simulator.mind.utterance import CallTool, Decision, NamedTool, Say, ToolChoice, ToolOffer, Utterance
from server.simulator.mind.words import content_stems

# How far back a follow-up may point.
_EARLIER_QUESTIONS_MAX = 3
# Of a longer text the beginning is understood: about three minutes of speech.
_READ_CHARS_MAX = 2_000
# What stands in a conversation in place of speech whose words are not known.
_NO_WORDS = re.compile(
    r"\s*[\[(][^\])]*\b(?:not transcribed|untranscribed|inaudible)\b[^\])]*[\])]\s*\Z", re.IGNORECASE
)
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
    "Say: ..." dictate the text (so does a system message that ends the history), and a directive at their end (see
    ``directives``) is obeyed. A tool choice that demands a call is obeyed once per user utterance: with a result at
    hand the mind speaks, so that no client is led in circles.
    """
    history = [_shortened(entry) for entry in history]
    directive = read_directive(response_instructions)
    if isinstance(directive, Remark):
        return Say(phrase(directive.key, language))
    if isinstance(directive, GoOn):
        history, spoken = _without_broken(history)
        response_instructions = None
    decision = _decided(history, tools, tool_choice, instructions, language, response_instructions)
    if isinstance(directive, GoOn) and isinstance(decision, Say):
        return Say(go_on(decision.text, directive.heard, language, spoken=spoken), decision.used_ids)
    return decision


def _decided(
    history: Sequence[Utterance],
    tools: Sequence[ToolOffer],
    tool_choice: ToolChoice,
    instructions: str,
    language: str,
    response_instructions: str | None,
) -> Decision:
    text = dictated(response_instructions)
    if text is None and history and history[-1].role == "system":
        text = dictated(history[-1].text)
    if text is not None:
        return Say(text)
    at = _last_user(history)
    asked = history[at].text.strip() if at is not None else ""
    results, late = _results(history, at or 0)
    question = _question(history, at, instructions)
    offered = tools if tool_choice != "none" else ()
    if not results and (demanded := _demanded(tool_choice, tools, asked)):
        return _call(demanded, question, asked)
    if results:
        return _speak_results(results, history, question, language)
    if late is not None and (not is_asking(asked) or _is_seen_to(history, at or 0)):
        earlier = _question(history, late.asked_at, instructions)
        return _speak_results(late.results, history, earlier, language)
    if at is None:
        greeted = any(entry.role == "assistant" or forbids_greeting(entry) for entry in history)
        return Say(phrase("waiting", language) if greeted else greeting(instructions, language))
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


class _Late(Struct, frozen=True):
    """What calls brought that were made for an earlier utterance, the one at `asked_at`, and nobody has told yet."""

    results: tuple[Utterance, ...]
    asked_at: int | None


def _results(history: Sequence[Utterance], at: int) -> tuple[list[Utterance], _Late | None]:
    """What the calls for the utterance at `at` brought, and what came since for the one before it."""
    calls = {entry.call_id: place for place, entry in enumerate(history) if entry.role == "tool_call"}
    own: list[Utterance] = []
    late: list[Utterance] = []
    called_at = at
    for entry in history[at:]:
        if entry.role == "assistant":
            late.clear()
        if entry.role != "tool_result":
            continue
        place = calls.get(entry.call_id, at)
        if place < at:
            late.append(entry)
            called_at = place
        else:
            own.append(entry)
    if not late:
        return own, None
    return own, _Late(tuple(late), _last_user(history[:called_at]))


def _is_seen_to(history: Sequence[Utterance], at: int) -> bool:
    """Whether the utterance at `at` was answered, or is being looked up."""
    return any(entry.role == "tool_call" or (entry.role == "assistant" and entry.text) for entry in history[at:])


def _last_user(history: Sequence[Utterance]) -> int | None:
    return next((index for index in range(len(history) - 1, -1, -1) if history[index].role == "user"), None)


def _without_broken(history: Sequence[Utterance]) -> tuple[list[Utterance], str]:
    """The history without the answer that was cut off, which is its last word, and that answer as far as it came."""
    # It may be the greeting that is to be gone on with.
    history = [entry for entry in history if not forbids_greeting(entry)]
    for index in range(len(history) - 1, -1, -1):
        if history[index].role == "user":
            break
        if history[index].role == "assistant":
            return [*history[:index], *history[index + 1 :]], history[index].text
    return history, ""


def _shortened(entry: Utterance) -> Utterance:
    if entry.role == "user" and _NO_WORDS.match(entry.text):
        return Utterance("user", "")
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
