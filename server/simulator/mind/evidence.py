"""What a sentence holds besides its words: sums, clock times, dates, measures, names, places. Does not score it."""

import re
from functools import lru_cache

from server.simulator.mind.kinds import Kind
from server.simulator.mind.lexicon import DAYS, MONTHS
from server.simulator.mind.thesaurus import KINDS_OF
from server.simulator.mind.words import NUMBER_WORDS, meanings, parts, stem, tokens

# Repetitions are bounded everywhere: a page of digits must not cost a minute.
_NUMBER = (
    r"(?:\d[\d,.]{0,14}(?: \d{3}\b){0,3}|"
    + "|".join(NUMBER_WORDS)
    + r"|a|an|half)(?: (?:hundred|thousand|million|billion)\b)?"
)
_DAY = "|".join(DAYS)
_MONTH = "|".join(MONTHS)
_LENGTH_UNITS = r"met(?:re|er)s?|m|cm|mm|km|feet|foot|ft|inch(?:es)?|miles?|yards?"
_STREETS = "Lane|Street|Road|Avenue|Square|Quay|Alley|Way|Place|Boulevard|Drive|Row|Hill"
_SMALL_NUMBERS = "three|four|five|six|seven|ten|twelve|fourteen|sixteen|eighteen"
# "9.50 euros" is no time of day.
_NOT_HOURS = r"euro|dollar|pound|franc|cent|m\b|met|km|kg|kilo|litre|second"
_PATTERNS = {
    "money": rf"[€$£¥]\s*\d|\d\s*[€$£¥]|\b{_NUMBER}[ -]+(?:euros?|dollars?|pounds?|pence|cents?|eur|usd|gbp|francs?"
    r"|kroner|crowns?|credits?)\b|\bfree\b|\bno (?:extra )?(?:charge|cost|fee)\b|\bgratis\b|\d\s*%|\bpercent\b",
    "clock": rf"(?<![€$£\d])\b\d{{1,2}}[:.]\d\d\b(?! ?(?:[€$£%]|{_NOT_HOURS}))"
    r"|\b\d{1,2}\s*(?:a\.?m\.?|p\.?m\.?)(?=\W|$)|\bo['’]clock\b|\b(?:noon|midnight|sunset"
    r"|sunrise|dusk|dawn|midday)\b|\b(?:at|until|till|from|before|after|by|to)\s+(?:\d{1,2}|"
    + "|".join(list(NUMBER_WORDS)[:13])
    + r")(?=\s+(?:in the|at night|every|daily|to|until|on|and)\b|[,.;]|$)|\bhalf past\b|\baround the clock\b"
    r"|\b24 hours\b",
    "year": r"\b(?:1\d|20)\d\d(?:s|\b)|\b\d{1,4} (?:BC|AD|BCE|CE)\b|\bcentur(?:y|ies)\b",
    "day": rf"\b(?:{_DAY})s?\b|\b(?:daily|weekdays?|weekends?|every|each|annual(?:ly)?|yearly|monthly|weekly|once"
    rf"|twice|year-round|public holidays?|spring|summer|autumn|winter|easter|christmas|new year(?:['’]s)?)\b"
    rf"|\b(?:{_MONTH})\b",
    "count": rf"\b(?!an?\b){_NUMBER}\b|\b(?:several|dozens|hundreds|thousands|millions?|single|only|pair|both|no)\b",
    "measure": rf"\b{_NUMBER}[ -]*(?:centi|milli|kilo|square |cubic |nautical )?(?:{_LENGTH_UNITS}"
    r"|kilo(?:gram)?s?|kg|grams?|g|tonnes?|tons?|pounds?|lbs?|lit(?:re|er)s?|hectares?|acres?|knots?"
    r"|km/h|mph|stor(?:e?ys|ies)|floors|percent|watts?|kw|mb|gb|tb|hours?|minutes?|°c?|degrees?|fathoms?|beds)\b",
    "duration": rf"\b{_NUMBER}[ -]*(?:and a half )?(?:seconds?|minutes?|min|hours?|days?|weeks?|months?|years?|decades?"
    r"|centur(?:y|ies)|nights?|generations?)\b|\b(?:overnight|all day|lifetime|until|indefinitely)\b",
    "lifetime": r"\bage[ds]?\b|\byears? old\b|\bborn\b|\bbirthday\b",
    "ride": rf"\b{_NUMBER}[ -]*(?:minutes?|min|hours?)\b",
    "reason": r"\b(?:because|since|so that|in order to|due to|thanks to|owing to|caused|reason|therefore|as a result|to"
    r" \w+|for fear|protect\w*|prevent\w*|after|honou?r\w*|named)\b",
    "place": r"\b(?:in|at|on|near|next to|behind|beside|opposite|beneath|below|above|between|under|inside|outside|from"
    r"|along|through|to the (?:left|right)|north|south|east|west|floor|room|hall|street|road|entrance|level|corner)\b",
    "occasion": r"\b(?:when|whenever|as soon as|during|at night|by day|full moon|before|after)\b",
    "naming": r"\b(?:names?|named|called|nicknamed?|known as|baptised|christened|titled)\b",
    "telephone": r"\+?\d[\d ()/-]{6,20}\d",
    "email": r"\S@\S+\.\w",
    "website": r"\bwww\.|https?://|\b\w+\.(?:org|com|net|eu|example)\b",
    "heat": r"\bdegrees\b|\d\s*°|\b(?:un)?heated\b|\bfreezing\b",
    "over_age": r"\b(?:over|aged|from|above)[ -](?:the age of )?(?:6\d|sixty\S*)\b",
    "under_age": r"\bage[sd]? (?:of )?(?:\d+|\w+) to (?:\d|1\d)\b"
    rf"|\b(?:under|below|up to)[ -](?:the age of )?(?:\d|1\d|{_SMALL_NUMBERS})s?\b"
    r"(?! (?:met|kilo|min|hour|euro|pound|cent|percent))",
    "address": rf"\b\d+\w?,? (?:[A-Z]\w+ )+(?:{_STREETS})\b|\b\w+(?:straße|strasse|gasse)\b|\baddress\b",
    "area": rf"\b{_NUMBER}[ -]*(?:hectares?|acres?|square (?:kilo)?met(?:re|er)s?|square feet|rooms|galleries"
    r"|stor(?:e?ys|ies))\b",
    "fast": r"\b(?:km/h|mph|knots|kilomet(?:re|er)s (?:an|per) hour|miles (?:an|per) hour)\b",
    "weight": rf"\b{_NUMBER}[ -]*(?:kilo(?:gram)?s?|kg|grams?|g|tonnes?|tons?|pounds?|lbs?)\b",
    "length": rf"\b{_NUMBER}[ -]*(?:centi|milli|kilo|nautical )?(?:{_LENGTH_UNITS})\b",
}
_COMPILED = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _PATTERNS.items()}
# Which of them is what a kind of question asks for, and how well: the hour a place opens is better than the day.
_ANSWERS: dict[Kind, dict[str, float]] = {
    Kind.WHEN: {"clock": 1.0, "year": 1.0, "day": 0.95, "occasion": 0.85, "duration": 0.6},
    Kind.DAY: {"day": 1.0, "clock": 0.7},
    Kind.YEAR: {"year": 1.0, "duration": 0.7},
    Kind.CLOCK: {"clock": 1.0, "day": 0.7},
    Kind.MONEY: {"money": 1.0},
    Kind.COUNT: {"count": 1.0},
    Kind.SIZE: {"area": 1.0, "length": 0.95, "measure": 0.6},
    Kind.WEIGHT: {"weight": 1.0},
    Kind.LENGTH: {"length": 1.0, "measure": 0.7},
    Kind.DISTANCE: {"length": 1.0, "ride": 1.0},
    Kind.DEGREE: {"measure": 1.0, "length": 1.0, "weight": 1.0, "fast": 1.0, "heat": 1.0, "duration": 1.0, "area": 1.0},
    Kind.SPEED: {"fast": 1.0},
    Kind.HEAT: {"heat": 1.0},
    Kind.DURATION: {"duration": 1.0, "measure": 1.0, "length": 1.0},
    Kind.AGE: {"year": 1.0, "duration": 1.0, "under_age": 1.0, "over_age": 1.0, "day": 0.7},
    Kind.WHO: {"person": 1.0},
    Kind.NAME: {"naming": 1.0, "name": 0.8},
    Kind.WHERE: {"named_place": 1.0, "place": 0.9},
    Kind.WHY: {"reason": 1.0},
    Kind.MATERIAL: {"material": 1.0},
    Kind.COLOUR: {"colour": 1.0},
}
# How much is left of a sentence that lacks what was asked for.
_LACKING = {
    Kind.NAME: 0.7,
    Kind.WHERE: 0.85,
    Kind.WHY: 0.75,
    Kind.DEGREE: 0.75,
    Kind.COUNT: 0.55,
    Kind.DEFINITION: 1.0,
    Kind.OTHER: 1.0,
}
_LACKING_OTHERWISE = 0.6
# What a feature says even without its word: a sum answers for "cost".
_MEANS = {
    "money": ("price",),
    "clock": ("opening", "closing"),
    "year": ("age",),
    "weight": ("heavy",),
    "length": ("tall", "long", "wide", "deep", "distance"),
    "area": ("big",),
    "duration": ("duration",),
    "fast": ("speed",),
    "heat": ("heat",),
    "over_age": ("senior", "age"),
    "under_age": ("child", "age"),
    "telephone": ("telephone", "contact"),
    "email": ("contact",),
    "website": ("website",),
    "place": ("place",),
    "address": (stem("address"),),
}
_MEANT_BY: dict[str, tuple[str, ...]] = {}
for _feature, _meanings in _MEANS.items():
    for _meaning in _meanings:
        _MEANT_BY[_meaning] = (*_MEANT_BY.get(_meaning, ()), _feature)
_AGENT = re.compile(
    r"\b(?:by|named|called|founder|architect|engineer|king|queen|artist)\s+(?:an? |the )?[\w-]+|\bfamily\b"
)
_PROFESSION = re.compile(
    r"\b(?:\w+(?:smith|wright|maker|keeper|builder|master)|architects?|engineers?|monks?|fishermen|sailors?|merchants?"
    r"|volunteers?|council|company|society|brothers?|sisters?|students?|staff|members?|visitors?|anyone|everyone"
    r"|children|adults|guests?|men|women|man|woman|gang|people|crew)\b",
    re.IGNORECASE,
)
# Names of places and things: "in the Black Forest", "Mill Square".
_PLACE_NAME = re.compile(
    r"\b(?:[Ii]n|[Aa]t|[Nn]ear|[Ff]rom|[Ii]nto|[Tt]owards|[Oo]n|[Tt]hrough|[Tt]o)(?: the)? ((?:[A-Z][\w'’-]+ ?)+)"
    r"|\b((?:[A-Z]\w+ )*(?:Street|Square|Road|Lane|Hall|Forest|River|Sea|Room|House|Tower|Church|Castle|Bell|Clock))\b"
)
_NUMBERED_PLACE = re.compile(
    r"\b(?:room|hall|level|floor|pier|platform|gate|wing|gallery) (?:\d+|[A-Z]\b|one|two|three|four|five|six)"
    r"|\b(?:ground|first|second|third"
    r"|fourth|top|upper|lower) (?:floor|level)\b|\b(?:basement|attic|courtyard|lobby|foyer|entrance hall|cellar"
    r"|vault)\b|\b(?:next to"
    r"|beside|opposite|behind|in front of|underneath|below|above) the\b"
)
_PERSONS = frozenset(
    map(stem, ("director", "mayor", "curator", "founder", "chef", "captain", "king", "queen", "president", "librarian"))
)
_NOT_NAMES = frozenset(map(stem, (*DAYS, *MONTHS, "christmas", "easter"))) | {"i"}
_RANGE = re.compile(
    rf"\b({_DAY}|{_MONTH})s?\s*(?:to|and|through|until|till|[-–—])\s*(?:the end of )?({_DAY}|{_MONTH})s?\b",
    re.IGNORECASE,
)
_SEASONS = {
    "winter": ("december", "january", "february"),
    "spring": ("march", "april", "may"),
    "summer": ("june", "july", "august"),
    "autumn": ("september", "october", "november"),
}
_PARTS_OF_DAY = {
    "morning": re.compile(r"\b(?:[6-9]|1[01]) ?(?::\d\d ?)?a\.?m|\b0?[6-9]:\d\d"),
    "afternoon": re.compile(r"\b[1-5] ?(?::\d\d ?)?p\.?m|\b1[2-6]:\d\d"),
    "evening": re.compile(r"\b(?:[5-9]|1[01]) ?(?::\d\d ?)?p\.?m|\b(?:1[7-9]|2[0-3]):\d\d"),
}
_HAS_FIGURE = re.compile(r"\d")
_EVERY_DAY = re.compile(r"\b(?:every day|seven days|all week)\b")
_LOW_SEASON = re.compile(r"\b(?:remaining months|rest of the year|other months|low season|off season)\b")
_ALL_YEAR = re.compile(r"\b(?:all year|year-round|every month)\b")
_CHRISTMAS_DATE = re.compile(r"\b25(?:th)?(?: of)? december|\bdecember 25|\b24(?:, 25)? and 2[56] december")
_HYPERNYMS: dict[str, frozenset[str]] = {}
for _general, _special in KINDS_OF.items():
    for _word in _special.split():
        _HYPERNYMS[stem(_word)] = _HYPERNYMS.get(stem(_word), frozenset()) | set(map(stem, _general.split()))


class Evidence:
    """What a text holds: its stems and their meanings; and, found out when asked, what its figures and forms are."""

    __slots__ = ("_asked", "_implied", "beginnings", "endings", "meanings", "stems", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = tuple(tokens(text))
        self.stems = frozenset(stem(part) for word in self.words for part in parts(word))
        self.meanings = frozenset(meaning for stemmed in self.stems for meaning in meanings(stemmed))
        # Short keys that tell most stems apart before they are compared.
        self.beginnings = frozenset(stemmed[:5] for stemmed in self.stems)
        self.endings = frozenset(stemmed[-4:] for stemmed in self.stems)
        self._asked: dict[str, bool] = {}
        self._implied: frozenset[str] | None = None

    def has(self, feature: str) -> bool:
        """Whether the text holds a sum, a clock time, a person or what else `feature` is."""
        found = self._asked.get(feature)
        if found is None:
            found = self._asked[feature] = self._look_for(feature)
        return found

    def implies(self, stemmed: str) -> bool:
        """Whether the text means a word or kind of meaning without its words: a sum means a price."""
        if self._implied is None:
            kinds = frozenset(kind for found in self.stems for kind in _HYPERNYMS.get(found, ()))
            lowered = self.text.lower()
            self._implied = kinds | _calendar(lowered, frozenset(tokens(lowered, opened=False)))
        return stemmed in self._implied or any(self.has(feature) for feature in _MEANT_BY.get(stemmed, ()))

    @property
    def names(self) -> frozenset[str]:
        """The stems of words with a capital inside the text."""
        return frozenset(
            stem(word)
            for place, word in enumerate(self.words)
            if place and word[:1].isupper() and stem(word) not in _NOT_NAMES
        )

    def _look_for(self, feature: str) -> bool:
        if feature in _COMPILED:
            return _COMPILED[feature].search(self.text) is not None
        if feature in ("colour", "material"):
            return any(stem(feature) in _HYPERNYMS.get(found, ()) for found in self.stems)
        if feature == "name":
            return bool(self.names)
        elsewhere = frozenset(stem(word) for match in _PLACE_NAME.finditer(self.text) for word in tokens(match.group()))
        if feature == "named_place":
            return bool(elsewhere) or _NUMBERED_PLACE.search(self.text) is not None
        has_agent = _AGENT.search(self.text) is not None or _PROFESSION.search(self.text) is not None
        return has_agent or bool(self.names - elsewhere)


@lru_cache(maxsize=2048)
def evidence(text: str) -> Evidence:
    """Everything that a text holds; remembered, as passages come again and again."""
    return Evidence(text)


def fitness(kind: Kind, found: Evidence, asked: frozenset[str]) -> float:
    """How well a sentence holds what the kind of question asks for, 0.55..1; `asked` are the question's own stems."""
    wanted = _ANSWERS.get(kind)
    if wanted is None:
        return 1.0
    present = [worth for feature, worth in wanted.items() if found.has(feature)]
    if kind is Kind.AGE and asked & _PERSONS and not found.has("lifetime"):
        # A year in which somebody began their work is no age.
        present = []
    if kind is Kind.WHO and present and found.names and found.names <= asked:
        # The only names are those that the question brought along.
        present = [] if not found.stems & {"by"} else present
    if present:
        return max(present)
    return _LACKING.get(kind, _LACKING_OTHERWISE)


def _calendar(lowered: str, words: frozenset[str]) -> frozenset[str]:
    """The stems of the days and months that a text in small letters, with these words, includes without naming them."""
    found: set[str] = set()
    for match in _RANGE.finditer(lowered):
        for names in (DAYS, MONTHS):
            if match.group(1) in names and match.group(2) in names:
                first, last = names.index(match.group(1)), names.index(match.group(2))
                count = (last - first) % len(names) + 1
                found.update(names[(first + step) % len(names)] for step in range(count))
    if "daily" in words or _EVERY_DAY.search(lowered):
        found.update((*DAYS, "weekend", "weekday"))
    if _HAS_FIGURE.search(lowered):
        found.update(part for part, hours in _PARTS_OF_DAY.items() if hours.search(lowered))
    if words & {"weekend", "weekends"}:
        found.update(DAYS[5:])
    if words & {"weekday", "weekdays"}:
        found.update(DAYS[:5])
    if found & set(DAYS[5:]):
        found.add("weekend")
    if _LOW_SEASON.search(lowered):
        found.update(_SEASONS["winter"])
    found |= {season for season, months in _SEASONS.items() if found.intersection(months) or words.intersection(months)}
    if "december" in words and _CHRISTMAS_DATE.search(lowered):
        found.add("christmas")
    if _ALL_YEAR.search(lowered):
        found.update((*MONTHS, "summer", "winter", "spring", "autumn"))
    return frozenset(stem(name) for name in found)
