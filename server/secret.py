"""A secret that can be used but not printed; it does not say where secrets come from or how long they live."""

import hmac
from typing import NoReturn, final

__all__ = ["Secret"]

MASK = "***"


@final
class Secret:
    """Wraps a secret text, so that no log line, error message or dump shows it by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret text: at the place of its use only, never into a variable that outlives it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
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
