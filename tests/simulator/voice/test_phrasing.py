from hypothesis import given
from hypothesis import strategies as st

from server.simulator.voice.phrasing import PHRASE_CHARS_MAX, phrases


def test_an_answer_is_cut_at_its_sentences() -> None:
    assert [phrase.text for phrase in phrases("It opens at 9.30. Dr. Hill is here! Come in")] == [
        "It opens at 9.30. ",
        "Dr. Hill is here! ",
        "Come in",
    ]


def test_a_long_sentence_is_cut_at_a_comma() -> None:
    first, second = phrases("many words " * 15 + "here, " + "more words " * 15)
    assert first.text.endswith("here, ")
    assert second.start == len(first.text)


@given(st.text(max_size=900))
def test_the_phrases_are_the_text(text: str) -> None:
    cut = phrases(text)
    assert "".join(phrase.text for phrase in cut) == text
    assert all(text.startswith(phrase.text, phrase.start) for phrase in cut)
    assert all(0 < len(phrase.text) <= PHRASE_CHARS_MAX for phrase in cut)
