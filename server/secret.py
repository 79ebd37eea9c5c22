"""A secret that can be used but not printed; it does not say where secrets come from or how long they live.

One that is given by reference has its value put in later, and anew whenever it changes; its holders keep the object.
"""

import hmac
from typing import NoReturn, Self, final

__all__ = ["Secret", "UnresolvedSecret"]

MASK = "***"


class UnresolvedSecret(Exception):
    """A secret was asked for its value before whoever looks up its reference had put it in."""


@final
class Secret:
    """Wraps a secret text, so that no log line, error message or dump shows it by accident.

    Attributes:
        reference: where the text is to be looked up; None where it was given itself. It is no secret.
    """

    __slots__ = ("_value", "reference")

    reference: str | None

    def __init__(self, value: str) -> None:
        self._value: str | None = value
        self.reference = None

    @classmethod
    def by_reference(cls, reference: str) -> Self:
        """Return a secret whose text is known from the first `renew` on."""
        secret = cls("")
        secret._value = None
        secret.reference = reference
        return secret

    @property
    def is_resolved(self) -> bool:
        """Whether the text is known."""
        return self._value is not None

    def renew(self, value: str) -> None:
        """Put in the newest text; all holders have it from now on. Raises `ValueError` for an empty one.

        Whoever keeps something derived from the text, such as a digest, does not learn of it: derive it when needed.
        """
        # An empty key is one that everybody knows.
        if not value:
            raise ValueError("a secret is not renewed to nothing")
        self._value = value

    def reveal(self) -> str:
        """Return the secret text: at the place of its use only, never into a variable that outlives it.

        Raises:
            UnresolvedSecret: it is known by reference only.
        """
        if self._value is None:
            raise UnresolvedSecret(f"the secret at {self.reference} has not been looked up")
        return self._value

    def __bool__(self) -> bool:
        # What is referred to is there, as far as anybody can tell.
        return self._value is None or bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self._value is None or other._value is None:
            return self is other
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    # Equal secrets would need equal hashes, and a table of them would compare them in its own, telling, time.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not to be pickled or copied to another process")
