"""Digests of credentials, which are kept in their place; and new credentials. It knows nobody's.

A plain SHA-256 suffices, without salt and without a slow function: those protect what people choose, which can be
guessed. Every credential made here has 256 random bits, so nobody who finds the digests can search for what has them,
nor are two alike, and a check costs microseconds. Credentials are compared by their digests in constant time: how far
two of them agree says nothing about the text.
"""

import hashlib
import secrets

__all__ = ["CLIENT_SECRET_PREFIX", "KEY_PREFIX", "TICKET_PREFIX", "digest_of", "new_credential"]

# So that whoever finds one in a log or a repository sees what it is and whose.
KEY_PREFIX = "la_"
TICKET_PREFIX = "tk_"
# OpenAI's own prefix: their clients look for it.
CLIENT_SECRET_PREFIX = "ek_"  # noqa: S105 - no secret, but how one begins

_RANDOM_BYTES = 32


def new_credential(prefix: str) -> str:
    """A new credential of 256 random bits, in characters that any header, URL and subprotocol can carry."""
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(credential: str) -> str:
    """What is kept of a credential: 64 hexadecimal characters. Takes any text, of strangers too."""
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
