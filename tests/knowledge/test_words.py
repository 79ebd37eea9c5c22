import sqlite3

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.knowledge.stemming import porter, stem
from server.knowledge.words import fold, stems


@pytest.fixture(scope="module")
def fts() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'porter ascii')")
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab (t, 'row')")
    return connection


ENDINGS = [
    "", "s", "es", "ies", "ed", "ing", "eed", "ational", "tional", "enci", "izer", "abli", "logi", "alli",
    "ization", "ation", "ator", "alism", "iveness", "fulness", "ousness", "aliti", "iviti", "biliti", "icate",
    "ative", "alize", "iciti", "ical", "ful", "ness", "ance", "ement", "ment", "sion", "tion", "ion", "ll", "e",
    "y", "ly", "able",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(word=st.tuples(st.text("abcdeilmnoprstuvwxyz", min_size=1, max_size=8), st.sampled_from(ENDINGS)).map("".join))
def test_the_stemmer_agrees_with_sqlites(fts: sqlite3.Connection, word: str) -> None:
    # SQLite does not take these for suffixes when they are all there is, against the published rules; none is a word.
    assume(word not in {"eed", "ies", "sses"})
    # Nor does it take the second y of "yy" for the vowel that they make of it.
    assume("yy" not in word)
    fts.execute("DELETE FROM t")
    fts.execute("INSERT INTO t VALUES (?)", (word,))
    assert fts.execute("SELECT term FROM v").fetchone()[0] == porter(word)


@pytest.mark.parametrize(
    "forms",
    [
        ("open", "opens", "opened", "opening"), ("Monday", "Mondays", "monday's", "MONDAY’S"), ("child", "children"),
        ("ticket", "tickets"), ("accessible", "accessibility"), ("café", "cafe", "Cafés"), ("wi-fi", "wifi"),
        ("Größe", "GROSSE"), ("pay", "paid"), ("Τρίτη", "ΤΡΙΤΗ"),
    ],
)  # fmt: skip
def test_forms_of_a_word_meet(forms: tuple[str, ...]) -> None:
    assert len({stems(form)[-1] for form in forms}) == 1


def test_contractions_and_stop_words_say_nothing() -> None:
    assert stems("When does it open? Don't they, won't we?") == [stem("open")]


def test_scripts_without_spaces_are_cut_in_pairs() -> None:
    assert stems("博物館はB館") == ["博物", "物館", "館は", "b", "館"]


@given(st.text(max_size=200))
def test_stems_are_words_that_need_no_further_folding(text: str) -> None:
    for word in stems(text):
        assert word
        assert not set(word) & set(" \"'*^():{}-")
    assert fold(fold(text)) == fold(fold(fold(text)))
