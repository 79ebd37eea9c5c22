"""Greetings, thanks and the like, which need no search. Answers no questions about anything else."""

import re

from server.simulator.mind.phrasebook import phrase
from server.simulator.mind.question import without_scaffold
from server.simulator.mind.utterance import Utterance

_NAME = re.compile(
    r"\b(?:[Yy]ou are|[Yy]our name is|[Yy]ou['’]re|[Nn]amed"
    r"|[Cc]alled)\s+([A-Z][a-zà-ÿ]+)\b(?!\s+[a-z]+\s+(?:Realtime|API))"
)
_GREETING_GIVEN = re.compile(
    r"^\s*(?:greeting|greet (?:the )?\w+ with)\s*:\s*[\"“]?(.+?)[\"”]?\s*$", re.IGNORECASE | re.MULTILINE
)
_DICTATED = re.compile(r"^\s*say(?: exactly| this)?\s*:\s*(.+)$", re.IGNORECASE | re.DOTALL)
_NO_GREETING = re.compile(r"\bdo(?: not|n['’]t) greet\b", re.IGNORECASE)
_QUOTES = (("“", "”"), ('"', '"'), ("'", "'"))

_FILLER = (
    r"(?:\s|,|\.|!|\?|there|everyone|all|again|so much|very much|a lot|you|please|then|for now|dear|friend"
    r"|my|and|well|oh|ok|okay|great)*"
)
_GREETING = (
    r"(?:hi|hello|hey|good (?:morning|day|afternoon|evening)|greetings|hallo|guten tag|bonjour|hola|ciao|howdy|welcome)"
)
_THANKS = (
    r"(?:thanks?(?: you)?|thank you|thx|cheers|merci|danke|gracias|that (?:is|was) (?:very )?(?:helpful|kind"
    r"|all|great|nice)|perfect|wonderful)"
)
_GOODBYE = (
    r"(?:good ?bye|bye|bye bye|see you(?: later| soon| tomorrow)?|farewell|good night|have a (?:nice"
    r"|good) (?:day|evening|one)|ciao|adieu)"
)
_IDENTITY = (
    rf"(?:{_GREETING}\W+)?(?:who|what) (?:are you|is this|am i (?:talking|speaking) (?:to|with))|what is your name"
    r"|are you (?:a |an )?(?:robot|human|machine|ai|bot|real|person|computer)|introduce yourself"
    r"|tell me about yourself|(?:what|how) can you (?:do|help)(?: for)?(?: me)?|what do you do|help(?: me)?"
)
_HEARING = (
    rf"(?:{_GREETING}\W+)?(?:(?:can|do|could) you hear me(?: now)?|are you (?:there|listening)|is anybody there"
    r"|testing)"
)
_WELL = rf"(?:{_GREETING}\W+)?(?:how are you(?: doing| today)*|how do you do|how is it going|are you (?:ok|well|fine))"
_YES_OR_NO = (
    r"(?:yes|no|ok|okay|sure|fine|alright|all right|i see|understood|got it|cool|nice|good|yeah|yep|nope|right)"
)
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (key, re.compile(rf"^{_FILLER}(?:{pattern}){_FILLER}$", re.IGNORECASE))
    for key, pattern in (
        ("thanks", rf"(?:{_THANKS})(?:\W+(?:{_THANKS}))*"),
        ("goodbye", rf"(?:(?:{_THANKS})\W+)?(?:and\W+)?(?:{_GOODBYE})(?:\W+(?:{_GOODBYE}))*"),
        ("well", _WELL),
        ("greeting", rf"{_GREETING}(?:\W+[A-Z]?[a-z]+)?"),
        ("identity", _IDENTITY),
        ("hearing", _HEARING),
        ("acknowledge", _YES_OR_NO),
    )
)


def dictated(instructions: str | None) -> str | None:
    """The text of instructions such as "Say exactly: Welcome!", without quotes around it."""
    match = _DICTATED.match(instructions or "")
    if match is None:
        return None
    text = match.group(1).strip()
    for left, right in _QUOTES:
        if len(text) > 1 and text.startswith(left) and text.endswith(right) and left not in text[1:-1]:
            return text[1:-1].strip()
    return text


def greeting(instructions: str, language: str) -> str:
    """The greeting that the instructions give ("Greeting: ..."), else one with the persona's name."""
    given = _GREETING_GIVEN.search(instructions)
    if given:
        return given.group(1)
    return _named("greeting", instructions, language)


def forbids_greeting(entry: Utterance) -> bool:
    """Whether a system message says that the person was greeted already."""
    return entry.role == "system" and _NO_GREETING.search(entry.text) is not None


def small_talk(text: str, instructions: str, language: str) -> str | None:
    """The reply to a text that is nothing but small talk, else None."""
    for key, pattern in _RULES:
        if pattern.match(text.strip()) or pattern.match(without_scaffold(text)):
            if key == "greeting":
                return greeting(instructions, language)
            if key == "identity":
                return _named(key, instructions, language)
            return phrase(key, language)
    return None


def _named(key: str, instructions: str, language: str) -> str:
    name = _NAME.search(instructions)
    if name and name.group(1) not in ("The", "An", "A", "Azure", "OpenAI"):
        return phrase(f"{key}_named", language, name=name.group(1))
    return phrase(key, language)
