"""How much of the assistant's speech was sent and how much was heard. Believes no more than can have been heard."""

import itertools
from collections import OrderedDict
from dataclasses import dataclass

# Spoken items remembered: acknowledgements come for the current one, late ones for the last few.
_ITEMS_KEPT = 32
# Clients acknowledge every 100 to 250 ms, so the last word on an item may come so much before its end.
_ACKNOWLEDGEMENT_LAG_MS = 500.0
# Sound that a client has not played so long after it should have, it does not play.
_LATE_S = 30.0


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

    __slots__ = ("_items", "_paused_at", "_playhead_at", "current")

    def __init__(self) -> None:
        self._items: OrderedDict[str, SpokenItem] = OrderedDict()
        self._playhead_at = 0.0
        # The client was lost then; until it is back nothing more is heard.
        self._paused_at: float | None = None
        self.current: SpokenItem | None = None

    def sent(self, item_id: str, content_index: int, audio_ms: float, now: float) -> float | None:
        """Counts a piece of audio about to be sent. Returns where it ends in its item, in milliseconds; None if nobody

        must hear it any more, for the item was cut off.
        """
        item = self._items.get(item_id)
        if item is None:
            # An item's sound begins when the sound before it has been played.
            start = max(now, self._playhead_at)
            item = self._items[item_id] = SpokenItem(item_id, content_index, start)
            while len(self._items) > _ITEMS_KEPT:
                self._items.popitem(last=False)
        if item.truncated:
            return None
        item.sent_ms += audio_ms
        self._playhead_at = max(self._playhead_at, now) + audio_ms / 1000
        self.current = item
        return item.sent_ms

    @property
    def current_id(self) -> str | None:
        """The item whose sound was sent last."""
        return self.current.item_id if self.current is not None else None

    def is_wanted(self, item_id: str, end_ms: float) -> bool:
        """Whether sound that ends at ``end_ms`` of an item is still to be heard by a client that has not got it.

        Of an item that is forgotten nobody knows: better twice than never.
        """
        item = self._items.get(item_id)
        return item is None or (not item.truncated and end_ms > (item.acknowledged_ms or 0.0))

    def heard_ms(self, item: SpokenItem, now: float) -> float:
        """How much of an item was heard by now."""
        return 0.0 if self._waits(item) else item.heard_ms(self._present(now))

    def _waits(self, item: SpokenItem) -> bool:
        """Whether the client says that it still plays an item before this one, of which it has said nothing."""
        if item.acknowledged_ms is not None:
            return False
        before = list(itertools.takewhile(lambda other: other is not item, self._items.values()))
        for other in reversed(before):
            if other.truncated:
                return False
            if other.acknowledged_ms is not None:
                return other.acknowledged_ms < other.sent_ms - _ACKNOWLEDGEMENT_LAG_MS
        return False

    def sent_ms(self, item_id: str) -> float:
        """How much of an item was sent."""
        item = self._items.get(item_id)
        return item.sent_ms if item is not None else 0.0

    def pause(self, now: float) -> None:
        """The client was lost: nothing more is heard until it is back."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """The client is back, and what it had not heard is heard from now on."""
        if self._paused_at is None:
            return
        paused_at, self._paused_at = self._paused_at, None
        self._playhead_at = now
        for item in self._items.values():
            heard_ms = 0.0 if self._waits(item) else item.heard_ms(paused_at)
            if item.truncated or heard_ms >= item.sent_ms:
                continue
            item.first_sent_at = self._playhead_at - heard_ms / 1000
            self._playhead_at += (item.sent_ms - heard_ms) / 1000

    def heard_out_at(self, now: float) -> float:
        """When all that was sent will have been heard, or was; 0 if nothing was sent.

        A client that stopped acknowledging in the middle is waited for, but not without end.
        """
        rest_s = sum(item.sent_ms - self.heard_ms(item, now) for item in self.unheard(now)) / 1000
        if not rest_s:
            return min(now, self._playhead_at)
        return min(now + rest_s, self._playhead_at + _LATE_S)

    def _present(self, now: float) -> float:
        return now if self._paused_at is None else min(now, self._paused_at)

    def acknowledge(self, item_id: str, played_ms: float) -> float | None:
        """Takes a client's word for what was heard: never less than before, never more than was sent.

        Returns what is believed, in milliseconds; None for an item that was not spoken here, or so long ago that it is
        forgotten.
        """
        item = self._items.get(item_id)
        if item is None:
            return None
        if not item.truncated:
            item.acknowledged_ms = max(item.acknowledged_ms or 0.0, min(played_ms, item.sent_ms))
        return item.acknowledged_ms or 0.0

    def unheard(self, now: float) -> list[SpokenItem]:
        """What was sent and not heard to its end: the item being heard and those that wait behind it, in order."""
        items: list[SpokenItem] = []
        for item in reversed(self._items.values()):
            if item.truncated:
                break
            heard_ms = self.heard_ms(item, now)
            if heard_ms < item.sent_ms:
                items.append(item)
            if heard_ms > 0:
                # Items are heard in order, so the ones before this are over.
                break
        return items[::-1]

    def interrupt(self, now: float) -> list[SpokenItem]:
        """Cuts off what is ``unheard``: nothing more of it is sent. Returns it."""
        items = self.unheard(now)
        self.cut(items, now)
        if items:
            self._playhead_at = now
        self.current = None
        return items

    def cut(self, items: list[SpokenItem], now: float) -> None:
        """Nothing more of these items is sent, and no more was heard of them than by now."""
        for item, heard_ms in [(item, self.heard_ms(item, now)) for item in items]:
            item.acknowledged_ms, item.truncated = heard_ms, True
            if self.current is item:
                self.current = None

    def truncate(self, item_id: str) -> None:
        """The client itself cut an item off: nothing more of it is sent."""
        if item := self._items.get(item_id):
            item.truncated = True
            if self.current is item:
                self.current = None
