"""Orders at the end of a response's instructions: understood, obeyed, and not found where there are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.mind import CallTool, GoOn, Remark, Say, Utterance, decide, go_on, read_directive
from tests.simulator.mind.test_answering import SEARCH
from tests.simulator.mind.test_deciding import result, user

SESSION = "You are Nora, the guide of the garden.\nSay what you know, and greet the person.\n\nBe brief."
BROKEN = 'Your last answer was cut off by a technical fault; the person heard it up to: "{}". Go on from there, '
BROKEN += "without repeating what was heard."
APOLOGY = (
    "Your last answer was cut off by a technical fault. Say in one short sentence, in the language spoken so far, "
    "that there was a technical problem, and ask the person to repeat the question."
)
STILL_THERE = (
    "The person has said nothing for a while. Ask in one short sentence, in the language spoken so far, whether they "
    "are still there."
)
BYE_IDLE = (
    "The conversation ends now, because nothing was said for long. Say a short friendly goodbye in the language "
    "spoken so far."
)
BYE_LONG = (
    "The conversation ends now, because it has reached its longest duration. Say a short friendly goodbye in the "
    "language spoken so far."
)
WHEN = "The ferry leaves at 9:15 every morning. It is free for dogs."
ANSWER = "It leaves at nine. The ferry is free. The ferry is free for dogs, too."


def obeyed(directive: str, *history: Utterance, language: str = "en") -> str:
    decision = decide(
        history, tools=[SEARCH], tool_choice="auto", instructions=SESSION, language=language,
        response_instructions=f"{SESSION}\n\n{directive}",
    )  # fmt: skip
    assert isinstance(decision, Say), decision
    return decision.text


@pytest.mark.parametrize("before", ["", SESSION + "\n\n"])
def test_directives_are_known_behind_any_instructions(before: str) -> None:
    assert read_directive(before + BROKEN.format("…at nine. The")) == GoOn("…at nine. The")
    assert read_directive(before + BROKEN.format('…the "Mermaid" is')) == GoOn('…the "Mermaid" is')
    assert read_directive(before + BROKEN.format("ask us to repeat it")) == GoOn("ask us to repeat it")
    assert read_directive(before + APOLOGY) == Remark("fault")
    assert read_directive(before + STILL_THERE) == Remark("still_there")
    assert read_directive(before + BYE_IDLE) == read_directive(before + BYE_LONG) == Remark("goodbye")


@pytest.mark.parametrize(
    "instructions",
    [
        None,
        "",
        SESSION,
        "Say exactly: Welcome.",
        "If the conversation ends now and then, say goodbye.",
        APOLOGY + "\n\nBe brief.",
        "When an answer was cut off by a fault, go on.",
    ],
)
def test_other_instructions_are_no_directives(instructions: str | None) -> None:
    assert read_directive(instructions) is None


def test_each_remark_is_one_sentence_that_says_what_was_ordered_and_calls_nothing() -> None:
    history = [user("When does the ferry leave?")]
    assert obeyed(APOLOGY, *history) == "I am sorry, there was a technical problem: could you please ask that again?"
    assert obeyed(STILL_THERE, *history) == "Are you still there?"
    assert "Goodbye" in obeyed(BYE_IDLE, *history)
    assert "Goodbye" in obeyed(BYE_LONG, user(""))
    assert obeyed(STILL_THERE) == "Are you still there?"


def test_remarks_are_made_in_the_language_of_the_session() -> None:
    assert "technische Störung" in obeyed(APOLOGY, user("Wann?"), language="de-AT")
    assert obeyed(STILL_THERE, user("Quand ?"), language="fr") == "Êtes-vous toujours là ?"
    assert "Adiós" in obeyed(BYE_IDLE, user("¿Cuándo?"), language="es")


def test_a_remark_is_made_whatever_tool_is_demanded() -> None:
    said = decide([user("Hi")], tools=[SEARCH], tool_choice="required", response_instructions=STILL_THERE)
    assert said == Say("Are you still there?")


def test_a_broken_answer_is_composed_again_and_only_its_rest_is_said() -> None:
    found = result({"passages": [{"id": "p1", "title": "Ferry", "text": "The ferry leaves at 9:15 every morning."}]})
    history = [user("When does the ferry leave?"), found, Utterance("assistant", "The ferry leaves")]
    assert obeyed(BROKEN.format("…The ferry leaves"), *history) == "at 9:15 every morning."
    assert obeyed(BROKEN.format("The ferry leaves at 9:15 every morning."), *history) == "That is all."


def test_a_broken_answer_is_searched_for_where_no_result_is_at_hand() -> None:
    history = [user("When does the ferry leave?"), Utterance("assistant", "The ferry leaves")]
    decision = decide(history, tools=[SEARCH], response_instructions=BROKEN.format("The ferry leaves"))
    assert isinstance(decision, CallTool)


def test_answers_that_need_no_search_are_gone_on_with_as_well() -> None:
    told = [user("My name is Ada."), Utterance("assistant", "Nice to meet you, Ada."), user("What is my name?")]
    assert obeyed(BROKEN.format("…Your name"), *told, Utterance("assistant", "Your name")) == "is Ada."
    greeting = Utterance("assistant", "Hello, I am")
    anchor = Utterance("system", "The connection was renewed: do not greet again.")
    assert obeyed(BROKEN.format("…Hello, I am"), greeting, anchor) == "Nora. What would you like to know?"


@pytest.mark.parametrize(
    ("heard", "rest"),
    [
        ("It leaves at nine.", "The ferry is free. The ferry is free for dogs, too."),
        ("…leaves at NINE", "The ferry is free. The ferry is free for dogs, too."),
        ("…eaves at nine. The fer", "ferry is free. The ferry is free for dogs, too."),
        ("Let me see. It leaves at nine.", "The ferry is free. The ferry is free for dogs, too."),
        ("…is free for dogs", "too."),
        ("…free for dogs, too", "That is all."),
        ("", ANSWER),
        ("…", ANSWER),
        ("Something else entirely was heard", ANSWER),
    ],
)
def test_the_rest_begins_behind_what_was_heard(heard: str, rest: str) -> None:
    assert go_on(ANSWER, heard, "en") == rest


def test_words_that_occur_twice_are_told_apart_by_how_much_was_spoken() -> None:
    heard = "…The ferry is free"
    assert go_on(ANSWER, heard, "en") == "The ferry is free for dogs, too."
    spoken = "It leaves at nine. The ferry is free. The ferry is free"
    assert go_on(ANSWER, heard, "en", spoken=spoken) == "for dogs, too."


_WORDS = st.lists(st.sampled_from(["it", "The", "is", "ferry,", "free.", "—", "9:15"]), min_size=1, max_size=12)


@given(_WORDS, st.integers(0, 12), st.integers(1, 40))
def test_what_was_heard_and_the_rest_are_the_answer(words: list[str], cut: int, tail: int) -> None:
    heard = " ".join(words[:cut])
    rest = go_on(" ".join(words), "…" + heard[-tail:], "en", spoken=heard)
    assert rest
    if any(char.isalnum() for char in heard) and len(heard) <= tail and rest != "That is all.":
        spoken = [word for word in words[:cut] if word != "—"]
        said = [word for word in rest.split() if word != "—"]
        assert [*spoken, *said] == [word for word in words if word != "—"]
