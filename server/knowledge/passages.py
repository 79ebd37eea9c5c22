"""Passages: cuts a document into pieces of whole sentences with their places. It knows no index."""

import re
from dataclasses import dataclass

from server.knowledge.documents import Block, BlockKind, Document, separator
from server.knowledge.words import word_set

# A passage holds about this many words: enough for an answer with its condition, little enough that five of
# them fit into a model's context and that a score is about one subject.
MIN_WORDS = 80
MAX_WORDS = 160
# No sentence is this long. What has no sentence end for so many words or characters is cut between words.
_MAX_SENTENCE_WORDS = 240
_MAX_SENTENCE_CHARS = 3_000
# About MAX_WORDS words, with and without spaces between them.
_PIECE_CHARS = 900
_UNSPACED_PIECE_CHARS = 300

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”）]*")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]+$")
_NEXT_WORD = re.compile(r"\s*([\"'“‘«(\[]*)([^\s]*)")
_LAST_WORD_WINDOW_CHARS = 40
_LONG_WORD_CHARS = 15
# After these a full stop never ends a sentence.
_ABBREVIATIONS = word_set("""
    e.g i.e dr mr mrs ms prof st no nos vs fig figs pp p vol ca c approx rev gen sgt capt lt col hon mt cf viz al eg ie
    ed eds trans op ext tel art nr bzw z.b d.h u.a
    """)
# Those of them that are words as well.
_ALSO_WORDS = frozenset(("no", "nos", "p", "c", "art", "fig", "col", "gen", "al"))
# After these it may, if a capital follows that does not go with them ("9 a.m. Monday").
_MAYBE_ABBREVIATIONS = word_set("a.m p.m etc inc ltd co jr sr u.s u.k dept min max tues wed thurs fri sat sun")
_GOES_WITH_TIME = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "cet", "gmt", "utc")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class PassageText:
    """A passage before it is indexed; `text` is the document's plain text from `start` to `end`."""

    number: int
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    sentences: tuple[tuple[int, int], ...]
    """Where its sentences (or rows) begin and end, counted in `text`."""


def _ends_sentence(text: str, sentence: int, stop: re.Match[str]) -> bool:
    """Whether `stop`, punctuation that a space follows, ends the sentence that began at `sentence`."""
    # A closing quote or bracket behind a lone full stop does not make it an exclamation.
    mark = stop.group().rstrip("\"'”’»)]")
    next_word = _NEXT_WORD.match(text, stop.end())
    following = next_word.group(2) if next_word else ""
    if following[:1].islower():
        # "Really?" she asked: a small letter goes on with the sentence.
        return False
    if mark != ".":
        return True
    before = _LAST_WORD.search(text[max(sentence, stop.start() - _LAST_WORD_WINDOW_CHARS) : stop.start()])
    word = before.group() if before else ""
    last = word.lower()
    if last in _ABBREVIATIONS:
        # "The answer is no." ends; "No. 5" does not.
        return last in _ALSO_WORDS and not following[:1].isdigit()
    if last in _MAYBE_ABBREVIATIONS:
        return following[:1].isupper() and not following.lower().startswith(_GOES_WITH_TIME)
    # The initial of a name (J. S. Bach), or the number of an item (1. Take the stairs).
    is_initial = len(word) == 1 and word.isupper()
    is_item_number = word.isdigit() and text[sentence : stop.start()].strip() == word
    return not (is_initial or is_item_number)


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a paragraph begin and end, in order; nothing but white space lies between."""
    spans: list[tuple[int, int]] = []
    start = 0
    for stop in _SENTENCE_END.finditer(text):
        if stop.group()[0] in "。！？" or _ends_sentence(text, start, stop):
            spans.append((start, stop.end()))
            start = stop.end()
    spans.append((start, len(text)))
    stripped = (_strip_span(text, *span) for span in spans)
    return [span for span in stripped if span[0] < span[1]]


def _strip_span(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    return start + lead, start + len(piece.rstrip()) if piece.strip() else start


def count_words(text: str) -> int:
    """How long a text is, in words.

    Two characters of a script without spaces count as one, and so do fifteen of anything that has no spaces.
    """
    words = max(len(text.split()), len(text) // _LONG_WORD_CHARS)
    return words + (0 if text.isascii() else len(_CJK.findall(text)) // 2)


def _endless(text: str, start: int, end: int) -> bool:
    return end - start > _MAX_SENTENCE_CHARS or count_words(text[start:end]) > _MAX_SENTENCE_WORDS


def _cut_endless(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Pieces of a "sentence" that is too long to be one, cut between words where there are any."""
    pieces: list[tuple[int, int]] = []
    while _endless(text, start, end):
        window = text[start : start + _PIECE_CHARS]
        if len(_CJK.findall(window)) > len(window) // 2:
            window = window[:_UNSPACED_PIECE_CHARS]
        space = window.rfind(" ")
        cut = start + (space if space > 0 else len(window))
        pieces.append(_strip_span(text, start, cut))
        start = _strip_span(text, cut, end)[0]
    pieces.append((start, end))
    return [piece for piece in pieces if piece[0] < piece[1]]


def _units(text: str, block: Block) -> list[tuple[int, int]]:
    spans = sentences(text) if block.kind is BlockKind.PROSE else [(0, len(text))]
    units: list[tuple[int, int]] = []
    for start, end in spans:
        if _endless(text, start, end):
            units.extend(_cut_endless(text, start, end))
        else:
            units.append((start, end))
    return units


def _pack(units: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Passages of one section from its sentences (start, end, words): of like length, within the bounds."""
    total = sum(words for _, _, words in units)
    wanted = max(1, -(-total // MAX_WORDS))
    target = max(MIN_WORDS, total / wanted)
    packed: list[list[tuple[int, int, int]]] = [[]]
    held = 0
    for unit in units:
        words = unit[2]
        if packed[-1] and (held + words > MAX_WORDS or held + words / 2 > target):
            packed.append([])
            held = 0
        packed[-1].append(unit)
        held += words
    return packed


def cut(document: Document) -> list[PassageText]:
    """The passages of a document, in order, numbered from 1.

    No passage crosses a heading, and none splits a sentence, a table row or a line of code, unless that is longer
    than any sentence (240 words or 3,000 characters). Most have 80 to 160 words; a short section is one short
    passage.
    """
    plain = document.plain_text()
    passages: list[PassageText] = []
    section: list[tuple[int, int, int]] = []
    headings: tuple[str, ...] = ()

    def close_section() -> None:
        if section:
            for units in _pack(section):
                start, end = units[0][0], units[-1][1]
                spans = tuple((first - start, last - start) for first, last, _ in units)
                passages.append(PassageText(len(passages) + 1, headings, plain[start:end], start, end, spans))
            section.clear()

    position = 0
    for i, block in enumerate(document.blocks):
        position += len(separator(block, i))
        if block.kind is BlockKind.HEADING:
            close_section()
        else:
            if block.headings != headings:
                close_section()
                headings = block.headings
            for start, end in _units(block.text, block):
                words = count_words(block.text[start:end])
                section.append((position + start, position + end, words))
        position += len(block.text)
    close_section()
    return passages
