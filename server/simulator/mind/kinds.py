"""What sort of thing a question asks for: a time, a sum, a person, a reason. Knows nothing else of the question."""

import re
from enum import Enum, auto

from server.simulator.mind.words import plain


class Kind(Enum):
    """What sort of thing the answer must contain."""

    WHEN = auto()
    DAY = auto()
    YEAR = auto()
    CLOCK = auto()
    MONEY = auto()
    COUNT = auto()
    SIZE = auto()
    WEIGHT = auto()
    LENGTH = auto()
    DISTANCE = auto()
    SPEED = auto()
    HEAT = auto()
    DURATION = auto()
    AGE = auto()
    WHO = auto()
    NAME = auto()
    WHERE = auto()
    DEGREE = auto()
    WHY = auto()
    MATERIAL = auto()
    COLOUR = auto()
    DEFINITION = auto()
    OTHER = auto()


# "How accurate": any adjective is answered by a figure.
_DEGREE = (
    r"\bhow (?!much|many|do|does|did|is|are|was|were|can|could|would|should|must|may|to|about|come|has|have|had"
    r"|will|i|you"
    r"|often|long|old|late|early|soon)(\w+) (?:is|are|was|were|will|can|does|do|did)\b"
)
_KINDS: tuple[tuple[Kind, str], ...] = (
    (Kind.COUNT, r"\bhow many\b|\bwhat (?:is the )?number of\b|\bminimum age\b"),
    (Kind.WEIGHT, r"\bhow heavy\b|\bhow much .*\bweigh|\bwhat (?:is|was) the weight\b|\bwhat does .* weigh\b"),
    (Kind.LENGTH, r"\bhow (?:tall|high|deep|wide|thick|broad)\b"),
    (Kind.LENGTH, r"\bwhat (?:is|are|was) the (?:height|length|width|depth|diameter)\b"),
    (Kind.DISTANCE, r"\bhow far\b|\bdistance\b"),
    (Kind.SPEED, r"\bhow (?:fast|quick)\b|\bwhat (?:is|was) the speed\b"),
    (Kind.HEAT, r"\bhow (?:warm|hot|cold|cool)\b|\btemperature\b"),
    (Kind.SIZE, r"\bhow (?:big|large)\b|\bwhat (?:is|was) the size\b"),
    # "How much water" asks for an amount, "how much is", "how much for" and "how much money" for a sum.
    (Kind.COUNT, r"\bhow much (?!is|are|was|were|do|does|did|will|would|for|to|money|cost|time|must|should|can)\w+"),
    (Kind.MONEY, r"\bhow (?:much|expensive)\b(?! time)|\bwhat (?:does|do|did|would) .*\bcost\b"),
    (
        Kind.MONEY,
        r"\bwhat (?:do|does|would|did|will|must|should|can) (?:[\w'’-]+ ){1,4}(?:charge|pay|set (?:me|us) back)\b",
    ),
    (Kind.MONEY, r"\b(?:price|cost|fee|fare)s?\b(?!.*\b(?:where|when|include))"),
    (Kind.DAY, r"\b(?:what|which) (?:other )?(?:week)?days?\b"),
    (Kind.YEAR, r"\b(?:what|which) (?:year|century|decade)\b"),
    (Kind.WHEN, r"\b(?:what|which) (?:date|month|months|season)\b"),
    (Kind.CLOCK, r"\bhow (?:long|late)\b.*\b(?:open|close)"),
    (Kind.AGE, r"\bhow old\b|\bwhat (?:is the )?age\b"),
    (Kind.DURATION, r"\bhow (?:long|much time)\b"),
    (Kind.CLOCK, r"\b(?:at )?what time\b|\b(?:opening|closing|business) (?:hours|times?)\b"),
    (Kind.CLOCK, r"\bwhat (?:are|is) .*\bhours\b"),
    (Kind.WHEN, r"\bwhen\b|\bhow (?:often|late)\b"),
    (Kind.WHO, r"\bwhat (?:is|was) the name of the (?:man|woman|person|\w+(?:er|or|ist|ect))\b"),
    (
        Kind.NAME,
        r"\bwhat (?:is|are|was|were) .*\b(?:called|named|nicknamed)\b|\bwhat (?:is|was) the (?:nick)?name of\b",
    ),
    (
        Kind.WHO,
        r"\bwho(?:se|m)?\b|\bby whom\b|\b(?:what|which) (?:company|firm|person|artist|man|woman|family|architect)\b",
    ),
    (Kind.WHERE, r"\bwhere\b|\baddress\b"),
    (Kind.WHERE, r"\b(?:what|which) (?:floor|room|hall|wing|street|level|country|city|town|gallery)\b"),
    (Kind.DEGREE, _DEGREE),
    (Kind.WHY, r"\bwhy\b|\bfor what reason\b|\bhow come\b"),
    (Kind.MATERIAL, r"\bmade (?:of|from|out of)\b|\b(?:what|which) material\b"),
    (Kind.COLOUR, r"\b(?:what|which) colou?r\b"),
    (
        Kind.DEFINITION,
        r"^(?:so |and |please |can you |could you )*(?:what|who) (?:is|are|was|were) (?:a |an |the )?[\w' -]+\?*$",
    ),
    (
        Kind.DEFINITION,
        r"\btell (?:me|us) (?:something |more |a bit )?about\b|\bdescribe\b|\bexplain\b|\bwhat does .* mean\b",
    ),
)
# The first word tells what is asked, whatever other question words follow: "who wrote down how high the sea was".
_OPENING = re.compile(
    r"^(?:(?:and|but|so|or|also|then|plus)\W+)*(who|whose|whom|why|where|when|is|are|was|were|do|does|did|can|could|may"
    r"|must|should|will|would|has|have|had)\b",
    re.IGNORECASE,
)
_ASKS_FIRST = re.compile(
    r"^(?:(?:and|but|so|or|also|then|plus)\W+)*(?:who|whose|whom|why|where|when|what|which|how|is|are|was|were|do|does"
    r"|did|can|could|may|must|should|will|would|has|have|had)\b",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(r"(?<=\w\w)\s+(?:when|who|whom|where|because|while|if)\s+(?=\w+\s+\w+)", re.IGNORECASE)
_OPENED_BY: dict[str, tuple[Kind, ...]] = {
    "who": (Kind.WHO,),
    "whose": (Kind.WHO,),
    "whom": (Kind.WHO,),
    "why": (Kind.WHY,),
    "where": (Kind.WHERE,),
    "when": (Kind.WHEN,),
}
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KINDS)


def kind_of(text: str) -> Kind:
    """What sort of thing is asked for."""
    text = _main_clause(plain(text))
    opening = _OPENING.match(text)
    kinds = _OPENED_BY.get(opening.group(1).lower(), (Kind.MONEY,)) if opening else None
    return next(
        (kind for kind, pattern in _COMPILED if (not kinds or kind in kinds) and pattern.search(text)), Kind.OTHER
    )


def _main_clause(text: str) -> str:
    """A question without a subordinate clause at its end, whose "when" or "who" does not ask."""
    opening = _ASKS_FIRST.match(text)
    subordinate = _SUBORDINATE.search(text, opening.end()) if opening else None
    return text[: subordinate.start()] if subordinate else text
