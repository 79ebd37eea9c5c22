"""Filters in OData, the language of Azure AI Search: built from names and values, never by pasting text together.

Only what this adapter asks for: comparisons of one field with one value, all of which must hold.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Comparison = Literal["eq", "ge", "gt", "le"]

# A field's name as the service allows it; part of a complex field is named with slashes.
FIELD_NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_]{0,127}(?:/[A-Za-z][A-Za-z0-9_]{0,127}){0,9}"
_FIELD_NAME = re.compile(FIELD_NAME_PATTERN)
# Values are ids and paths. What is longer than any path of an operating system is none of them.
MAX_TEXT_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a field with a value."""

    field: str
    comparison: Comparison
    value: str | int


def is_field_name(text: str) -> bool:
    """Whether a field of an index can be called ``text``."""
    return _FIELD_NAME.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Whether ``text`` can be a value: not too long, without NUL and without halves of characters."""
    return len(text) <= MAX_TEXT_CHARS and "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def literal(value: str | int) -> str:
    """``value`` as a constant of the language: texts in single quotes, each quote inside them doubled.

    Nothing else has a meaning inside a quoted text, so nothing else is to be escaped (OData 4.01 ABNF, ``string``).
    Raises ValueError for a text that ``is_text`` refuses.
    """
    if isinstance(value, int):
        return str(int(value))
    if not is_text(value):
        raise ValueError("a text with NUL or half a character, or a very long one, cannot be filtered by")
    return "'" + value.replace("'", "''") + "'"


def all_of(conditions: Iterable[Condition]) -> str:
    """The filter that keeps what meets every condition; empty for no conditions, which keeps everything.

    Raises ValueError for a field name that is none, and for values as ``literal`` does.
    """
    terms: list[str] = []
    for condition in conditions:
        if not is_field_name(condition.field):
            raise ValueError(f"{condition.field[:64]!r} is no name of a field")
        terms.append(f"{condition.field} {condition.comparison} {literal(condition.value)}")
    return " and ".join(terms)
