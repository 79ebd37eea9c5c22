import pytest

from server.knowledge.documents import clean
from server.knowledge.read_text import NotText, decode, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_encodings_are_recognised(encoding: str) -> None:
    assert decode("Café – 館".encode(encoding)).text == "Café – 館"


def test_other_encodings_are_read_and_reported() -> None:
    decoded = decode("Café – “so”".encode("windows-1252"))
    assert (decoded.text, decoded.problem) == ("Café – “so”", "not UTF-8; read as Windows-1252")


def test_a_page_may_say_its_encoding() -> None:
    page = '<meta charset="iso-8859-7"><p>Ώρες'.encode("iso-8859-7")
    assert decode(page, html=True).text.endswith("Ώρες")
    assert decode(page, html=True).problem == ""
    assert decode(b'<meta charset="nonsense"><p>caf\xe9', html=True).text.endswith("café")
    assert decode(b'<meta charset="hex"><p>caf\xe9', html=True).text.endswith("café")


@pytest.mark.parametrize("data", [b"\0\1\2", b"%PDF-1.4\n\0", bytes(range(1, 9)) * 10, b"PK\x03\x04" * 20])
def test_binary_content_is_refused(data: bytes) -> None:
    with pytest.raises(NotText):
        decode(data)


def test_damaged_utf16_is_reported() -> None:
    assert "byte order mark" in decode(b"\xff\xfeA\0\x00\xd8").problem


def test_control_and_invisible_characters_are_removed() -> None:
    assert clean("a\x00\x07b\u200bc\u202ed\ufeffe\u00adf\U000e0041g\x1b[0m") == "abcdefg[0m"
    assert clean("one\r\ntwo\rthree\u2028four\tfive") == "one\ntwo\nthree\nfour\tfive"
    assert clean("e\u0301") == "é"


def test_a_short_first_line_is_the_title() -> None:
    document = read_text("The rope walk\n\nRope was made here.\n", fallback_title="x")
    assert document.title == "The rope walk"
    assert [block.text for block in document.blocks[1:]] == ["Rope was made here."]
    assert read_text("This is a sentence.\n\nMore.", fallback_title="x").title == "x"
    assert read_text("Just one paragraph", fallback_title="x").title == "x"


def test_wrapped_lines_are_joined_and_short_ones_are_not() -> None:
    wrapped = "This paragraph was wrapped by an editor because the line\nwas full, and so it is one sentence."
    listed = "Monday: closed\nTuesday: 10 to 6\n- rope\n- tar"
    blocks = read_text(f"{wrapped}\n\n{listed}", fallback_title="x").blocks
    assert [block.text for block in blocks] == [
        wrapped.replace("\n", " "),
        "Monday: closed",
        "Tuesday: 10 to 6",
        "rope",
        "tar",
    ]
