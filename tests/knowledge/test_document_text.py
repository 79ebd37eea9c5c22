"""Documents put together again from their passages."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from server.knowledge.base import DocumentText
from server.knowledge.document_text import NEIGHBOURS, Piece, put_together
from server.knowledge.passages import cut
from server.knowledge.read_markdown import read_markdown

GUIDE = """# Guide

It opens at nine. It closes at five.

- Bring a coat.
- Bring a friend.

## Prices

Adults pay 9 euros.

### Children

Children pay nothing.

## Café

The café closes early.
"""


def pieces_of(markdown: str) -> list[Piece]:
    document = read_markdown(markdown, fallback_title="Untitled")
    return [Piece(found.number, found.headings, found.text, found.start, found.end) for found in cut(document)]


def together(pieces: list[Piece], place: int, **changes: int) -> DocumentText:
    return put_together(
        pieces, place, last_number=len(pieces), passage_id="kb/guide.md#1", title="Guide", uri="guide.md", **changes
    )


def test_a_document_reads_as_it_was_written() -> None:
    pieces = pieces_of(GUIDE)
    document = together(pieces, 1)
    assert document.text == (
        "It opens at nine. It closes at five.\n\nBring a coat.\nBring a friend.\n\n"
        "Prices\n\nAdults pay 9 euros.\n\nChildren\n\nChildren pay nothing.\n\nCafé\n\nThe café closes early."
    )
    assert document.text[document.start : document.end] == "Adults pay 9 euros."
    assert [document.text[start:end] for start, end in document.headings] == ["Prices", "Children", "Café"]
    assert (document.cut_before, document.cut_after) == (False, False)


def test_a_passage_that_begins_under_headings_shows_all_of_them() -> None:
    pieces = [Piece(1, ("Prices", "Children"), "Nothing.", 20, 28)]
    document = together(pieces, 0)
    assert document.text == "Prices\n\nChildren\n\nNothing."


def test_sentences_that_followed_each_other_do_so_again() -> None:
    pieces = [Piece(1, (), "One.", 0, 4), Piece(2, (), "Two.", 5, 9), Piece(3, (), "Three.", 11, 17)]
    assert together(pieces, 0).text == "One. Two.\n\nThree."


def test_of_a_long_document_the_neighbourhood_is_shown() -> None:
    pieces = [Piece(number, ("Part",), "x" * 90, 100 * number, 100 * number + 90) for number in range(1, 51)]
    document = together(pieces, 20, max_chars=1_000)
    assert len(document.text) <= 1_000
    assert len(document.text) > 700
    assert (document.cut_before, document.cut_after) == (True, True)
    assert 300 < document.start < 600
    assert not together(pieces, 0, max_chars=1_000).cut_before
    assert not together(pieces, 49, max_chars=1_000).cut_after


def test_a_passage_longer_than_the_bound_is_shown_alone() -> None:
    pieces = [Piece(1, (), "a" * 50, 0, 50), Piece(2, (), "b" * 500, 52, 552), Piece(3, (), "c" * 50, 554, 604)]
    document = together(pieces, 1, max_chars=100)
    assert document.text == "b" * 500
    assert (document.start, document.end) == (0, 500)
    assert (document.cut_before, document.cut_after) == (True, True)


@given(
    texts=st.lists(
        st.tuples(st.text(min_size=1, max_size=60), st.sampled_from([(), ("A",), ("A", "B"), ("C",)])),
        min_size=1,
        max_size=NEIGHBOURS,
    ),
    max_chars=st.integers(0, 2_000),
    data=st.data(),
)
def test_the_passage_is_always_where_it_is_said_to_be(
    texts: list[tuple[str, tuple[str, ...]]], max_chars: int, data: st.DataObject
) -> None:
    pieces: list[Piece] = []
    at = 0
    for number, (text, headings) in enumerate(texts, start=1):
        pieces.append(Piece(number, headings, text, at, at + len(text)))
        at += len(text) + data.draw(st.integers(1, 9))
    place = data.draw(st.integers(0, len(pieces) - 1))
    document = together(pieces, place, max_chars=max_chars)
    assert document.text[document.start : document.end] == pieces[place].text
    assert len(document.text) <= max(
        max_chars, len(pieces[place].text) + sum(len(h) + 2 for h in pieces[place].headings)
    )
    spans = document.headings
    assert all(start < end for start, end in spans)
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(spans))
