"""Patterns that are looked for in a text in time linear in its length, whatever the text and the patterns.

A restricted syntax of regular expressions, run as one automaton for all patterns at once; nothing is ever tried twice,
so no text can make it slow. It finds whether and which, not where.

The syntax: characters stand for themselves; ``.`` any one; ``[abc]``, ``[a-z]``, ``[^abc]``; ``\\d``, ``\\w``, ``\\s``
and their opposites ``\\D``, ``\\W``, ``\\S``; ``\\b`` the edge of a word; ``( )`` and ``|``; ``?``, ``*``, ``+`` and
``{m,n}`` behind any of these. A backslash before a sign takes its meaning away. Case and the width of letters do not
count. There are no look-arounds and no back-references: those need more than linear time.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

# Of all patterns together, in states: a text of the greatest length is then looked through within two seconds in the
# worst case, in pieces, and in milliseconds as a rule.
STATES_MAX: Final = 5_000
# Of {m,n}.
REPEATS_MAX: Final = 50
# How deep groups may stand in each other.
_DEPTH_MAX: Final = 20
# Steps that are remembered; then it begins anew to remember.
_STEPS_KEPT: Final = 20_000
# Characters after which others have their turn.
_PIECE_CHARS: Final = 64

_Test = Callable[[str], bool]


class BadPattern(Exception):
    """A pattern cannot be read; the text says why, for whoever wrote it."""


@dataclass(slots=True)
class _State:
    """One of a character test, an edge of a word, a fork, or the end of a pattern (its number)."""

    test: _Test | None = None
    is_edge: bool = False
    ends: int = -1
    nexts: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a pattern that can be built as often as it is needed, in front of a state; it returns its first."""

    build: Callable[[int], int]


class Patterns:
    """Patterns by their numbers.

    Raises:
        BadPattern: one of them cannot be read, matches nothing at all, or they are too many together.
    """

    def __init__(self) -> None:
        self._states: list[_State] = []
        self._starts: list[int] = []
        self._cores: dict[frozenset[int], int] = {}
        self._members: list[frozenset[int]] = []
        self._steps: dict[tuple[int, bool, str], tuple[int, int]] = {}

    def add(self, pattern: str) -> int:
        """Adds a pattern of the syntax above; returns its number."""
        return self._add(_Reader(pattern, self).read())

    def add_phrase(self, phrase: str) -> int:
        """Adds words that must stand there as they are, as words of their own; any blank is as good as another."""
        words = folded(phrase).split()
        if not words:
            raise BadPattern("it is empty")
        blanks = self.repeated(self.one(str.isspace), 1, None)
        parts = [self.edge() if _is_word(words[0][0]) else self.sequence([])]
        for number, word in enumerate(words):
            parts += [blanks] * (number > 0) + [self.literal(char) for char in word]
        parts.append(self.edge() if _is_word(words[-1][-1]) else self.sequence([]))
        return self._add(self.sequence(parts))

    def _add(self, part: _Part) -> int:
        number = len(self._starts)
        start = part.build(self._state(_State(ends=number)))
        self._starts.append(start)
        if any(self._states[state].ends == number for state in self._closure({start}, at_edge=True)):
            raise BadPattern("it matches any text, for it can be empty")
        self._cores.clear()
        self._members.clear()
        self._steps.clear()
        return number

    # Building

    def _state(self, state: _State) -> int:
        if len(self._states) >= STATES_MAX:
            raise BadPattern("the patterns are too large together")
        self._states.append(state)
        return len(self._states) - 1

    def one(self, test: _Test) -> _Part:
        """One character that passes a test."""
        return _Part(lambda then: self._state(_State(test=test, nexts=[then])))

    def literal(self, char: str) -> _Part:
        """This very character, folded already."""
        return self.one(char.__eq__)

    def edge(self) -> _Part:
        """The edge of a word."""
        return _Part(lambda then: self._state(_State(is_edge=True, nexts=[then])))

    def sequence(self, parts: Sequence[_Part]) -> _Part:
        """One behind the other."""

        def build(then: int) -> int:
            for part in reversed(parts):
                then = part.build(then)
            return then

        return _Part(build)

    def either(self, parts: Sequence[_Part]) -> _Part:
        """One of them."""
        return _Part(lambda then: self._state(_State(nexts=[part.build(then) for part in parts])))

    def repeated(self, part: _Part, least: int, most: int | None) -> _Part:
        """So many times; None is any number."""

        def build(then: int) -> int:
            if most is None:
                fork = self._state(_State())
                self._states[fork].nexts = [part.build(fork), then]
                then = fork
            else:
                for _ in range(most - least):
                    then = self._state(_State(nexts=[part.build(then), then]))
            for _ in range(least):
                then = part.build(then)
            return then

        return _Part(build)

    # Looking

    async def find(self, text: str) -> int | None:
        """The number of a pattern that is found in ``text``, of the first that ends there; None if none is.

        A checkpoint every few characters, so that others have their turn.
        """
        core, before = self._core(frozenset()), False
        text = folded(text)
        for place, char in enumerate(text):
            if place % _PIECE_CHARS == 0:
                await trio.lowlevel.checkpoint()
            is_word = _is_word(char)
            core, found = self._step(core, char, at_edge=is_word is not before)
            if found >= 0:
                return found
            before = is_word
        found = self._found(self._closure({*self._members[core], *self._starts}, at_edge=before))
        return found if found >= 0 else None

    def _core(self, members: frozenset[int]) -> int:
        known = self._cores.get(members)
        if known is None:
            known = self._cores[members] = len(self._members)
            self._members.append(members)
        return known

    def _step(self, core: int, char: str, *, at_edge: bool) -> tuple[int, int]:
        step = self._steps.get((core, at_edge, char))
        if step is None:
            members = self._members[core]
            reached = self._closure({*members, *self._starts}, at_edge=at_edge)
            states = [self._states[number] for number in reached]
            after = frozenset(state.nexts[0] for state in states if state.test is not None and state.test(char))
            if len(self._steps) >= _STEPS_KEPT:
                self._cores.clear()
                self._members.clear()
                self._steps.clear()
                core = self._core(members)
            step = self._steps[core, at_edge, char] = (self._core(after), self._found(reached))
        return step

    def _found(self, reached: set[int]) -> int:
        return min((self._states[number].ends for number in reached if self._states[number].ends >= 0), default=-1)

    def _closure(self, states: set[int], *, at_edge: bool) -> set[int]:
        """All states that are reached without another character."""
        reached: set[int] = set()
        waiting = list(states)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            state = self._states[number]
            if state.test is None and (at_edge or not state.is_edge):
                waiting += state.nexts
        return reached


def folded(text: str) -> str:
    """A text as it is compared: case, width and composition of letters do not count, nor what cannot be seen."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in unicodedata.normalize("NFKC", text) if not _is_ignored(char))


def _is_ignored(char: str) -> bool:
    return not char.isascii() and unicodedata.category(char) in ("Cf", "Co", "Cs", "Mn") and not char.isspace()


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


_CLASSES: Final[dict[str, _Test]] = {
    "d": str.isdigit,
    "w": _is_word,
    "s": str.isspace,
    "D": lambda char: not char.isdigit(),
    "W": lambda char: not _is_word(char),
    "S": lambda char: not char.isspace(),
}


class _Reader:
    """Reads one pattern."""

    def __init__(self, text: str, patterns: Patterns) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._patterns = patterns

    def read(self) -> _Part:
        part = self._either()
        if self._at < len(self._text):
            raise BadPattern("a ) closes nothing")
        return part

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._next()
        self._at += 1
        return char

    def _either(self) -> _Part:
        arms = [self._sequence()]
        while self._next() == "|":
            self._take()
            arms.append(self._sequence())
        return arms[0] if len(arms) == 1 else self._patterns.either(arms)

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return self._patterns.sequence(parts)

    def _repeated(self, part: _Part) -> _Part:
        counts = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        while (sign := self._next()) and sign in "?*+{":
            self._take()
            least, most = self._counts() if sign == "{" else counts[sign]
            part = self._patterns.repeated(part, least, most)
        return part

    def _counts(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        inside = self._text[self._at : end] if end >= 0 else ""
        first, comma, last = inside.partition(",")
        if not first.isascii() or not first.isdigit() or not ((last.isascii() and last.isdigit()) or not last):
            raise BadPattern("a { must be followed by m} or m,} or m,n}; a brace itself is written \\{")
        self._at = end + 1
        least = int(first[:9])
        most = int(last[:9]) if last else None if comma else least
        if least > REPEATS_MAX or (most is not None and not least <= most <= REPEATS_MAX):
            raise BadPattern(f"{{{inside}}} is more than {REPEATS_MAX} times, or the wrong way round")
        return least, most

    def _atom(self) -> _Part:
        char = self._take()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._patterns.one(self._class())
            case ".":
                return self._patterns.one(lambda _: True)
            case "\\":
                return self._escaped()
            case "?" | "*" | "+" | "{":
                raise BadPattern(f"there is nothing to repeat before {char}")
            case "^" | "$":
                raise BadPattern(f"{char} is not known here; the edge of a word is \\b, and the sign itself \\{char}")
            case _:
                return self._literal(char)

    def _literal(self, text: str) -> _Part:
        return self._patterns.sequence([self._patterns.literal(char) for char in folded(text)])

    def _group(self) -> _Part:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise BadPattern(f"groups stand deeper than {_DEPTH_MAX} in each other")
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._next() == "?":
            raise BadPattern("(? is not known here")
        part = self._either()
        if self._take() != ")":
            raise BadPattern("a ( is not closed")
        self._depth -= 1
        return part

    def _escaped(self) -> _Part:
        char = self._take()
        if char == "b":
            return self._patterns.edge()
        if char in _CLASSES and char:
            return self._patterns.one(_CLASSES[char])
        return self._literal(self._plain(char))

    @staticmethod
    def _plain(char: str) -> str:
        if not char or char.isalnum():
            raise BadPattern(f"\\{char} is not known here")
        return char

    def _class(self) -> _Test:
        is_not = self._next() == "^"
        self._at += is_not
        tests: list[_Test] = []
        while (char := self._take()) != "]":
            if not char:
                raise BadPattern("a [ is not closed")
            if char == "\\":
                char = self._take()
                if char in _CLASSES and char:
                    tests.append(_CLASSES[char])
                    continue
                self._plain(char)
            last = char
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._take()
                last = self._take()
                if last == "\\":
                    last = self._plain(self._take())
            tests.append(_between(char, last))
        if not tests:
            raise BadPattern("[] holds nothing")
        return lambda char: any(test(char) for test in tests) is not is_not


def _between(first: str, last: str) -> _Test:
    if first > last:
        raise BadPattern(f"{first}-{last} is the wrong way round")
    ranges = [(first, last)]
    for small, great in ((first.lower(), last.lower()), (first.upper(), last.upper())):
        # What is looked through is folded, so that a range of capitals means the small ones.
        if len(small) == len(great) == 1 and small <= great and first.isalpha() and last.isalpha():
            ranges.append((small, great))
    return lambda char: any(low <= char <= high for low, high in ranges)
