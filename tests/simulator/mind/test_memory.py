import pytest

from server.simulator.mind import Say, Utterance, decide


def talk(*lines: str) -> str:
    """The reply to the last line; the ones before it alternate between the user and the assistant."""
    history = [Utterance("assistant" if place % 2 else "user", line) for place, line in enumerate(lines)]
    decision = decide(history)
    assert isinstance(decision, Say)
    return decision.text


@pytest.mark.parametrize("told", ["My name is Ada.", "my name is ada", "Hello, I'm Ada.", "Please call me Ada"])
def test_it_remembers_a_name(told: str) -> None:
    assert "Ada" in talk(told)
    assert talk(told, "Nice to meet you.", "What's my name?") == "Your name is Ada."
    assert "don't know your name" in talk("What is my name?")


def test_it_repeats_what_was_asked() -> None:
    before = ("Where is the tower?", "There.", "Is it old?", "Yes.")
    assert "Is it old?" in talk(*before, "What did I just ask?")
    assert "Where is the tower?" in talk(*before, "What was my first question?")
    assert "Is it old?" in talk(*before, "What was my second question?")
    assert "only 2 questions" in talk(*before, "What was my third question?")
    assert "2 questions" in talk(*before, "How many questions did I ask?")


@pytest.mark.parametrize(
    "request_", ["Repeat that, please.", "Pardon?", "What did you say?", "Can you say that again?"]
)
def test_it_says_its_last_answer_again(request_: str) -> None:
    assert talk("Is it old?", "It is from 1790.", request_) == "It is from 1790."


def test_it_keeps_notes_and_facts_about_the_user() -> None:
    assert talk("Remember that my bus leaves at five") == "I will remember that your bus leaves at five."
    noted = ("Remember that my bus leaves at five", "Yes.")
    assert "your bus leaves at five" in talk(*noted, "What did I ask you to remember?")
    assert "blue" in talk("My favourite colour is blue", "Noted.", "What is my favourite colour?")


def test_it_finds_what_was_said_about_a_thing() -> None:
    before = ("How much are tickets?", "Tickets cost nine euros.", "Thanks", "You are welcome.")
    assert talk(*before, "What did you say about tickets?") == "I said: Tickets cost nine euros."
    assert "don't know" in talk(*before, "What did you say about lions?")
