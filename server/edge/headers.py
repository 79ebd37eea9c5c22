"""The header fields of one request; it parses no field's value."""

from collections.abc import Iterable, Iterator

__all__ = ["Headers"]


class Headers:
    """Fields in their order, looked up without regard to case. Values are latin-1, as HTTP has them."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._items = tuple((name.lower(), value) for name, value in items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __contains__(self, name: str) -> bool:
        wanted = name.lower()
        return any(known == wanted for known, _ in self._items)

    def get(self, name: str) -> str | None:
        """Return the first value of a field, or None."""
        values = self.get_all(name)
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        """Return every value of a field, in order."""
        wanted = name.lower()
        return [value for known, value in self._items if known == wanted]

    def tokens(self, name: str) -> list[str]:
        """Return the members of a comma-separated field, all its lines together, without empty ones."""
        return [token for value in self.get_all(name) for part in value.split(",") if (token := part.strip())]

    def __repr__(self) -> str:
        # Values hold credentials.
        return f"Headers({', '.join(name for name, _ in self._items)})"
