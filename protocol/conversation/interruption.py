"""What becomes of an answer that is cut off: no more of it is sent, and the model believes no more than was heard."""

from collections.abc import Iterable
from typing import Any

from protocol.conversation.actions import Heard, PurgeAudio, Record
from protocol.conversation.history import History
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback, SpokenItem
from protocol.conversation.succession import Succession


class Interruption:
    """Cuts items off, here and at the service.

    Args:
        truncates: cut items are truncated at the service; clients of the service's own protocol do that themselves,
            for they keep their playback's time.
    """

    __slots__ = ("_history", "_outlet", "_playback", "_succession", "_truncates")

    def __init__(
        self, outlet: Outlet, playback: Playback, history: History, succession: Succession, *, truncates: bool
    ) -> None:
        self._outlet = outlet
        self._playback = playback
        self._history = history
        self._succession = succession
        self._truncates = truncates

    def silence(self) -> None:
        """The person interrupts: what was not heard is neither sent nor believed to have been said."""
        current = self._playback.current
        if current is None:
            return
        now = self._outlet.now
        unheard = self._playback.interrupt(now) if self._truncates else self._playback.unheard(now)
        if self._truncates and not current.truncated and self._is_underway(current.item_id):
            # All of it that was sent is heard, but more is on its way.
            self._playback.cut([current], now)
            unheard.append(current)
        for item_id in dict.fromkeys([*(item.item_id for item in unheard), current.item_id]):
            self._outlet.do(PurgeAudio(item_id))
        if self._truncates:
            self._cut(unheard)

    def abandon(self, speaking: str | None) -> None:
        """What was sent and not heard never will be: the client lost it. The item that is ``speaking`` goes on."""
        if not self._truncates:
            return
        lost = [item for item in self._playback.unheard(self._outlet.now) if item.item_id != speaking]
        self._playback.cut(lost, self._outlet.now)
        self._cut(lost)

    def _cut(self, items: Iterable[SpokenItem]) -> None:
        for item in items:
            heard_ms = int(self._playback.heard_ms(item, self._outlet.now))
            self._shorten(item.item_id, heard_ms, item.sent_ms)
            if self._make_again(item.item_id) or item.item_id not in self._history:
                # What was said outside the conversation is not in it, so that there is nothing to truncate.
                continue
            if (current := self._succession.current) is not None:
                self._outlet.send_once(
                    {
                        "type": "conversation.item.truncate",
                        "event_id": self._outlet.new_event_id(),
                        "item_id": item.item_id,
                        "content_index": item.content_index,
                        "audio_end_ms": heard_ms,
                    },
                    current.number,
                )

    def cut_by_client(self, item_id: str, heard_ms: int) -> bool:
        """The client cuts an item off by itself. True if the service needs not be told: it holds the item as text."""
        if not self.was_spoken(item_id):
            # That is for the service to refuse.
            return False
        self._outlet.do(PurgeAudio(item_id))
        sent_ms = self._playback.sent_ms(item_id)
        self._playback.truncate(item_id)
        self._shorten(item_id, max(0, min(heard_ms, int(sent_ms))), sent_ms)
        return self._make_again(item_id)

    def was_spoken(self, item_id: str) -> bool:
        """Whether an item is something that was said to the person."""
        entry = self._history.get(item_id)
        return entry is not None and entry.role == "assistant"

    def _is_underway(self, item_id: str) -> bool:
        entry = self._history.get(item_id)
        return entry is not None and not entry.complete

    def _shorten(self, item_id: str, heard_ms: int, sent_ms: float) -> None:
        text = self._history.cut_off(item_id, heard_ms, sent_ms)
        self._outlet.do(Record(Heard(item_id, heard_ms, int(sent_ms), text)))

    def _make_again(self, item_id: str) -> bool:
        """An item that was told to this connection has no sound there to be cut: it is made again with what was heard.

        True if that is so; then the service's truncation is not needed.
        """
        current = self._succession.current
        if current is None or not self._outlet.is_open:
            # The next connection is told what was heard to begin with.
            return self.was_spoken(item_id)
        if item_id not in current.known or not self.was_spoken(item_id):
            return False
        for event in self._history.made_again(item_id):
            self._remember_echo(event)
            self._outlet.send_once({**event, "event_id": self._outlet.new_event_id()}, current.number)
        return True

    def _remember_echo(self, event: dict[str, Any]) -> None:
        current = self._succession.current
        if current is None:
            return
        if event["type"] == "conversation.item.create":
            current.echoes.add(event["item"]["id"])
        else:
            current.deletions.append(event["item_id"])
