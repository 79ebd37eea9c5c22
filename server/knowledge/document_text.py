"""The text of a document, put together again from its passages, for people to read. It reads no file and no index."""

from dataclasses import dataclass

from server.knowledge.base import MAX_DOCUMENT_CHARS, DocumentText

# As many passages on each side as can fit: most have more than 400 characters, many short ones are cut off sooner.
NEIGHBOURS = 100

_PARAGRAPH = "\n\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage as the index holds it."""

    number: int
    headings: tuple[str, ...]
    text: str
    start: int
    end: int


def put_together(
    pieces: list[Piece],
    place: int,
    *,
    last_number: int,
    passage_id: str,
    title: str,
    uri: str,
    max_chars: int = MAX_DOCUMENT_CHARS,
) -> DocumentText:
    """The document around `pieces[place]`, as far as `max_chars` go, growing on both sides alike.

    `pieces` are neighbours in their order; `last_number` is the number of the document's last passage. White space
    between passages is restored as far as their places tell, and the headings above them are set between them.
    """
    first, last = _window(pieces, place, max_chars)
    parts: list[str] = []
    headings: list[tuple[int, int]] = []
    length = start = 0
    before: Piece | None = None

    def add(text: str) -> None:
        nonlocal length
        parts.append(text)
        length += len(text)

    for index in range(first, last + 1):
        piece = pieces[index]
        for heading in _new_headings(before, piece):
            if length:
                add(_PARAGRAPH)
            headings.append((length, length + len(heading)))
            add(heading)
        if length:
            add(_gap(before, piece))
        if index == place:
            start = length
        add(piece.text)
        before = piece
    return DocumentText(
        id=passage_id,
        title=title,
        uri=uri,
        text="".join(parts),
        start=start,
        end=start + len(pieces[place].text),
        headings=headings,
        cut_before=pieces[first].number > 1,
        cut_after=pieces[last].number < last_number,
    )


def _window(pieces: list[Piece], place: int, max_chars: int) -> tuple[int, int]:
    """The first and last of the pieces that fit around one."""
    first = last = place
    left = max_chars - _room(pieces[place])
    before, after = True, True
    while before or after:
        if before:
            before = first > 0 and (room := left - _room(pieces[first - 1])) >= 0
            if before:
                first, left = first - 1, room
        if after:
            after = last + 1 < len(pieces) and (room := left - _room(pieces[last + 1])) >= 0
            if after:
                last, left = last + 1, room
    return first, last


def _room(piece: Piece) -> int:
    """What a piece takes at most, with the headings before it and the gaps around them."""
    return len(piece.text) + sum(len(heading) + len(_PARAGRAPH) for heading in piece.headings) + len(_PARAGRAPH)


def _new_headings(before: Piece | None, piece: Piece) -> tuple[str, ...]:
    """The headings that stand between two passages: those above the later one from where they part."""
    above = before.headings if before else ()
    shared = 0
    while shared < min(len(above), len(piece.headings)) and above[shared] == piece.headings[shared]:
        shared += 1
    return piece.headings[shared:]


def _gap(before: Piece | None, piece: Piece) -> str:
    if before is None or before.headings != piece.headings:
        return _PARAGRAPH
    # One character between sentences is a space, or a line break in a list, which reads as well as a space.
    return _PARAGRAPH if piece.start - before.end > 1 else " "
