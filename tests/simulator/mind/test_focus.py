import pytest

from server.simulator.mind.focus import read_focus, tells_of


@pytest.mark.parametrize(
    ("clause", "things", "others"),
    [
        ("Is there a hotel near the harbour?", {"hotel"}, set()),
        ("Who is the mayor of the town?", {"mayor"}, set()),
        ("Do you have any elephants?", {"elephant"}, set()),
        ("How much does the director earn?", set(), {"earn"}),
        ("Can I come on Sunday?", set(), set()),
    ],
)
def test_the_form_of_a_question_tells_what_is_asked_for(clause: str, things: set[str], others: set[str]) -> None:
    focus = read_focus(clause)
    assert (set(focus.things), set(focus.others)) == (things, others)


@pytest.mark.parametrize(
    ("sentence", "thing", "is_told_of"),
    [
        ("The hotel has ninety rooms.", "hotel", True),
        ("A piano was carried from the hotel to the market.", "hotel", False),
        ("The mayor's greenhouse was broken.", "mayor", False),
        ("It was made by Lucia Perrin, a dentist.", "dentist", False),
        ("Three lifts go to the top.", "lift", True),
    ],
)
def test_a_thing_that_is_merely_mentioned_is_not_told_of(sentence: str, thing: str, is_told_of: bool) -> None:
    assert tells_of(sentence, thing) is is_told_of
