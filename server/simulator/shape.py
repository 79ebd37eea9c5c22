"""Checks of decoded JSON against what the service accepts, parameter by parameter. Knows no event and changes nothing.

The wire structs of ``protocol.realtime`` are tolerant, because a relay must be; the service is not. A check is called
with a value and its dotted path, and raises the ``Refusal`` that the service would answer with.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from server.simulator import refusal
from server.simulator.refusal import Refusal

Check: TypeAlias = Callable[[Any, str], None]

_JSON_NAMES = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
_JSON_NAMES |= {dict: "an object", type(None): "null"}


def _wrong_type(expected: str, value: Any, path: str) -> Refusal:
    got = _JSON_NAMES.get(type(value), "something else")
    message = f"Invalid type for '{path}': expected {expected}, but got {got} instead."
    return Refusal("invalid_type", message, path)


def anything(value: Any, path: str) -> None:
    """Accepts every value: a part that the service keeps opaque."""


def open_object(value: Any, path: str) -> None:
    """Any object: a JSON schema, for instance."""
    _object(value, path)


def boolean(value: Any, path: str) -> None:
    """true or false."""
    if not isinstance(value, bool):
        raise _wrong_type("a boolean", value, path)


def text(max_chars: int | None = None) -> Check:
    """A string, of at most ``max_chars`` characters."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type("a string", value, path)
        if max_chars is not None and len(value) > max_chars:
            message = f"Invalid '{path}': string too long. Expected a string with maximum length {max_chars}, but got"
            raise refusal.invalid(f"{message} a string with length {len(value)} instead.", path)

    return check


def one_of(*supported: str) -> Check:
    """A string out of an enumeration."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(f"one of {refusal.listed(supported)}", value, path)
        if value not in supported:
            raise refusal.unsupported(value, supported, path)

    return check


def number(low: float, high: float, *, whole: bool = False) -> Check:
    """A number from ``low`` to ``high``, both included."""
    expected, noun = ("an integer", "integer") if whole else ("a decimal", "decimal")

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise _wrong_type(expected, value, path)
        if value < low:
            message = f"Invalid '{path}': {noun} below minimum value. Expected a value >= {low:g}, but got"
            raise refusal.invalid(f"{message} {refusal.quoted(value)} instead.", path)
        if value > high:
            message = f"Invalid '{path}': {noun} above maximum value. Expected a value <= {high:g}, but got"
            raise refusal.invalid(f"{message} {refusal.quoted(value)} instead.", path)

    return check


def nullable(check: Check) -> Check:
    """What ``check`` accepts, or null."""

    def checked(value: Any, path: str) -> None:
        if value is not None:
            check(value, path)

    return checked


def array(check: Check, *, min_items: int = 0, max_items: int | None = None) -> Check:
    """A list whose every element passes."""

    def checked(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise _wrong_type("an array", value, path)
        if len(value) < min_items or (max_items is not None and len(value) > max_items):
            bound = f"at least {min_items}" if len(value) < min_items else f"at most {max_items}"
            raise refusal.invalid(f"Invalid '{path}': expected {bound} elements, but got {len(value)} instead.", path)
        for index, element in enumerate(value):
            check(element, f"{path}[{index}]")

    return checked


def obj(fields: Mapping[str, Check], *, required: tuple[str, ...] = ()) -> Check:
    """An object with these fields and no others. What is missing is told before what is unknown."""

    def check(value: Any, path: str) -> None:
        _object(value, path)
        prefix = f"{path}." if path else ""
        for name in required:
            if name not in value:
                raise refusal.missing(prefix + name)
        for name in value:
            if name not in fields:
                raise refusal.unknown(prefix + name)
        for name, inner in value.items():
            fields[name](inner, prefix + name)

    return check


def tagged(arms: Mapping[str, Check], *, by: str = "type") -> Check:
    """An object of one of several kinds, told apart by the string under ``by``."""
    kind = one_of(*arms)

    def check(value: Any, path: str) -> None:
        _object(value, path)
        where = f"{path}.{by}" if path else by
        if by not in value:
            raise refusal.missing(where)
        kind(value[by], where)
        arms[value[by]](value, path)

    return check


def word_or(supported: tuple[str, ...], otherwise: Check) -> Check:
    """A string out of an enumeration, or something that is no string and passes ``otherwise``."""
    word = one_of(*supported)

    def check(value: Any, path: str) -> None:
        (word if isinstance(value, str) else otherwise)(value, path)

    return check


def string_map(max_pairs: int, max_key_chars: int, max_value_chars: int) -> Check:
    """An object of strings, such as ``metadata``."""
    key_check, value_check = text(max_key_chars), text(max_value_chars)

    def check(value: Any, path: str) -> None:
        _object(value, path)
        if len(value) > max_pairs:
            message = f"Invalid '{path}': too many properties. Expected at most {max_pairs}, but got"
            raise refusal.invalid(f"{message} {len(value)} instead.", path)
        for name, inner in value.items():
            key_check(name, path)
            value_check(inner, f"{path}.{name[:max_key_chars]}")

    return check


def _object(value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise _wrong_type("an object", value, path or "event")
