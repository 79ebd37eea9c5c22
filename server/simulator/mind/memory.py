"""What the conversation itself can answer: names, notes, what was asked and said. Knows no sources."""

import re
from collections.abc import Sequence

from server.simulator.mind.phrasebook import phrase
from server.simulator.mind.question import without_scaffold
from server.simulator.mind.utterance import Utterance
from server.simulator.mind.words import begin_alike, content_stems, is_content, meanings, plain, stem, tokens

_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "very first": 0}
_ASKED = re.compile(
    r"\bwhat (?:did i|have i|was i|i)(?: just| first)? (?:ask(?:ed|ing)?|said|say|saying|want(?:ed)? to know)(?: you)?"
    r"(?: just now| first| before(?: that)?| last| earlier| previously| at first| at the beginning)?\s*\W*$"
    r"|\b(?:what|repeat|which) (?:was|is|were)? ?my (\w+ )?(\w+ )?questions?\b",
    re.IGNORECASE,
)
_ASKED_COUNT = re.compile(r"\bhow many (?:questions|times) (?:did|have) i ask", re.IGNORECASE)
_TALKED = re.compile(
    r"\bwhat (?:have we|did we|were we) (?:talk|speak|discuss|chat)|\bsummari[sz]e (?:our|this"
    r"|the) (?:conversation|talk|chat)",
    re.IGNORECASE,
)
_REPEAT = re.compile(
    r"^(?:please |can you |could you |would you |sorry,? )*(?:repeat|say)(?: that| it| this| your (?:last )?answer"
    r"| what you (?:just )?said)?(?: again)?(?: once more| one more time)?(?:,? please)?\W*$"
    r"|^(?:pardon|sorry|excuse me|come again|what was that|once more|again)(?: me)?(?:,? please)?\W*$"
    r"|^(?:please )?(?:can|could) you (?:please )?(?:repeat|say) (?:that|it|your answer)\b"
    r"|\bwhat did you (?:just )?(?:say|answer|tell me)(?: just now| before| last)?\W*$|^i (?:did not"
    r"|didn'?t) (?:hear|catch|get) ",
    re.IGNORECASE,
)
_SAID_ABOUT = re.compile(
    r"\bwhat (?:did|have) (you|i) (?:just )?(?:say|said|tell|told|ask|asked|mention|mentioned)(?: me"
    r"| you)? (?:about|on|for) (.+)$"
    r"|\bwhat (?:was|were) (?:it )?(you) (?:said|saying) about (.+)$",
    re.IGNORECASE,
)
_NAME_IS = re.compile(
    r"\b(?:my name(?:['’]s| is)|i(?: a|['’])m called|(?:please )?call me"
    r"|i am named)\s+([^\W\d_][\w'’-]*(?:\s+[A-Z][\w'’-]*)*)",
    re.IGNORECASE,
)
_I_AM_NAME = re.compile(r"^(?i:hi|hello|hey)?[\s,!.]*(?:I am|I['’]m) ([A-Z][\w'’-]+)(?:[.!,]|$)")
_ASKS_NAME = re.compile(
    r"\b(?:what(?:['’]?s| is| was)|do you (?:know|remember)|tell me|say) my name\b|\bwho am i\b|\bremember who i am\b",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"\b(?:please )?(?:remember|note|keep in mind|don['’]?t forget)(?: that| this| for me)*[:,]?\s+(.+)$", re.IGNORECASE
)
_ASKS_NOTE = re.compile(
    r"\bwhat (?:did|do|should|was|were|have) (?:i|you) (?:ask|asked|tell|told|want"
    r"|say)?\s*(?:you )?(?:supposed )?(?:to )?"
    r"(?:remember|note|keep in mind)|\bwhat (?:do|can) you remember\b",
    re.IGNORECASE,
)
_ABOUT_ME = re.compile(r"\b(?:my|i|mine)\b", re.IGNORECASE)
_STATEMENT = re.compile(r"^(?:well|so|and|by the way|btw|hi|hello)?[\s,]*(?:i|my|we|our)(?:['’]\w+)?\b", re.IGNORECASE)
_WANTS_TO_KNOW = re.compile(
    r"\bi(?:['’]d| would| want| need| am|['’]m)?\b.{0,20}\b(?:know|like to|look(?:ing)? for|wonder\w*|ask"
    r"|interested|find|curious"
    r"|hear|learn|need|understand|tell)\b|\?",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\?|^(?:and |but |so |please |ok |okay )*(?:what|who|whom|whose|where|when|why|how|which|is|are|was|were|do"
    r"|does|did|can|could|will"
    r"|would|should|may|has|have|tell|show|give|explain|describe)\b",
    re.IGNORECASE,
)
_PERSONS = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "am": "are", "myself": "yourself", "i'm": "you are",
    "i've": "you have", "i'd": "you would", "i'll": "you will", "you": "I", "your": "my", "yours": "mine", "we": "you",
    "our": "your", "us": "you",
}  # fmt: skip
_SUMMARY_MAX = 5


def is_asking(text: str) -> bool:
    """Whether a text asks for something, with or without a question mark."""
    return _ASKING.search(without_scaffold(plain(text))) is not None


def recall(history: Sequence[Utterance], language: str) -> str | None:
    """What to say when the last user utterance of `history` is about the conversation itself, else None."""
    at = max(index for index, utterance in enumerate(history) if utterance.role == "user")
    text = without_scaffold(plain(history[at].text))
    before = history[:at]
    mine = [utterance.text for utterance in before if utterance.role == "user" and utterance.text.strip()]
    yours = [utterance.text for utterance in before if utterance.role == "assistant" and utterance.text.strip()]
    return (
        _about_names(text, [*mine, history[at].text], language)
        or _about_notes(text, mine, language)
        or _about_talk(text, mine, yours)
        or _about_me(text, mine)
        or _statement(text, language)
    )


def _about_names(text: str, mine: Sequence[str], language: str) -> str | None:
    if _ASKS_NAME.search(text):
        for earlier in reversed(mine[:-1]):
            if name := _name_in(earlier):
                return f"Your name is {name}."
        return "I don't know your name: you have not told me."
    name = _name_in(mine[-1])
    if name and not is_asking(_NAME_IS.sub("", text)):
        return phrase("noted_name", language, name=name)
    return None


def _name_in(text: str) -> str | None:
    match = _NAME_IS.search(plain(text)) or _I_AM_NAME.search(plain(text))
    if match is None:
        return None
    words = match.group(1).split()
    # Typed without capitals, only the next word is surely the name.
    return " ".join(words) if words[0][:1].isupper() else words[0].capitalize()


def _about_notes(text: str, mine: Sequence[str], language: str) -> str | None:
    if _ASKS_NOTE.search(text):
        notes = [_turned(note) for earlier in mine if not is_asking(earlier) and (note := _note_in(earlier))]
        if not notes:
            return "You have not asked me to remember anything."
        return f"You asked me to remember that {', and that '.join(notes)}."
    if is_asking(text):
        return None
    note = _note_in(text)
    return phrase("noted", language, text=_turned(note)) if note else None


def _note_in(text: str) -> str | None:
    match = _NOTE.search(plain(text))
    return match.group(1).strip(" .!") if match else None


def _about_talk(text: str, mine: Sequence[str], yours: Sequence[str]) -> str | None:
    said = _SAID_ABOUT.search(text)
    if said:
        who, topic = (said.group(1), said.group(2)) if said.group(1) else (said.group(3), said.group(4))
        return _said_about(who.lower(), topic.strip(" ?.!"), mine, yours)
    if _ASKED_COUNT.search(text):
        count = sum(map(is_asking, mine))
        return f"You asked me {count} question{'' if count == 1 else 's'} before this one."
    if _TALKED.search(text):
        if not mine:
            return "We have only just begun."
        return "You said: " + " ".join(f"“{earlier.strip()}”" for earlier in mine[-_SUMMARY_MAX:])
    asked = _ASKED.search(text)
    if asked:
        return _asked(text.lower(), "question" in text.lower() or "ask" in text.lower(), mine)
    if _REPEAT.search(text):
        return yours[-1] if yours else "I have not said anything yet."
    return None


def _asked(text: str, is_question: bool, mine: Sequence[str]) -> str:
    questions = [earlier for earlier in mine if is_asking(earlier)] if is_question else []
    pool = questions or list(mine)
    if not pool:
        return "You have not asked me anything before this."
    place = next((index for word, index in _ORDINALS.items() if re.search(rf"\b{word}\b", text)), None)
    if place is not None and place >= len(pool):
        return f"You have asked me only {len(pool)} question{'' if len(pool) == 1 else 's'}."
    chosen = pool[-1] if place is None else pool[place]
    return f"You {'asked' if questions else 'said'}: “{chosen.strip()}”"


def _said_about(who: str, topic: str, mine: Sequence[str], yours: Sequence[str]) -> str:
    wanted = content_stems(topic)
    for earlier in reversed(yours if who == "you" else mine):
        present = content_stems(earlier)
        if wanted and all(_among(word, present) for word in wanted):
            return f"{'I' if who == 'you' else 'You'} said: {earlier.strip()}"
    # The answer may say it in other words than the question that it followed.
    return f"I don't know: {'I have' if who == 'you' else 'you have'} not said anything about {topic}."


def _among(word: str, present: Sequence[str]) -> bool:
    return any(word == other or begin_alike(word, other) or meanings(word) & meanings(other) for other in present)


def _about_me(text: str, mine: Sequence[str]) -> str | None:
    """Something that the user told about themselves and asks for now."""
    if not is_asking(text) or not _ABOUT_ME.search(text):
        return None
    wanted = [stem(word) for word in tokens(text) if is_content(word)]
    if not wanted:
        return None
    for earlier in reversed(mine):
        if _STATEMENT.match(earlier.strip()) and not is_asking(earlier) and not _WANTS_TO_KNOW.search(earlier):
            present = content_stems(earlier)
            if all(word in present for word in wanted):
                return f"You told me: {_turned(earlier.strip(' .!'))}."
    return None


def _statement(text: str, language: str) -> str | None:
    if _STATEMENT.match(text) and not is_asking(text) and not _WANTS_TO_KNOW.search(text):
        return phrase("noted", language, text=_turned(text.strip(" .!")))
    return None


def _turned(text: str) -> str:
    """The text with I and you exchanged."""
    words = re.split(r"(\W*\s+|^)", text)
    return " ".join(_PERSONS.get(word.lower().strip(",.;"), word) for word in "".join(words).split())
