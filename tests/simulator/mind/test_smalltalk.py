import pytest

from server.simulator.mind.smalltalk import dictated, small_talk


@pytest.mark.parametrize(
    "text",
    ["When do you open?", "Thanks, and where is the lift?", "Hello, is it free?", "Where is the Hello Kitty room?"],
)
def test_a_question_is_no_small_talk(text: str) -> None:
    assert small_talk(text, "", "en") is None


def test_only_an_order_to_say_dictates() -> None:
    assert dictated("Say exactly: “Welcome!”") == "Welcome!"
    assert dictated("Answer politely. Say: hello") is None
    assert dictated(None) is None
