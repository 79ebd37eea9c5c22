"""The token by which a client that was cut off proves that a session is its own. Knows no session."""

import hmac
from collections.abc import Callable


class ResumeTokens:
    """The tokens of one session: a new one at every resume.

    The one before stays valid until the client has said something under the new one: it may have been cut off before it
    learnt it. Then it is worthless, and so is one that was overheard.

    Args:
        new_token: makes a token that cannot be guessed (128 bits or more).
    """

    __slots__ = ("_before", "_new_token", "_present")

    def __init__(self, new_token: Callable[[], str]) -> None:
        self._new_token = new_token
        self._present = new_token()
        self._before: str | None = None

    @property
    def present(self) -> str:
        """The newest token."""
        return self._present

    def accepts(self, token: str) -> bool:
        """Whether this token is valid now. Takes the same time for any token."""
        known = [kept for kept in (self._present, self._before) if kept is not None]
        return any([hmac.compare_digest(token.encode(), kept.encode()) for kept in known])  # noqa: C419 - all, always

    def renew(self, used: str) -> str:
        """A new token, told to the client that resumes with the one ``used``; no other stays valid."""
        self._before = used
        self._present = self._new_token()
        return self._present

    def confirm(self) -> None:
        """The client said something, so it knows the newest token."""
        self._before = None
