"""The user whom a client names, by whom all their sessions are found and erased. It does not ask who they are."""

import contextlib
from typing import Final

from protocol.endings import EndReason
from protocol.errors import ClientFault

__all__ = ["PERSON_MAX_CHARS", "SAFETY_IDENTIFIER", "named_person", "person_in_header"]

SAFETY_IDENTIFIER: Final = "openai-safety-identifier"
"""The header by which clients of the services name their user."""
# An e-mail address (RFC 5321 4.5.3.1.3), though a name that says nothing to others is better.
PERSON_MAX_CHARS: Final = 256


def named_person(name: str | None, where: str) -> str | None:
    """The name as it is kept, without space around it; None where nobody was named.

    Args:
        where: the field or header that it stood in, for the client.

    Raises:
        ClientFault: it is too long, or holds what cannot be shown: control characters, halves of a surrogate pair.
    """
    person = (name or "").strip()
    if not person:
        return None
    if len(person) > PERSON_MAX_CHARS:
        raise _refused(where, f"at most {PERSON_MAX_CHARS} characters; these are {len(person)}")
    if not all(sign.isprintable() for sign in person):
        raise _refused(where, "no control characters or other signs that cannot be shown")
    return person


def person_in_header(value: str | None) -> str | None:
    """The name in `SAFETY_IDENTIFIER`, whose value is latin-1 as HTTP has it; what is UTF-8 was meant so. Raises as

    `named_person`.
    """
    name = value
    if value is not None:
        with contextlib.suppress(UnicodeDecodeError):
            name = value.encode("latin-1").decode()
    return named_person(name, SAFETY_IDENTIFIER)


def _refused(where: str, wanted: str) -> ClientFault:
    return ClientFault(f"Invalid '{where}': {wanted}.", code="invalid_value", reason=EndReason.BAD_REQUEST)
