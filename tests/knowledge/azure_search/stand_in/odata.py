"""A subset of OData's filter language, parsed and applied: eq ne gt ge lt le, and, or, not, parentheses."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.knowledge.azure_search.stand_in.errors import Refused, bad_parameter

Predicate = Callable[[Mapping[str, Any]], bool]
# name -> (type, filterable)
Schema = Mapping[str, tuple[str, bool]]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)(?![\w.])|(?P<word>[A-Za-z_][A-Za-z0-9_/]*)|(?P<mark>[()]))"
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a is not None and a > b,
    "ge": lambda a, b: a is not None and a >= b,
    "lt": lambda a, b: a is not None and a < b,
    "le": lambda a, b: a is not None and a <= b,
}


def parse(text: str, schema: Schema) -> Predicate:
    """What a filter keeps. Raises Refused."""
    parser = _Parser(_tokens(text), schema)
    predicate = parser.either()
    if parser.left:
        raise _syntax(f"Syntax error at '{parser.left[0][1]}'.")
    return predicate


def _syntax(message: str) -> Refused:
    return bad_parameter(f"Invalid expression: {message}", "$filter", "InvalidFilterExpression")


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _syntax(f"Syntax error at position {position}.")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], schema: Schema) -> None:
        self.left = tokens
        self._schema = schema

    def _next(self, *kinds: str) -> str:
        if not self.left or self.left[0][0] not in kinds:
            raise _syntax("Expression expected.")
        return self.left.pop(0)[1]

    def _is(self, word: str) -> bool:
        return bool(self.left) and self.left[0] in (("word", word), ("mark", word))

    def either(self) -> Predicate:
        first = self._both()
        while self._is("or"):
            self.left.pop(0)
            first = _or(first, self._both())
        return first

    def _both(self) -> Predicate:
        first = self._one()
        while self._is("and"):
            self.left.pop(0)
            first = _and(first, self._one())
        return first

    def _one(self) -> Predicate:
        if self._is("not"):
            self.left.pop(0)
            inner = self._one()
            return lambda document: not inner(document)
        if self._is("("):
            self.left.pop(0)
            inner = self.either()
            if not self._is(")"):
                raise _syntax("Close parenthesis expected.")
            self.left.pop(0)
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        name = self._next("word")
        if name not in self._schema:
            raise _syntax(f"Could not find a property named '{name}' on type 'search.document'.")
        kind, filterable = self._schema[name]
        if not filterable:
            raise _syntax(
                f"'{name}' is not a filterable field. Only filterable fields can be used in filter expressions."
            )
        word = self._next("word")
        if word not in _COMPARISONS:
            raise _syntax(f"Unknown operator '{word}'.")
        compare = _COMPARISONS[word]
        value = self._value(name, kind)
        return lambda document: compare(document.get(name), value)

    def _value(self, name: str, kind: str) -> object:
        if self.left and self.left[0][0] == "word" and self.left[0][1] in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[self.left.pop(0)[1]]
        written = self._next("text", "number")
        value: object = written[1:-1].replace("''", "'") if written.startswith("'") else int(written)
        if (kind == "Edm.String") != isinstance(value, str):
            raise _syntax(f"A binary operator with incompatible types was detected: '{name}' is of type {kind}.")
        return value


def _or(first: Predicate, second: Predicate) -> Predicate:
    return lambda document: first(document) or second(document)


def _and(first: Predicate, second: Predicate) -> Predicate:
    return lambda document: first(document) and second(document)
