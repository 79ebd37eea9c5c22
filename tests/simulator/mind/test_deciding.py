import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.mind import CallTool, NamedTool, Say, ToolOffer, Utterance, decide
from tests.simulator.mind.test_answering import SEARCH

WEATHER = ToolOffer(
    "get_weather",
    "Get the current weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city", "unit"],
    },
)
PASSAGE = {"id": "p1", "title": "Ferry", "text": "The ferry leaves at 9:15 every morning."}


def user(text: str) -> Utterance:
    return Utterance("user", text)


def result(value: object, name: str | None = "search_knowledge_base") -> Utterance:
    return Utterance("tool_result", msgspec.json.encode(value).decode(), name, "call_1")


def say(*history: Utterance, **options: object) -> str:
    decision = decide(history, **{"tools": [SEARCH], **options})  # type: ignore[arg-type]
    assert isinstance(decision, Say), decision
    return decision.text


@pytest.mark.parametrize(
    "text",
    [
        "Hello!",
        "Good morning",
        "Thanks a lot!",
        "Thank you, goodbye.",
        "Who are you?",
        "Can you hear me?",
        "ok",
        "How are you?",
    ],
)
def test_small_talk_needs_no_search(text: str) -> None:
    assert say(user(text))


def test_a_greeting_uses_the_name_of_the_persona() -> None:
    assert "Nora" in say(user("Hello"), instructions="You are Nora, the guide of the garden.")
    assert say(instructions='Greeting: "Welcome aboard!"') == "Welcome aboard!"


def test_a_greeting_before_a_question_is_not_answered_but_the_question() -> None:
    decision = decide([user("Hello, when does the ferry leave?")], tools=[SEARCH])
    assert isinstance(decision, CallTool)
    assert decision.arguments["query"].startswith("when does the ferry leave?")


def test_a_question_is_searched_and_then_answered_with_its_source() -> None:
    history = [user("When does the ferry leave?")]
    call = decide(history, tools=[SEARCH])
    assert isinstance(call, CallTool)
    assert call.name == "search_knowledge_base"
    said = decide([*history, result({"passages": [PASSAGE]})], tools=[SEARCH])
    assert said == Say("The ferry leaves at 9:15 every morning.", ("p1",))


@pytest.mark.parametrize(
    "output",
    [
        '{"sources":[{"chunk_id":"p1","title":"Ferry","chunk":"The ferry leaves at 9:15 every morning."}]}',
        '[{"id":"p1","content":"The ferry leaves at 9:15 every morning."}]',
        "[p1]: The ferry leaves at 9:15 every morning.\n-----\n[p2]: Dogs pay half.\n-----\n",
        "The ferry leaves at 9:15 every morning.",
    ],
)
def test_results_of_other_servers_are_read_too(output: str) -> None:
    history = [user("When does the ferry leave?"), Utterance("tool_result", output, "search_knowledge_base", "c")]
    assert say(*history) == "The ferry leaves at 9:15 every morning."


def test_nothing_found_is_said() -> None:
    assert "don't know" in say(user("Who won the cup?"), result({"passages": []}))
    assert "don't know" in say(user("Who won the cup?"), result({"passages": [PASSAGE]}))
    assert "weiß ich nicht" in say(user("Wer gewann?"), result({"passages": []}), language="de-AT")


def test_a_failed_search_is_not_taken_for_an_empty_one() -> None:
    assert "cannot look things up right now" in say(user("When?"), result({"error": "timeout", "message": "too slow"}))


@pytest.mark.parametrize(
    "output",
    [
        {"error": "The search is unavailable right now. Say so, and do not guess."},
        {"error": "It cannot be searched right now. For the next question search again.", "unavailable": True},
        {"error": {"code": 503}, "passages": []},
    ],
)
def test_a_search_that_is_unavailable_is_owned_up_to_in_one_sentence_and_tried_again(output: object) -> None:
    before = [user("When does the ferry leave?"), result(output)]
    text = say(*before)
    assert text == "I cannot look things up right now, so please ask me again in a moment."
    again = decide([*before, Utterance("assistant", text), user("When does the ferry leave?")], tools=[SEARCH])
    assert isinstance(again, CallTool)
    assert say(*before, result({"passages": [PASSAGE]})) == PASSAGE["text"]


def test_of_another_tools_error_the_first_sentence_is_said() -> None:
    failed = result({"error": "The tool did not answer within 10 seconds. Say so, and go on."}, "get_weather")
    assert say(user("How is it in Oslo?"), failed) == "That did not work: The tool did not answer within 10 seconds."


def test_a_result_that_comes_after_the_next_question_was_answered_is_told_of_the_first() -> None:
    call = Utterance("tool_call", '{"query":"ferry"}', "search_knowledge_base", "call_1")
    asked = [user("When does the ferry leave?"), call, user("What is my name?")]
    told = [*asked, Utterance("assistant", "I don't know your name.")]
    assert say(*told, result({"passages": [PASSAGE]})) == PASSAGE["text"]
    assert say(*asked, result({"passages": [PASSAGE]})) == "I don't know your name: you have not told me."
    looking = Utterance("tool_call", '{"query":"pier"}', "search_knowledge_base", "call_2")
    assert say(*asked[:2], user("Who built the pier?"), looking, result({"passages": [PASSAGE]})) == PASSAGE["text"]
    thanked = [*asked[:2], user("Thank you!"), result({"passages": [PASSAGE]})]
    assert say(*thanked) == PASSAGE["text"]
    assert say(*thanked, Utterance("assistant", PASSAGE["text"])) == "You are welcome."


def test_speech_that_nobody_transcribed_is_owned_up_to() -> None:
    assert "cannot transcribe" in say(user(""))
    assert "cannot transcribe" in say(user("[speech that was not transcribed]"))
    assert decide([user("What does [inaudible] mean?")], tools=[SEARCH]) != decide([user("")], tools=[SEARCH])


def test_response_instructions_can_dictate_the_text() -> None:
    assert say(user("When?"), response_instructions="Say exactly: Welcome, dear guests!") == "Welcome, dear guests!"
    assert say(user("When?"), response_instructions='Say: "Sorry."') == "Sorry."
    assert say(user("Hi"), Utterance("system", "Say exactly: We close soon.")) == "We close soon."


def test_without_a_search_an_earlier_result_still_answers() -> None:
    history = [user("When does the ferry leave?"), result({"passages": [PASSAGE]}), Utterance("assistant", "At 9:15.")]
    assert "9:15" in say(*history, user("When did you say the ferry leaves?"), tool_choice="none")
    assert "cannot look that up" in say(user("Who built the pier?"), tools=[])


def test_a_demanded_tool_is_called_once_with_plausible_arguments() -> None:
    history = [user("How is it in Paris for 3 days?")]
    call = decide(history, tools=[SEARCH, WEATHER], tool_choice=NamedTool("get_weather"))
    assert call == CallTool("get_weather", {"city": "Paris", "unit": "celsius", "days": 3})
    after = decide([*history, result({"sky": "clear"}, "get_weather")], tools=[WEATHER], tool_choice="required")
    assert isinstance(after, Say)


def test_a_client_tool_is_called_when_its_name_is_spoken_and_its_result_told() -> None:
    history = [user("What is the weather in Oslo in fahrenheit?")]
    call = decide(history, tools=[SEARCH, WEATHER])
    assert call == CallTool("get_weather", {"city": "Oslo", "unit": "fahrenheit"})
    assert say(*history, result({"temperature": 21, "sky": "clear"}, "get_weather")) == "Temperature 21, sky clear."


def test_a_tool_named_otherwise_is_a_search_when_it_takes_one_query() -> None:
    docs = ToolOffer(
        "lookup_docs", "Docs", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    )
    call = decide([user("When does the ferry leave?")], tools=[docs])
    assert isinstance(call, CallTool)
    assert call.name == "lookup_docs"
    assert "ferry" in call.arguments["q"]


_utterances = st.lists(
    st.builds(
        Utterance,
        role=st.sampled_from(["system", "user", "assistant", "tool_call", "tool_result"]),
        text=st.text(max_size=60)
        | st.sampled_from(
            ['{"passages":[{"id":1,"text":"It is so."}]}', '{"error":1}', "And it?", "What did I say about it?"]
        ),
        name=st.sampled_from([None, "search_knowledge_base", "get_weather"]),
        call_id=st.sampled_from([None, "c"]),
    ),
    max_size=6,
)


@given(_utterances, st.sampled_from(["auto", "none", "required"]))
def test_every_conversation_gets_a_decision_and_the_same_one_twice(history: list[Utterance], choice: str) -> None:
    options = {"tools": [SEARCH, WEATHER], "tool_choice": choice, "language": "fr"}
    first = decide(history, **options)  # type: ignore[arg-type]
    assert first == decide(history, **options)  # type: ignore[arg-type]
    if isinstance(first, Say):
        assert first.text


@pytest.mark.parametrize("piece", ["1 ", "ok ", "was found ", "how many ", "In The House ", '"', "[", "* "])
def test_a_page_of_repetitions_is_decided_about_as_any_other(piece: str) -> None:
    page = piece * 1_500
    found = result({"passages": [{"id": "p", "title": page, "text": page}]})
    assert isinstance(decide([user(page)], tools=[SEARCH]), Say | CallTool)
    assert say(user("When does " + page), found)
