"""The conversation as the mind gets it."""

from typing import Any

import pytest

from protocol.realtime.items import ContentPart, Item
from server.simulator.conversation import Entry, audio_entry
from server.simulator.response import Plan
from server.simulator.thinking import CallTool, Say, by_rule
from tests.simulator.scripts import SEARCH_TOOL


def said(role: str, text: str) -> Entry:
    kind = "output_text" if role == "assistant" else "input_text"
    return Entry(Item(id=text, type="message", role=role, content=[ContentPart(type=kind, text=text)]))


def plan(*history: Entry, **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "id": "resp_1",
        "conversation": None,
        "modality": "audio",
        "audio_format": {"type": "audio/pcm", "rate": 24000},
        "voice": "alloy",
        "speed": 1.0,
        "language": "en",
        "instructions": "",
        "own_instructions": None,
        "tools": [SEARCH_TOOL, {"type": "mcp", "server_label": "x"}],
        "tool_choice": "auto",
        "max_output_tokens": None,
        "metadata": None,
        "history": list(history),
        "prompt": [],
    }
    return Plan(**fields | changes)


def text_of(the_plan: Plan) -> str:
    (decision,) = by_rule(the_plan)
    assert isinstance(decision, Say)
    return decision.text


def test_a_question_is_searched_for() -> None:
    (decision,) = by_rule(plan(said("user", "When does the museum open?")))
    assert isinstance(decision, CallTool)
    assert decision.name == "search_knowledge_base"


def test_a_result_is_spoken() -> None:
    call = Entry(Item(id="c", type="function_call", name="search_knowledge_base", call_id="1", arguments="{}"))
    result = '{"passages":[{"id":"h","title":"Hours","text":"The museum opens at ten every day."}]}'
    output = Entry(Item(id="o", type="function_call_output", call_id="1", output=result))
    assert "ten" in text_of(plan(said("user", "When does the museum open?"), call, output))


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "search_knowledge_base"}])
def test_a_demanded_call_is_made(choice: Any) -> None:
    (decision,) = by_rule(plan(said("user", "Hello!"), tool_choice=choice))
    assert isinstance(decision, CallTool)


def test_a_forbidden_call_is_not() -> None:
    assert text_of(plan(said("user", "When does the museum open?"), tool_choice="none"))


def test_instructions_of_the_response_may_dictate() -> None:
    assert text_of(plan(said("user", "Hello!"), own_instructions="Say exactly: Good evening.")) == "Good evening."


def test_speech_without_words_is_admitted_with_its_length() -> None:
    assert text_of(plan(audio_entry("a", b"", 2300.0))).startswith("I heard 2.3 seconds of speech")
    assert text_of(plan(audio_entry("a", b"", 61_000.0))).startswith("I heard 61 seconds of speech")
    assert "tippen" in text_of(plan(audio_entry("a", b"", 2300.0), language="de"))


def test_silence_after_an_answer_is_asked_about() -> None:
    entry = audio_entry("a", b"", 5000.0)
    entry.idle = True
    assert text_of(plan(said("assistant", "Done."), entry)) == "Are you still there?"


def test_directives_are_obeyed_about_speech_that_no_one_understands_too() -> None:
    turn = audio_entry("a", b"", 2300.0)
    broken = 'Your last answer was cut off by a technical fault; the person heard it up to: "…I heard 2.3 seconds of". '
    broken += "Go on from there."
    rest = text_of(
        plan(turn, said("assistant", "I heard 2.3 seconds of"), said("system", "Note."), own_instructions=broken)
    )
    assert rest.startswith("speech, but I cannot transcribe")
    asks = "The person has said nothing for a while. Ask whether they are still there."
    assert text_of(plan(turn, own_instructions=asks)) == "Are you still there?"
    turn.idle = True
    bye = "The conversation ends now, because nothing was said. Say goodbye."
    assert text_of(plan(turn, own_instructions=bye)).startswith("Goodbye")


def test_a_note_behind_the_turn_changes_nothing_but_a_dictating_one_does() -> None:
    turn = audio_entry("a", b"", 2300.0)
    assert text_of(plan(turn, said("system", "The connection was renewed."))).startswith("I heard 2.3 seconds")
    assert text_of(plan(turn, said("system", "Say exactly: We close soon."))) == "We close soon."


def test_a_typed_question_behind_unheard_speech_is_answered() -> None:
    entries = (
        audio_entry("a", b"", 2300.0),
        said("user", "Say hello. My name is Ann."),
        said("user", "What is my name?"),
    )
    assert "Ann" in text_of(plan(*entries, tools=[]))
