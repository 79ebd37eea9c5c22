"""Takes personal data out of texts before they are kept: e-mail addresses, phone, card and account numbers.

By rules, in time linear in the text: each looks at runs of signs that are found in one pass, and never again at the
same place. It does not know names, addresses, or numbers that are spoken as words; a hook of the operator may.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import structlog

from server.store.records import HeardText, Record, SaidText, StoppedText, ToolCall

__all__ = ["RULES", "Redaction", "RedactionHook", "is_card_number", "is_iban"]

_log = structlog.get_logger("liveavatar.store")

RedactionHook = Callable[[str], str]
"""Gives a text without what must not be kept; called in a thread, after the rules."""

UNREDACTED: Final = "[not kept: redaction failed]"

# Each pattern is a run of signs that ends where none of them comes, so that there is nothing to try again. Lengths have
# bounds: RFC 5321 4.5.3.1 for addresses; ISO 13616 has IBANs of 15 to 34 signs, ISO/IEC 7812 cards of 12 to 19
# digits; E.164 has numbers of at most 15 digits, and of less than 7 nobody knows what they are.
_EMAIL_AROUND: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_EMAIL_BEHIND: Final = re.compile(r"(?:[^\W_]|-){1,63}(?:\.(?:[^\W_]|-){1,63}){1,8}")
_DIGITS: Final = re.compile(r"\+?\(?\d(?:[ \t\u00a0\u202f().\-–/]{0,3}\d){6,}")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \u00a0\u202f-]?[A-Za-z0-9]){11,34}")
_IBAN_SIGNS: Final = range(15, 35)
_CARD_DIGITS: Final = range(12, 20)
_PHONE_DIGITS: Final = range(7, 16)
# A date, with an hour or without; a round amount.
_NO_PHONE: Final = re.compile(
    r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4})(?:[ \t]\d{1,2})?"
    r"|\d{1,3}(?:[ .\u00a0\u202f]\d{3})*[ .\u00a0\u202f]000"
)
# As people write numbers for others to call: in international form, with a leading zero, or in groups.
_CALLABLE: Final = re.compile(r"\+|\(?0|.*\d[ \t\u00a0\u202f().\-–/]{1,3}\d")

_Span = tuple[int, int]


def _emails(text: str) -> Iterator[_Span]:
    at = text.find("@")
    done = 0
    while at >= 0:
        # At most 64 signs before it are looked at, and at most 500 behind.
        before = _EMAIL_AROUND.search(text[max(done, at - 64) : at])
        behind = _EMAIL_BEHIND.match(text, at + 1)
        if before is not None and behind is not None:
            yield at - len(before.group()), behind.end()
            done = behind.end()
        at = text.find("@", max(at + 1, done))


def _ibans(text: str) -> Iterator[_Span]:
    at = 0
    while (found := _IBAN.search(text, at)) is not None:
        end = _iban_end(found.group())
        if end:
            yield found.start(), found.start() + end
        at = found.start() + max(end, 4)


def _iban_end(run: str) -> int:
    """Where the IBAN that ``run`` begins with ends, for a word may follow it; 0 if it begins with none."""
    places = [place for place, char in enumerate(run) if char.isalnum()][: _IBAN_SIGNS.stop]
    begin = "".join(str(int(run[place], 36)) for place in places[:4])
    rest, end = 0, 0
    # What is left of the division by 97 goes from one length to the next, so that each costs the same.
    for number, place in enumerate(places[4:], 5):
        value = int(run[place], 36)
        rest = (rest * (10 if value < 10 else 100) + value) % 97
        if number in _IBAN_SIGNS and int(f"{rest}{begin}") % 97 == 1:
            end = place + 1
    return end


def is_iban(written: str) -> bool:
    """Whether its check digits are right (ISO 7064, MOD 97-10)."""
    signs = "".join(char for char in written if char.isalnum()).upper()
    if not signs.isascii() or len(signs) not in _IBAN_SIGNS:
        return False
    return int("".join(str(int(char, 36)) for char in signs[4:] + signs[:4])) % 97 == 1


def _cards(text: str) -> Iterator[_Span]:
    for found in _DIGITS.finditer(text):
        places = [place for place in range(*found.span()) if text[place].isdecimal()]
        # With a plus it is a phone number, as long as it can be one: every tenth has a card's check digit.
        if len(places) >= _CARD_DIGITS.start and not (found.group()[0] == "+" and len(places) in _PHONE_DIGITS):
            digits = [int(text[place]) for place in places]
            yield from ((places[first], places[end - 1] + 1) for first, end in _card_numbers(digits))


def _card_numbers(digits: list[int]) -> Iterator[_Span]:
    """Where card numbers are among digits: the longest that checks, from the left."""
    # Sums of every second digit doubled, up to each place: beginning with the first digit, and with the second. So that
    # the sum of any stretch is one subtraction.
    sums: tuple[list[int], list[int]] = ([0], [0])
    for place, digit in enumerate(digits):
        doubled = digit * 2 - 9 * (digit > 4)
        sums[0].append(sums[0][-1] + (doubled if place % 2 else digit))
        sums[1].append(sums[1][-1] + (digit if place % 2 else doubled))
    first = 0
    while first < len(digits):
        for end in range(min(first + _CARD_DIGITS.stop - 1, len(digits)), first + _CARD_DIGITS.start - 1, -1):
            upto = sums[(end - 1) % 2]
            if (upto[end] - upto[first]) % 10 == 0 and is_card_number("".join(map(str, digits[first:end]))):
                yield first, end
                first = end
                break
        else:
            first += 1


def is_card_number(digits: str) -> bool:
    """Whether it is as long as a card's number and its check digit is right (ISO/IEC 7812-1, annex B)."""
    if len(digits) not in _CARD_DIGITS or not digits.isdecimal() or digits[0] == "0" or len(set(digits)) == 1:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _phones(text: str) -> Iterator[_Span]:
    for found in _DIGITS.finditer(text):
        (start, end), run = found.span(), found.group()
        # Within a word or an identifier it is a part of that.
        if _is_word(text[max(0, start - 1) : start]) or _is_word(text[end : end + 1]):
            continue
        is_long = sum(char.isdecimal() for char in run) in _PHONE_DIGITS
        if is_long and _CALLABLE.match(run) and not _NO_PHONE.fullmatch(run):
            yield start, end


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


RULES: Final[tuple[tuple[str, Callable[[str], Iterable[_Span]]], ...]] = (
    ("[e-mail]", _emails),
    ("[iban]", _ibans),
    ("[card number]", _cards),
    ("[phone number]", _phones),
)
"""What stands in place of what is found, and what finds it; in this order, each in what the one before it left."""


class Redaction:
    """Redacts records: what was said, heard, stopped and searched for. Give its `redact` to the journal.

    Args:
        rules: whether the rules are applied.
        hook: applied after them; where it fails, the text is not kept at all.
    """

    def __init__(self, *, rules: bool = True, hook: RedactionHook | None = None) -> None:
        self._rules = RULES if rules else ()
        self._hook = hook

    def redact(self, record: Record) -> Record:
        """The record without what must not be kept; the same one where nothing was found. Never raises."""
        match record:
            case SaidText(text=text) | HeardText(text=text) | StoppedText(text=text):
                redacted = self.text(text)
                return record if redacted == text else msgspec.structs.replace(record, text=redacted)
            case ToolCall(arguments=str(arguments)):
                redacted = self.text(arguments)
                return record if redacted == arguments else msgspec.structs.replace(record, arguments=redacted)
        return record

    def text(self, text: str) -> str:
        """A text without what must not be kept."""
        for instead, rule in self._rules:
            text = _replaced(text, rule(text), instead)
        if self._hook is None:
            return text
        try:
            redacted: object = self._hook(text)
            if isinstance(redacted, str):
                redacted.encode()
                return redacted
            error = type(redacted).__name__
        except Exception as failure:  # noqa: BLE001 - the operator's code: whatever it raises, the text must not be kept
            error = type(failure).__name__
        _log.error("redaction hook failed; the text is not kept", error=error)
        return UNREDACTED


def _replaced(text: str, spans: Iterable[_Span], instead: str) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        if start >= at:
            pieces += [text[at:start], instead]
            at = end
    return text if not pieces else "".join([*pieces, text[at:]])
