"""How much of the assistant's speech was sent and how much was heard. Believes no more than can have been heard."""

from collections import OrderedDict
from dataclasses import dataclass

# Spoken items remembered: acknowledgements come for the current one, late ones for the last few.
_ITEMS_KEPT = 32


@dataclass(slots=True)
class SpokenItem:
    """The audio of one assistant item: times in ms of it, ``first_sent_at`` in seconds of the machine's clock."""

    item_id: str
    content_index: int
    first_sent_at: float
    sent_ms: float = 0.0
    acknowledged_ms: float | None = None
    truncated: bool = False

    def heard_ms(self, now: float) -> float:
        """What was heard: the last acknowledgement, else at most what can have been played since it was first sent."""
        if self.acknowledged_ms is not None:
            return self.acknowledged_ms
        return min(self.sent_ms, max(0.0, (now - self.first_sent_at) * 1000))


class Playback:
    """The ledger of sent and heard speech of one client."""

    __slots__ = ("_items", "_playhead_at", "current")

    def __init__(self) -> None:
        self._items: OrderedDict[str, SpokenItem] = OrderedDict()
        self._playhead_at = 0.0
        self.current: SpokenItem | None = None

    def sent(self, item_id: str, content_index: int, audio_ms: float, now: float) -> bool:
        """Counts a piece of audio about to be sent; False if nobody must hear it any more, for it was cut off."""
        item = self._items.get(item_id)
        if item is None:
            # An item's sound begins when the sound before it has been played.
            start = max(now, self._playhead_at)
            item = self._items[item_id] = SpokenItem(item_id, content_index, start)
            while len(self._items) > _ITEMS_KEPT:
                self._items.popitem(last=False)
        if item.truncated:
            return False
        item.sent_ms += audio_ms
        self._playhead_at = max(self._playhead_at, now) + audio_ms / 1000
        self.current = item
        return True

    def acknowledge(self, item_id: str, played_ms: float) -> bool:
        """Takes a client's word for what was heard: never less than before, never more than was sent.

        Returns False for an item that was not spoken here, or so long ago that it is forgotten.
        """
        item = self._items.get(item_id)
        if item is None:
            return False
        if not item.truncated:
            item.acknowledged_ms = max(item.acknowledged_ms or 0.0, min(played_ms, item.sent_ms))
        return True

    def unheard(self, now: float) -> list[SpokenItem]:
        """What was sent and not heard to its end: the item being heard and those that wait behind it, in order."""
        items: list[SpokenItem] = []
        for item in reversed(self._items.values()):
            if item.truncated:
                break
            heard_ms = item.heard_ms(now)
            if heard_ms < item.sent_ms:
                items.append(item)
            if heard_ms > 0:
                # Items are heard in order, so the ones before this are over.
                break
        return items[::-1]

    def interrupt(self, now: float) -> list[SpokenItem]:
        """Cuts off what is ``unheard``: nothing more of it is sent. Returns it."""
        items = self.unheard(now)
        for item in items:
            item.truncated = True
        if items:
            self._playhead_at = now
        self.current = None
        return items

    def truncate(self, item_id: str) -> None:
        """The client itself cut an item off: nothing more of it is sent."""
        if item := self._items.get(item_id):
            item.truncated = True
            if self.current is item:
                self.current = None
