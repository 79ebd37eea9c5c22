"""Which items the client must not see, and how the order of items reads without them. Decides nothing about tools."""


class HiddenItems:
    """The items of server-side tool calls: their ids, and the visible item that stands before each.

    Holds two ids per server tool call for the life of the session: a client may name any item at any time.
    """

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._before

    def hide(self, item_id: str) -> None:
        """Hides an item. Where it stands is not known yet: ``place`` tells."""
        self._before.setdefault(item_id, None)

    def place(self, item_id: str, previous_item_id: str | None) -> None:
        """Says which item stands before a hidden one."""
        self._before[item_id] = self.visible_before(previous_item_id)

    def visible_before(self, item_id: str | None) -> str | None:
        """The item itself if the client sees it, else the nearest one before it that it sees."""
        seen: set[str] = set()
        while item_id is not None and item_id in self._before and item_id not in seen:
            seen.add(item_id)
            item_id = self._before[item_id]
        return item_id
