import time

import pytest

from server.knowledge.documents import Document
from server.knowledge.read_html import read_html


def document(text: str) -> Document:
    return read_html(text, fallback_title="Fallback")


def texts(text: str) -> list[str]:
    return [block.text for block in document(text).blocks]


def test_what_a_visitor_does_not_read_is_dropped() -> None:
    page = """<!doctype html><html><head><title>Page</title><style>p {}</style>
    <script>var p = "<p>no</p>";</script></head>
    <body><nav><a href=/>Home</a></nav><p>Seen &amp; read &#8211; caf&eacute;.</p>
    <div hidden>Not <div>this</div> one</div>
    <p style="display: none">nor this<p>After.</p><template>no</template><!-- no --><svg><text>no</text></svg>
    <span aria-hidden="true">no</span><p>End<br>here.</p></body></html>"""
    assert texts(page) == ["Seen & read – café.", "After.", "End here."]


def test_the_title_is_that_of_the_page_or_its_first_heading() -> None:
    assert document("<title>T</title><p>x").title == "T"
    assert document("<title>Hours | Museum</title><h1>Hours</h1><p>x").title == "Hours"
    assert document("<h1>Only <em>this</em></h1><p>x").title == "Only this"
    assert document("<p>x").title == "Fallback"
    other = document("<title>Museum</title><h1>Hours</h1><p>x</p><h2>Late</h2><p>y")
    assert (other.title, [block.headings for block in other.blocks if block.text in "xy"]) == (
        "Museum",
        [("Hours",), ("Hours", "Late")],
    )


def test_the_canonical_address_is_kept() -> None:
    assert document('<link rel="canonical" href="https://x.example/a"><p>x').url == "https://x.example/a"
    assert document('<link rel="canonical" href="javascript:x"><p>x').url == ""


def test_lists_and_unclosed_elements() -> None:
    assert texts("<p>One<p>Two<ul><li>a<li>b <b>c</b><ul><li>d</ul></ul>Tail") == [
        "One",
        "Two",
        "a",
        "b c",
        "d",
        "Tail",
    ]


def test_tables_become_rows() -> None:
    page = """<table><thead><tr><th>Ticket<th>Price</tr></thead><tr><td>Adult<td><p>14 euros</p></tr>
    <tr><td>Child</td><td></td></tr><tr><td></td><td>free</td></tr></table><p>End"""
    assert texts(page) == ["Adult: Price 14 euros.", "Child.", "Price free.", "End"]


def test_row_headers_are_labels() -> None:
    assert texts("<table><tr><th>Monday</th><td>closed</td></tr><tr><th>Tuesday</th><td>10 to 6</td></tr></table>") == [
        "Monday: closed.",
        "Tuesday: 10 to 6.",
    ]


def test_preformatted_lines_stay_lines() -> None:
    assert texts("<pre>one\n  two\n\nthree</pre>") == ["one", "two", "three"]


@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", "<!--", "&", "<p>", "</", "<!", "<a href='", "<a href='>", "<script>", "<td>", "<?", "<![", "<!x>"],
)
def test_no_page_makes_reading_slow(piece: str) -> None:
    """Twenty thousand of anything take a moment, not minutes."""
    start = time.perf_counter()
    document(piece * 20_000)
    assert time.perf_counter() - start < 8


def test_broken_pages_are_read_as_far_as_they_go() -> None:
    for page in (
        "<",
        "<p",
        "<p>x</div></p></p>",
        "<table><td>x",
        "<svg/><p>x",
        "<script>x",
        "<title>x",
        "&#xffffffff;x",
        "<!x",
        "<td>a<td>b",
    ):
        document(page)
    assert texts("<svg/><p>x") == ["x"]
