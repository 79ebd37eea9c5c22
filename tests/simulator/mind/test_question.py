import pytest

from server.simulator.mind.question import Kind, kind_of, read_question


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("When was it built?", Kind.WHEN),
        ("What time do you close?", Kind.CLOCK),
        ("How much is a ticket?", Kind.MONEY),
        ("How much does the bell weigh?", Kind.WEIGHT),
        ("How many rooms are there?", Kind.COUNT),
        ("How tall is the tower?", Kind.LENGTH),
        ("How old is it?", Kind.AGE),
        ("How long does it take?", Kind.DURATION),
        ("Who's the painter?", Kind.WHO),
        ("Where are the toilets?", Kind.WHERE),
        ("Why is it red?", Kind.WHY),
        ("What is it made of?", Kind.MATERIAL),
        ("What is a mangrove?", Kind.DEFINITION),
        ("Can I smoke?", Kind.OTHER),
    ],
)
def test_the_kind_of_a_question_is_read_from_its_words(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


def test_a_follow_up_is_searched_with_the_words_before_it() -> None:
    assert "lighthouse" in read_question("How old is it?", earlier=["How tall is the lighthouse?"]).query
    assert "lighthouse" not in read_question("How old is the pier?", earlier=["How tall is the lighthouse?"]).query


def test_a_short_question_is_searched_in_the_words_of_guides_too() -> None:
    assert "lavatories" in read_question("Where are the toilets?").query
    assert read_question("How much does the audio guide cost?").query == "How much does the audio guide cost?"


def test_names_and_years_must_be_answered_for() -> None:
    names = {term.stem for term in read_question("Who won the 1998 race in Lisbon?").terms if term.is_name}
    assert names == {"1998", "lisbon"}
