"""A question taken apart: what it asks for, and the words that its answer must cover. Does not answer it."""

import re
from collections.abc import Iterable

from msgspec import Struct

from server.simulator.mind.clauses import read_clauses
from server.simulator.mind.focus import read_focus
from server.simulator.mind.kinds import Kind, kind_of
from server.simulator.mind.lexicon import DAYS, MONTHS
from server.simulator.mind.thesaurus import ALIKE, SYNONYMS
from server.simulator.mind.words import content_stems, is_content, meanings, number, parts, plain, stem, tokens, weight

# A word that names something, or a year, tells more than any other.
_NAME_WEIGHT = 1.6
# The word that only repeats what is asked for ("cost" in "how much does it cost") is answered by the sum alone.
_KIND_WORD_WEIGHT = 0.5
# What the session as a whole is about ("the harbour museum") need not be repeated by every sentence.
_SUBJECT_SHARE = 0.3
# No more than this is required of the words that only point ("find", "museum").
LIGHT_WEIGHT = 0.3
# Words of the previous question count in a follow-up, less than its own.
_CONTEXT_WEIGHT = 0.6
# Words beside a clause help to find its answer, those of another clause more than those that are merely told; both
# more where the clause by itself says nothing ("How tall does he have to be?").
_OTHER_SHARE = 0.45
_NEEDED_SHARE = 0.9
_TOLD_SHARE = 0.45
_TOLD_NEEDED_SHARE = 0.8
_PARTS_MAX = 2
# A follow-up is a short question that points back.
_FOLLOW_UP_WORDS_MAX = 7


class Term(Struct, frozen=True):
    """A word that the answer should cover. `is_name`: without it the answer is about something else.

    `is_focus`: it is what is asked for, `is_thing`: and no action. `is_context`: it was only said beside the question,
    or before it.
    """

    stem: str
    weight: float
    is_name: bool = False
    is_context: bool = False
    is_focus: bool = False
    is_thing: bool = False


class Part(Struct, frozen=True):
    """One thing that is asked: its kind, the words that its answer must cover, whether it asks leave.

    `house` are the stems of what all is about, where it is asked about that itself ("do you", "here"); `is_of_money`:
    a sum belongs to the answer, whatever its kind.
    """

    kind: Kind
    terms: tuple[Term, ...]
    is_permission: bool
    house: frozenset[str] = frozenset()
    is_of_money: bool = False


class Question(Struct, frozen=True):
    """A question as the answer is scored against it, and as the search is asked. Most have one part."""

    text: str
    parts: tuple[Part, ...]
    query: str

    @property
    def terms(self) -> tuple[Term, ...]:
        """The words of all parts, each once, as heavy as in the part where it is heaviest."""
        found: dict[str, Term] = {}
        for part in self.parts:
            for term in part.terms:
                if term.stem not in found or found[term.stem].weight < term.weight:
                    found[term.stem] = term
        return tuple(found.values())


_POINTS_BACK = re.compile(
    r"^(?:and|but|or|also|so|what about|how about|what else|which one|anything else)\b|\b(?:it|its|they|them|their"
    r"|theirs"
    r"|there|that|those|this|these|he|she|him|his|her|one|then)\b",
    re.IGNORECASE,
)
# "And on Sundays?", but not "and where can I park?", which asks all by itself.
_BARE_FOLLOW_UP = re.compile(
    r"^(?:what about|how about|(?:and|but|or|also|so|then)\b(?! (?:who|whom|whose|what|when|where|why|how|which|is|are"
    r"|was|were|do|does|did|can|could|may|should|will|would|has|have|tell)\b(?! about)))\b",
    re.IGNORECASE,
)
_LAST_AFTER_DO = re.compile(r"\b(?:do|does|did)\b.* (?!(?:the|a|an|my|your|our)\b)\w+ (\w+)\W*$", re.IGNORECASE)
_PARTICIPLE = re.compile(
    r"\b(?:is|are|was|were|been|be|get|got)\b.*?\b(\w+ed)\b(?! \w+ (?:is|are|was|were)\b)", re.IGNORECASE
)
# Kinds whose answers are known by their form, so that the verb may differ.
_STRICT = frozenset(Kind) - {Kind.OTHER, Kind.DEFINITION, Kind.WHY, Kind.WHO}
# What is asked for after "which", and found by its form.
_ASKED_STEMS = frozenset(map(stem, ("day", "days", "year", "date", "month", "time", "times", "century", "number")))
_ASKED_WEIGHT = 0.1
_VERB_WEIGHT = 0.55
_FOCUS_WEIGHT = 0.9
# "At nine", "for two adults": seldom repeated by an answer, unless nothing but the number tells what is asked.
_NUMBER_WEIGHT = 0.4
_LONE_NUMBER_WEIGHT = 0.8
_KIND_WORDS = {
    Kind.MONEY: {"price"},
    Kind.CLOCK: {"opening", "closing"},
    Kind.DAY: {"opening", "closing"},
    Kind.WHEN: {"opening", "closing", "begin"},
    Kind.SIZE: {"big"},
    Kind.WEIGHT: {"heavy"},
    Kind.LENGTH: {"tall", "long", "wide", "deep"},
    Kind.DISTANCE: {"distance"},
    Kind.SPEED: {"speed"},
    Kind.HEAT: {"heat"},
    Kind.DURATION: {"duration", "long"},
    Kind.AGE: {"age"},
    Kind.COUNT: {"count", "age", "limit"},
    Kind.COLOUR: {"colour"},
    Kind.MATERIAL: {"material"},
    Kind.WHERE: {"address"},
}
_ASKS_PERMISSION = re.compile(
    r"^(?:\W|and|but|so|also)*(?:can|may|could|am|are|do|must) (?:i|we|you|dogs|children|visitors)\b", re.IGNORECASE
)
_YEAR = re.compile(r"^(?:1\d|20)\d\d$")
_SCAFFOLD = re.compile(
    r"^(?:(?:hi|hello|hey|ok|okay|well|please|sorry|excuse me|thanks|thank you|great|um|uh|good (?:morning|day"
    r"|afternoon|evening))(?: there| all| everyone| again)?[\s,.!]+)+",
    re.IGNORECASE,
)
# What people say beside a question without meaning any of its words.
_IDLE = re.compile(
    r",?\s*\b(?:in the first place|at all|by any chance|as well|if possible|to be honest|for that matter|on earth"
    r"|these days|at the moment|any ?more)\b",
    re.IGNORECASE,
)
# "What time do you shut?": of the house itself, and of none of its parts.
_OF_THE_HOUSE = re.compile(r"\b(?:you|your|here|this place)\b", re.IGNORECASE)
# "Is there a discount?" is only half answered by who gets it.
_OF_MONEY = re.compile(r"\b(?:discounts?|reductions?|reduced|concessions?|fees?|charges?|surcharges?)\b", re.IGNORECASE)
# Words that guides write where visitors say others; for short queries only, where they cannot drown the subject.
_WRITTEN_AS = {
    "price": "price admission ticket",
    "opening": "opening hours open",
    "closing": "closed opening hours",
    "toilet": "toilets restrooms lavatories wc",
    "bus": "buses stop",
    "child": "children",
    "senior": "seniors over 65",
    "animal": "dogs animals pets",
    "photo": "photography photos",
    "car": "parking garage drivers",
    "food": "café restaurant food",
    "coat": "cloakroom lockers bags",
    "access": "wheelchair accessible lift",
    "direction": "reach bus train station",
    "address": "located lies street",
    "discount": "discount reduced concessions",
    "baby": "pushchairs changing",
    "lost": "lost property",
    "contact": "contact telephone email",
    "book": "booking reservation",
    "money": "card cash payment",
    "shop": "shop",
    "refund": "refund cancel",
    "bicycle": "bicycles",
    "bloom": "flower bloom blossom",
    "journey": "journey trip",
    "cook": "chef kitchen",
    "heat": "temperature degrees",
    "lead": "director curator",
    "quiet": "busy busiest crowded quiet",
    "crime": "robbery theft stolen",
    "sick": "first aid",
    "big": "covers area hectares square metres",
}
_EXPANDABLE_TERMS_MAX = 2
_SPECIFIC_WEIGHT = 0.9
_SYNONYMS_ASKED_MAX = 3


def is_follow_up(text: str) -> bool:
    """Whether a question points back at what was said before."""
    words = tokens(text)
    return bool(words) and len(words) <= _FOLLOW_UP_WORDS_MAX and _POINTS_BACK.search(text.strip()) is not None


def without_scaffold(text: str) -> str:
    """The text without a greeting or thanks before the question, and without idle phrases in it."""
    text = text.strip()
    shorter = _IDLE.sub("", _SCAFFOLD.sub("", text))
    return shorter if any(char.isalnum() for char in shorter) else text


def read_question(text: str, *, earlier: Iterable[str] = (), subject: frozenset[str] = frozenset()) -> Question:
    """Take `text` apart; `earlier` are the questions before it, newest first, `subject` the stems that all is about."""
    own = without_scaffold(text)
    clauses = read_clauses(own)
    asked = clauses.asked[:_PARTS_MAX]
    kinds = [kind_of(clause) for clause in asked]
    mine = [_terms(clause, kind, subject) for clause, kind in zip(asked, kinds, strict=True)]
    told = _terms(" ".join((*clauses.told, *clauses.asked[_PARTS_MAX:])), Kind.OTHER, subject)
    context: list[Term] = []
    if needs_context(own, [term for terms in mine for term in terms]):
        for previous in earlier:
            previous = without_scaffold(previous)
            # "And on Sundays?" still asks for what the question before it asked for.
            if _BARE_FOLLOW_UP.match(own) and kinds[0] is Kind.OTHER:
                kinds[0] = kind_of(previous)
            known = {term.stem for term in mine[0]} | {term.stem for term in context}
            for term in _terms(previous, kinds[0], subject):
                replaced = kinds[0] is not kind_of(previous) and _only_names_kind(term, kind_of(previous))
                if term.stem not in known and not replaced and not _excludes(term.stem, mine[0]):
                    context.append(Term(term.stem, term.weight * _CONTEXT_WEIGHT, term.is_name, is_context=True))
            if not is_follow_up(previous):
                break
    parts: list[Part] = []
    for place, (clause, kind) in enumerate(zip(asked, kinds, strict=True)):
        others = [term for at, terms in enumerate(mine) if at != place for term in terms]
        terms = _with_asides(mine[place], others, told)
        parts.append(
            Part(
                kind,
                (*terms, *context),
                _ASKS_PERMISSION.match(clause) is not None,
                subject if _OF_THE_HOUSE.search(clause) else frozenset(),
                _OF_MONEY.search(clause) is not None,
            )
        )
    query = _query(own, parts[0].terms[: -len(context) or None], context, earlier)
    return Question(own, tuple(parts), query)


def _with_asides(own: tuple[Term, ...], others: Iterable[Term], told: Iterable[Term]) -> tuple[Term, ...]:
    """The terms of a clause, with what stands beside it: much where the clause itself names nothing ("how tall?")."""
    needy = sum(term.weight for term in own if term.weight >= _SPECIFIC_WEIGHT) < _SPECIFIC_WEIGHT
    found = {term.stem: term for term in own}
    for aside, share in (
        (others, _NEEDED_SHARE if needy else _OTHER_SHARE),
        (told, _TOLD_NEEDED_SHARE if needy else _TOLD_SHARE),
    ):
        for term in aside:
            found.setdefault(term.stem, Term(term.stem, min(term.weight, 1.0) * share, is_context=True))
    return tuple(found.values())


def needs_context(text: str, terms: Iterable[Term]) -> bool:
    """Whether the words of a question are too few to stand alone."""
    if not is_follow_up(text):
        return False
    if _BARE_FOLLOW_UP.match(text):
        return True
    # "Can I bring my dog there?" points nowhere that matters; "how tall is it?" does.
    return sum(term.weight for term in terms if term.weight >= 1) < 1


def _only_names_kind(term: Term, kind: Kind) -> bool:
    return bool(meanings(term.stem) & _KIND_WORDS.get(kind, set()))


def _excludes(stemmed: str, terms: Iterable[Term]) -> bool:
    """Whether the follow-up replaces this word by one of its sort: Sundays for Mondays."""
    return stemmed in _CALENDAR and any(term.stem in _CALENDAR for term in terms)


_CALENDAR = frozenset(stem(name) for name in (*DAYS, *MONTHS, "christmas", "easter", "day"))


def _verbs(text: str) -> frozenset[str]:
    """The stems that are probably the verb: the last word after "do", and participles after "was"."""
    own = plain(text)
    last = _LAST_AFTER_DO.search(own)
    found = set(_PARTICIPLE.findall(own)) | ({last.group(1)} if last else set())
    return frozenset(map(stem, found))


def _terms(text: str, kind: Kind, subject: frozenset[str]) -> tuple[Term, ...]:
    words = tokens(text)
    focus = read_focus(text)
    capitals = sum(word[:1].isupper() for word in words)
    # Where nearly everything is capitalised, capitals name nothing.
    has_case = capitals <= max(2, 0.6 * len(words))
    verbs = _verbs(text) if kind in _STRICT else frozenset[str]()
    found: dict[str, Term] = {}
    for place, word in enumerate(words):
        for part in _own_parts(word):
            if not is_content(part):
                continue
            stemmed = stem(part)
            heavy = weight(part)
            named = has_case and place > 0 and part[:1].isupper() and stemmed not in _CALENDAR and not part.isupper()
            if stemmed in subject:
                term = Term(stemmed, heavy * _SUBJECT_SHARE)
            elif named or _YEAR.match(part):
                term = Term(stemmed, max(heavy, _NAME_WEIGHT) if heavy >= 1 else heavy, is_name=heavy >= 1)
            elif stemmed in _ASKED_STEMS:
                term = Term(stemmed, _ASKED_WEIGHT)
            elif meanings(stemmed) & _KIND_WORDS.get(kind, set()):
                term = Term(stemmed, min(heavy, _KIND_WORD_WEIGHT))
            elif number(part) is not None:
                term = Term(stemmed, _NUMBER_WEIGHT if kind in _STRICT else _LONE_NUMBER_WEIGHT)
            elif place and words[place - 1].lower() == "how":
                term = Term(stemmed, min(heavy, _KIND_WORD_WEIGHT))
            elif stemmed in verbs:
                term = Term(stemmed, min(heavy, _VERB_WEIGHT))
            else:
                term = Term(stemmed, heavy)
            if (
                (stemmed in focus.things or stemmed in focus.others)
                and term.weight > _KIND_WORD_WEIGHT - 0.01
                and stemmed not in subject
                and not _only_names_kind(term, kind)
            ):
                weighty = max(term.weight, _FOCUS_WEIGHT)
                term = Term(stemmed, weighty, term.is_name, is_focus=True, is_thing=stemmed in focus.things)
            found.setdefault(stemmed, term)
    return tuple(found.values())


def _written_as(meaning: str) -> list[str]:
    """Words under which guides write of a meaning: those known to be usual, else the first of the lexicon."""
    usual = _WRITTEN_AS.get(meaning)
    return usual.split() if usual else SYNONYMS[meaning].split()[:_SYNONYMS_ASKED_MAX]


def _own_parts(word: str) -> tuple[str, ...]:
    """A hyphenated word in its last two parts, which is how guides mostly write it."""
    return parts(word)[-2:]


def _query(text: str, terms: tuple[Term, ...], context: list[Term], earlier: Iterable[str]) -> str:
    # What a phrase means ("get in": admission) is asked for beside the phrase.
    present = set(content_stems(text, opened=False))
    meant = [word for word in tokens(text) if is_content(word) and "-" not in word and stem(word) not in present]
    query = " ".join([text.strip(), *dict.fromkeys(meant)])
    if context:
        wanted = {term.stem for term in context}
        words = (word for previous in earlier for word in tokens(previous))
        added = [word for word in words if stem(word) in wanted and is_content(word)]
        query = " ".join([query.rstrip("?!. "), *dict.fromkeys(word.lower() for word in added)])
    weighty = [term for term in (*terms, *context) if term.weight > LIGHT_WEIGHT]
    # "How much is the audio guide?" is about the audio guide: its price words would find the ticket office.
    specific = [term for term in weighty if term.weight >= _SPECIFIC_WEIGHT and "price" not in meanings(term.stem)]
    if 0 < len(weighty) <= _EXPANDABLE_TERMS_MAX or len(specific) == 1:
        kinds = [
            meaning
            for term in specific or weighty
            for meaning in sorted(meanings(term.stem))
            if not meaning.startswith(ALIKE)
        ]
        if len(specific) != 1:
            kinds = [kind for kind in kinds if kind in _WRITTEN_AS]
        # By spelling, not by stem: the search does not know that a bike is a bicycle.
        written = {word.lower() for word in tokens(query)}
        extra = [word for kind in kinds[:2] for word in _written_as(kind) if word not in written]
        query = " ".join([query, *dict.fromkeys(extra)])
    return query
