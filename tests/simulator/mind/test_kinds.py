import pytest

from server.simulator.mind.kinds import Kind, kind_of


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
        ("Who wrote down how high the sea was?", Kind.WHO),
        ("What did people pay when it first opened?", Kind.MONEY),
        ("And when is it open?", Kind.WHEN),
    ],
)
def test_the_kind_of_a_question_is_read_from_its_words(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind
