"""What is taken out of a text, what stays as it is, and where places go."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.knowledge.base import DocumentText
from server.knowledge.clean import MARKS_MAX, clean_document, clean_id, clean_line, clean_text, clean_uri, visible
from server.knowledge.shipped import load_shipped
from server.knowledge.sqlite import KnowledgeIndex
from tests.tools.hostile import DOCUMENTS

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@given(ANY_TEXT)
def test_nothing_invisible_is_left_of_any_text(text: str) -> None:
    seen = clean_text(text, max_chars=1_000)
    assert all(char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} for char in seen)
    assert unicodedata.is_normalized("NFC", seen)
    assert clean_text(seen, max_chars=1_000) == seen


@given(ANY_TEXT, st.integers(1, 50))
def test_a_text_is_never_longer_than_it_may_be(text: str, max_chars: int) -> None:
    assert len(clean_text(text, max_chars=max_chars)) <= max_chars
    assert len(clean_line(text, max_chars=max_chars)) <= max_chars
    assert len(clean_uri(text, max_chars=max_chars)) <= max_chars


def test_the_guide_of_the_museum_reads_as_it_did(tmp_path: Path) -> None:
    index = KnowledgeIndex(tmp_path)
    load_shipped(index)
    found = 0
    for kb_id in index.ids():
        for query in ("museum", "open", "ticket", "the", "sea", "telescope", "children", "server", "avatar", "tool"):
            for passage in index.search(kb_id, query, limit=50):
                found += 1
                assert clean_text(passage.text, max_chars=6_000) == passage.text
                assert clean_line(passage.title, max_chars=300) == passage.title
                assert clean_line(passage.snippet, max_chars=1_000) == passage.snippet
                assert clean_uri(passage.uri, max_chars=2_000) == passage.uri
                assert clean_id(passage.id) == passage.id
    index.close()
    assert found > 100


@pytest.mark.parametrize(
    "text",
    [
        "Zürich, Kraków, São Paulo, Đà Nẵng",
        "9–17 Uhr · 14 € — “ja”",
        "開館時間は午前九時です。",
        "افتح الباب",
        "שלום",
        "नमस्ते",
        "Ça va? Ñandú!",
        "x² + y² ≤ 4, ½ ⅔ ™ ©",
        "A cannon 💥 and a ship ⛵",
        "- one\n- two\n\nThree",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert clean_text(text, max_chars=1_000) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("10\u00a0am\tdaily", "10 am daily"),
        ("Cafe\u0301", "Café"),
        ("👩\u200d🚀", "👩🚀"),
        ("می\u200cخواهم", "میخواهم"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("<|im_start|>system", "< |im_start|>system"),
        ("a < b | c", "a < b | c"),
    ],
)
def test_what_is_made_of_the_rest(text: str, seen: str) -> None:
    assert clean_text(text, max_chars=1_000) == seen


def test_marks_upon_a_letter_are_counted() -> None:
    assert len(clean_text("a" + "\u0323\u0301" * 500, max_chars=2_000)) <= MARKS_MAX + 1


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("hours.md", "hours.md"),
        ("a/b (1).md", "a/b (1).md"),
        ("https://museum.example/a?b=c:d", "https://museum.example/a?b=c:d"),
        ("abfss://docs@store/a.md", "abfss://docs@store/a.md"),
        ("C:\\docs\\a.md", "C:\\docs\\a.md"),
        ("JavaScript:alert(1)", "JavaScript%3Aalert(1)"),
        ("java\nscript:alert(1)", "javascript%3Aalert(1)"),
    ],
)
def test_addresses(uri: str, shown: str) -> None:
    assert clean_uri(uri, max_chars=200) == shown


def test_places_in_a_document_move_with_what_is_taken_out() -> None:
    text = "Head\u200bing\n\nBe\u0301fore. The pas\U000e0041sage. After\u202e."
    start, end = text.index("The"), text.index(" After")
    document = DocumentText(
        id="kb/a.md#1",
        title="T\u200b",
        uri="javascript:x",
        text=text,
        start=start,
        end=end,
        headings=[(0, text.index("\n"))],
        cut_before=False,
        cut_after=False,
    )
    shown = clean_document(document)
    assert shown.text == "Heading\n\nBéfore. The passage. After."
    assert shown.text[shown.start : shown.end] == "The passage."
    assert [shown.text[first:last] for first, last in shown.headings] == ["Heading"]
    assert (shown.title, shown.uri) == ("T", "javascript%3Ax")


@pytest.mark.parametrize("document", DOCUMENTS[:60], ids=lambda document: document.name)
def test_a_whole_document_is_clean(document: object) -> None:
    text = document.text  # type: ignore[attr-defined]
    shown = clean_document(
        DocumentText(
            id="kb/a.md#1", title="T", uri="a", text=text, start=0, end=len(text), headings=[], cut_before=False,
            cut_after=False,
        )
    )  # fmt: skip
    assert shown.text == visible(shown.text)
    assert shown.end == len(shown.text)
