import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.knowledge.documents import clean
from server.knowledge.ingest import read_document
from server.knowledge.passages import MAX_WORDS, count_words, cut, sentences
from server.knowledge.read_text import NotText


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It weighs 3.5 tonnes. It is red.", ["It weighs 3.5 tonnes.", "It is red."]),
        ("Dr. Holm met Mrs. Strand. They left.", ["Dr. Holm met Mrs. Strand.", "They left."]),
        ("Bring a coat, e.g. a raincoat. Or not.", ["Bring a coat, e.g. a raincoat.", "Or not."]),
        ("It closes at 5 p.m. The doors are shut.", ["It closes at 5 p.m.", "The doors are shut."]),
        ("It opens at 9 a.m. Monday to Friday.", ["It opens at 9 a.m. Monday to Friday."]),
        ("J. S. Bach wrote it. He was old.", ["J. S. Bach wrote it.", "He was old."]),
        ("See No. 5 there. The answer is no. Really.", ["See No. 5 there.", "The answer is no.", "Really."]),
        ('She said "Stop." Then she left.', ['She said "Stop."', "Then she left."]),
        ('"Really?" she asked. "Yes."', ['"Really?" she asked.', '"Yes."']),
        ("Wait... what? Yes…", ["Wait... what?", "Yes…"]),
        ("1. Take the stairs. 2. Turn left.", ["1. Take the stairs.", "2. Turn left."]),
        ("博物館です。休みです。", ["博物館です。", "休みです。"]),
        ("Rooms, shops, etc. are closed. See www.example.com. It helps.",
         ["Rooms, shops, etc. are closed.", "See www.example.com.", "It helps."]),
        ("   ", []),
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_says(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


def test_long_sections_become_passages_of_like_length() -> None:
    text = "# T\n\n" + " ".join(f"This is the sentence number {n} of all." for n in range(100))
    passages = cut(read_document(text.encode(), "a.md")[0])
    words = [count_words(passage.text) for passage in passages]
    assert len(words) == 5
    assert all(80 <= count <= MAX_WORDS for count in words)
    assert all(passage.text.endswith(".") and passage.text[0].isupper() for passage in passages)


def test_no_passage_crosses_a_heading() -> None:
    document, _ = read_document(b"# T\n\nIntro.\n\n## A\n\nOne.\n\n### B\n\nTwo.\n\n## C\n\nThree.", "a.md")
    assert [(passage.headings, passage.text) for passage in cut(document)] == [
        ((), "Intro."),
        (("A",), "One."),
        (("A", "B"), "Two."),
        (("C",), "Three."),
    ]


@pytest.mark.parametrize("word", ["a", "word", "x" * 50_000, "館" * 5_000, "lorem ipsum dolor"])
def test_text_without_a_sentence_end_is_cut_in_bounded_pieces(word: str) -> None:
    document, _ = read_document(" ".join([word] * (50_000 // len(word))).encode(), "a.txt")
    passages = cut(document)
    assert len(passages) > 1
    assert all(len(passage.text) <= 3_000 and count_words(passage.text) <= 500 for passage in passages)


MARKUP = st.lists(
    st.one_of(
        st.sampled_from(
            ["# Head\n", "## Sub\n", "\n\n", "- item\n", "1. one\n", "| a | b |\n|---|---|\n| 1 | 2 |\n",
             "```\ncode\n```\n", "> quote\n", "---\n", "===\n", "Dr. Who is 3.5. ", "e.g. this! ", "**bold** ",
             "[a](b) ", "<p>", "</p>",
             "<table><tr><td>", "</table>", "<li>", "<ul>", "<!--", "-->", "<script>", "</script>", "<pre>",
             "<div hidden>", "&amp;", "\\", "`", "館。", "\u200b", "\r\n", "<h2>", "</h2>", "<br>", "_x_ ", "![i](j)"]
        ),
        st.text(max_size=30),
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(text=MARKUP, name=st.sampled_from(["a.md", "a.txt", "a.html"]))
def test_passages_are_where_they_say_they_are(text: str, name: str) -> None:
    try:
        document, _ = read_document(text.encode("utf-8", "replace"), name)
    except NotText:
        return
    plain = document.plain_text()
    passages = cut(document)
    assert [passage.number for passage in passages] == list(range(1, len(passages) + 1))
    end = 0
    for passage in passages:
        assert end <= passage.start < passage.end
        assert plain[passage.start : passage.end] == passage.text == passage.text.strip()
        assert clean(passage.text) == passage.text
        last = 0
        for start, stop in passage.sentences:
            assert last <= start < stop
            assert passage.text[last:start].strip() == ""
            last = stop
        assert last == len(passage.text)
        end = passage.end


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("aB1. !?\"'()…。館\n"), max_size=80))
def test_sentences_lose_nothing_but_white_space(text: str) -> None:
    spans = sentences(text)
    assert "".join(text[start:end] for start, end in spans).split() == [] or "".join(
        "".join(text[start:end].split()) for start, end in spans
    ) == "".join(text.split())
