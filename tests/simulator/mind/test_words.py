import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.mind.words import content_stems, meanings, number, stem


@pytest.mark.parametrize(
    "forms",
    [
        "open opens opened opening",
        "make makes made making",
        "city cities",
        "build built",
        "locate location located",
        "stop stopped",
    ],
)
def test_forms_of_a_word_share_a_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(("one", "other"), [("care", "car"), ("founded", "found"), ("painting", "pain"), ("ring", "r")])
def test_different_words_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@given(st.text(max_size=30))
def test_any_text_has_stems(text: str) -> None:
    assert all(content_stems(text))


def test_numbers_are_read_as_figures_and_words() -> None:
    assert (number("1,200"), number("twelve"), number("3.5"), number("tower")) == (1200.0, 12.0, 3.5, None)


def test_synonyms_share_a_meaning() -> None:
    assert meanings(stem("lavatories")) & meanings(stem("restroom"))
    assert meanings(stem("rediscovered")) & meanings(stem("unearthed"))
