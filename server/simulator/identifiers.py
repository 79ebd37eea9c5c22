"""Identifiers of sessions, items, responses, calls and events: random, or repeatable from a seed."""

import random
import secrets
import string
from collections.abc import Callable
from typing import TypeAlias

# From a prefix ("item", "resp", "event" ...) to a fresh identifier.
Ids: TypeAlias = Callable[[str], str]

_ALPHABET = string.ascii_letters + string.digits
# With the longest prefix 27 characters: clients keep item ids to 32.
_RANDOM_CHARS = 21
_RANDOM_BYTES = 16


def random_ids(prefix: str) -> str:
    """An identifier that no one can guess, 128 bits."""
    return f"{prefix}_{secrets.token_urlsafe(_RANDOM_BYTES)[:_RANDOM_CHARS].replace('-', 'A').replace('_', 'B')}"


def seeded_ids(seed: str) -> Ids:
    """Identifiers that come again in the same order for the same seed."""
    source = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def ids(prefix: str) -> str:
        return f"{prefix}_{''.join(source.choices(_ALPHABET, k=_RANDOM_CHARS))}"

    return ids
