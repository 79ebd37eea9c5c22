"""What a user said, cut into what is told and what is asked. Knows no words but those that open a question."""

import re

from msgspec import Struct

_WH = r"(?:what|who|whom|whose|when|where|whereabouts|why|how|which)"
_AUXILIARY = (
    r"(?:is|are|was|were|am|do|does|did|can|could|may|might|must|should|will|would|shall|has|have|had|isn['’]t"
    r"|aren['’]t|don['’]t|doesn['’]t|didn['’]t|can['’]t|won['’]t)"
)
_JOINT = r"(?:and|or|but|so|also|then|plus)"
# A sentence ends at a point that a space follows; a dash or semicolon between words parts it too.
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\s+[–—-]\s+|;\s+|\n+")
# "..., what does she get?", "... and how long is the ride?": a new question within the sentence.
_INNER = re.compile(
    rf",\s+(?=(?:{_JOINT}\s+)?(?:{_WH}['’]?s?\b(?!\s+(?:is|are|was|were)?\s*[,.])|(?:is|are|do|does|did|can|could|will"
    rf"|would|may|should)\s+(?:i|we|you|they|he|she|it|there|the|a|my|our)\b))"
    rf"|,?\s+(?={_JOINT}\s+(?:(?:at|in|on|by|from|for|since|until) )?{_WH}\b)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    rf"^(?:{_JOINT}\s+)*(?:(?:at|in|on|by|to|from|for|since|until|with) )?{_WH}\b|^(?:{_JOINT}\s+)*"
    rf"{_AUXILIARY}\b|^(?:please\s+)?(?:tell|show|give|explain|describe)\b",
    re.IGNORECASE,
)
# What comes before the question proper; it may come twice ("Sorry, could you tell me if ...").
_LEAD = re.compile(
    rf"^(?:(?:{_JOINT}|well|oh|okay|ok|sorry|please|excuse me|hi|hello|hey|by the way|quick question|one more thing"
    r"|just wondering|out of curiosity)\b[\s,:]*)*"
    r"(?:(?:(?:can|could|would|will) you (?:please |kindly |maybe |perhaps )?(?:tell|show|let|remind) (?:me|us)"
    r"(?: know)?|do you (?:happen to |by any chance )?know"
    r"(?=\s+(?:if|whether|about|what|who|when|where|why|how|which)\b)"
    r"|any idea|(?:i|we)(?:['’]m| am|['’]re| are| was| were"
    r"|['’]ve been| have been)? (?:just )?(?:wonder(?:ed|ing)?|curious|interested to know)"
    r"|(?:i|we)(?:['’]d| would| want| wanted)?(?: really)? (?:like|love|need|want|have)?\s?(?:to )?"
    r"(?:know|ask|find out|hear|learn)|tell (?:me|us)|please tell (?:me|us)"
    r"|is it (?:true|right|correct|possible|all right|alright|ok|okay|fine|allowed)"
    r"|(?:i|we)(?:['’]ve)? (?:heard|read|was told|were told|think|thought|believe|guess|see|saw|understand)"
    rf"|(?:i|we) don['’]t (?:know|remember))\b(?:\s+(?:if|whether|that|about|of|to)\b)?[\s,:]*)?",
    re.IGNORECASE,
)
_CLAUSES_MAX = 12


class Clauses(Struct, frozen=True):
    """`asked` in order, without what only leads in to a question; `told` is all the rest."""

    asked: tuple[str, ...]
    told: tuple[str, ...]


def read_clauses(text: str) -> Clauses:
    """What is asked and what is told in `text`; where nothing is plainly asked, all of it is."""
    asked: list[str] = []
    told: list[str] = []
    for sentence in _SENTENCE.split(text.strip())[:_CLAUSES_MAX]:
        if not sentence or not any(char.isalnum() for char in sentence):
            continue
        is_question = sentence.rstrip().endswith("?")
        pieces = [piece for piece in _INNER.split(sentence) if piece]
        opens = [_ASKS.match(without_lead(piece)) is not None for piece in pieces]
        if is_question and not any(opens):
            # "The toilets?", "And on Sundays?": the mark alone asks.
            opens[-1] = True
        for piece, does_ask in zip(pieces, opens, strict=True):
            (asked if does_ask else told).append(without_lead(piece) if does_ask else piece)
    if not asked:
        return Clauses((text.strip(),), ())
    return Clauses(tuple(asked), tuple(told))


def without_lead(clause: str) -> str:
    """The clause without "could you tell me", "I was wondering whether" and the like."""
    rest = clause.strip()
    for _ in range(2):
        lead = _LEAD.match(rest)
        shorter = rest[lead.end() :] if lead else rest
        if not any(char.isalnum() for char in shorter):
            break
        rest = shorter
    return rest
