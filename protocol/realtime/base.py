"""The base of every wire struct, and the sentinel that keeps absent, null and value apart. Holds no events itself.

The structs are *tolerant*: unknown fields are ignored, and a field whose set of values the services extend
(an item's ``type``, a voice, a turn detection) is a string and not an enumeration. A relay must let through what it
does not know; whoever must refuse it (the simulator) checks on top, in ``strict``.
"""

from typing import TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

T = TypeVar("T")

# A field that may be absent. ``null`` is a value of its own: in ``session.update`` it switches a feature off.
Maybe: TypeAlias = T | UnsetType


class Wire(msgspec.Struct, kw_only=True):
    """A JSON object of the Realtime protocol. Fields left ``UNSET`` are not encoded; ``None`` is encoded as null."""


__all__ = ["UNSET", "Maybe", "UnsetType", "Wire"]
