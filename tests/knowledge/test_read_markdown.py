import time

import pytest

from server.knowledge.documents import Document
from server.knowledge.read_markdown import inline_text, read_markdown


def texts(text: str) -> list[str]:
    return [block.text for block in document(text).blocks]


def document(text: str) -> Document:
    return read_markdown(text, fallback_title="Fallback")


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("**bold** and *thin* and __strong__ and _em_", "bold and thin and strong and em"),
        ("***both*** and ~~gone~~", "both and gone"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("[a link](https://x.example/a_(b)) here", "a link here"),
        ("[ref][1] and ![picture](x.png) and [![badge](b.svg)](https://x)", "ref and picture and badge"),
        ("`code *with* stars` and ``a ` b``", "code *with* stars and a ` b"),
        (r"\*not bold\* and 1\. and \[x\](y)", "*not bold* and 1. and [x](y)"),
        ("A &amp; B &lt;tag&gt; &copy; caf&eacute;", "A & B <tag> © café"),
        ("line<br>break <b>bold</b> <span class='x'>s</span>", "line break bold s"),
        ("<https://example.com/x> and <mailto:a@example.com>", "https://example.com/x and a@example.com"),
        ("A note[^1] here", "A note here"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
    ],
)
def test_inline_marks_are_taken_off(markdown: str, words: str) -> None:
    assert inline_text(markdown) == words


def test_the_title_is_the_front_matter_then_the_first_heading_then_the_file_name() -> None:
    assert document("---\ntitle: 'Front'\nurl: https://x.example/\n---\n# Head\n\nText.").title == "Front"
    assert document("---\ntitle: Front\nurl: https://x.example/\n---\nText.").url == "https://x.example/"
    assert document("---\nurl: javascript:alert(1)\n---\nText.").url == ""
    assert document("# Head #\n\nText.").title == "Head"
    assert document("Head\n====\n\nText.").title == "Head"
    assert document("Text.").title == "Fallback"
    assert document("---\nnot front matter").title == "Fallback"


def test_headings_make_sections() -> None:
    made = document("# T\n\nIntro\nwrapped.\n\n## A\n\nOne.\n\n### B ###\n\nTwo.\n\nC\n---\n\nThree.\n\n# D\n\nFour.")
    assert [(block.headings, block.text) for block in made.blocks if block.text.endswith(".")] == [
        ((), "Intro wrapped."),
        (("A",), "One."),
        (("A", "B"), "Two."),
        (("C",), "Three."),
        (("D",), "Four."),
    ]


def test_list_items_are_lines_of_their_own() -> None:
    made = document("You need:\n\n- a coat\n  that is warm\n- [x] boots\n\n1. Go in.\n2) Come out.\n\nAfter the list.")
    assert [(block.text, block.tight) for block in made.blocks] == [
        ("You need:", False),
        ("a coat that is warm", False),
        ("boots", True),
        ("Go in.", True),
        ("Come out.", True),
        ("After the list.", False),
    ]


def test_tables_become_rows_that_can_be_read_aloud() -> None:
    assert texts(
        "| Ticket | Price | Note |\n|:--|--:|---|\n| Adult | **14** euros | |\n| a \\| b | 6 | under 17 |\n\nEnd."
    ) == [
        "Adult: Price 14 euros.",
        "a | b: Price 6, Note under 17.",
        "End.",
    ]


def test_code_is_kept_and_fences_hide_headings() -> None:
    assert texts("Run:\n\n```sh\n# not a heading\nmake  run\n```\n\nDone.") == [
        "Run:",
        "# not a heading",
        "make run",
        "Done.",
    ]
    assert texts("~~~\nopen to the end") == ["open to the end"]


def test_comments_rules_definitions_and_quotes() -> None:
    assert texts(
        "> Quoted\n> text.\n\n***\n\n<!-- hidden\n\n# hidden -->\n\n[1]: https://x.example\n\n"
        "Seen.[^1]\n\n[^1]: A note."
    ) == [
        "Quoted text.",
        "Seen.",
        "A note.",
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "*",
        "_",
        "`",
        "[",
        "![",
        "](",
        "<",
        "<!--",
        "|",
        "> ",
        "- ",
        "**a",
        "[a](",
        "\\",
        "&",
        "(",
        "a_",
        "~~",
        "#",
        "``` ",
    ],
)
def test_no_text_makes_reading_slow(piece: str) -> None:
    """A hundred thousand of any mark take a moment, not minutes."""
    start = time.perf_counter()
    read_markdown(piece * 100_000, fallback_title="x")
    read_markdown((piece + "\n") * 20_000, fallback_title="x")
    assert time.perf_counter() - start < 8
