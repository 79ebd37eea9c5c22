"""What a client says: which events it may send, and what becomes of each. The service's answers are next door."""

from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from protocol.avatar.codec import decode_playback
from protocol.conversation.actions import Ignored
from protocol.conversation.answers import Answers
from protocol.conversation.configuration import Configuration
from protocol.conversation.guard import Guard, words_of_input, words_of_person
from protocol.conversation.interruption import Interruption
from protocol.conversation.lost_speech import LostSpeech
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.visibility import HiddenItems
from protocol.realtime import client_events as client
from protocol.realtime.codec import (
    Head,
    InvalidEvent,
    base64_size,
    decode_client,
    decode_object,
    encode,
    refuse_repeated_keys,
)
from protocol.realtime.server_events import ErrorDetail, ItemTruncated

APPEND = "input_audio_buffer.append"
PLAYBACK = "avatar.playback"
# Everything in an append but its audio: type, ids, white space.
_APPEND_ENVELOPE_MAX_BYTES = 4096
_CLIENT_CALLS_KEPT = 1024
# Played sound may be told a little ahead of what was sent: clocks of sound cards are not ours.
_AHEAD_MS = 250.0


class ClientSide:
    """Takes the client's events of one conversation.

    Raises ``InvalidEvent`` for what the client may not say, with the error it is to be told.
    """

    def __init__(
        self,
        outlet: Outlet,
        configuration: Configuration,
        answers: Answers,
        playback: Playback,
        interruption: Interruption,
        hidden: HiddenItems,
        lost_speech: LostSpeech,
        guard: Guard,
        *,
        avatar_events: bool,
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._answers = answers
        self._playback = playback
        self._interruption = interruption
        self._hidden = hidden
        self._lost_speech = lost_speech
        self._guard = guard
        self._avatar_events = avatar_events
        # Call ids of the client's own making; bounded, for the client makes them up.
        self._calls: deque[str] = deque(maxlen=_CLIENT_CALLS_KEPT)
        self._handlers: dict[str, Callable[[bytes, Any], None]] = {
            "session.update": self._update_session,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._name_item,
            "conversation.item.delete": self._name_item,
            "conversation.item.truncate": self._truncate,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }

    def made_call(self, call_id: str | None) -> bool:
        """Whether a call's item was created by the client."""
        return call_id in self._calls

    def take(self, frame: bytes, head: Head) -> None:
        """An event came."""
        if head.type == APPEND and head.audio is not UNSET:
            self._append(frame, head)
        elif head.type == PLAYBACK and self._avatar_events:
            self._played(frame, head)
        elif head.type == "session.init" and self._avatar_events:
            message = "The session is already initialised; session.init is sent once, as the first frame."
            raise InvalidEvent(invalid("already_initialised", message, head.event_id))
        else:
            event = decode_client(frame, head)
            refuse_repeated_keys(frame, head.event_id)
            if self._guard.holds(head.type):
                self._guard.hold(frame, head, event)
            else:
                self._handle(frame, head, event)

    def _handle(self, frame: bytes, head: Head, event: client.ClientEvent) -> None:
        self._handlers.get(head.type, self._pass)(frame, event)

    def take_held(self, frame: bytes, head: Head, event: client.ClientEvent) -> None:
        """The turn of an event has come that had to wait. Never raises: its client is told by an error."""
        try:
            self._handle(frame, head, event)
        except InvalidEvent as error:
            self._outlet.refuse(error.detail)

    def _append(self, frame: bytes, head: Head) -> None:
        size = base64_size(head.audio)
        if size == 0 and bytes(head.audio or b"") != b'""':
            raise InvalidEvent(
                invalid("invalid_type", "Invalid type for 'audio': expected a base64 string.", head.event_id)
            )
        if not _is_plain(frame, head):
            # The service might go by another of two types than we do.
            refuse_repeated_keys(frame, head.event_id)
        # A frame that is mostly something else is not bounded by its milliseconds, so it counts by its bytes.
        is_sound = len(frame) <= size * 4 // 3 + _APPEND_ENVELOPE_MAX_BYTES
        audio_ms = size / self._configuration.input_bytes_per_ms if is_sound else 0.0
        if dropped_ms := self._outlet.to_upstream(frame, kind=APPEND, audio_ms=audio_ms):
            self._lost_speech.add(dropped_ms)

    def _pass(self, frame: bytes, event: client.ClientEvent, key: str | None = None) -> None:
        event_id = event.event_id or None
        if event_id is None:
            event_id = self._outlet.name_for_client()
            frame = _named(frame, event_id)
        kind = str(event.__struct_config__.tag)
        self._outlet.to_upstream(frame, kind=kind, event_id=event_id, key=key)

    def _update_session(self, frame: bytes, _event: client.SessionUpdate) -> None:
        event = self._without_paths(decode_object(frame))
        admitted = self._configuration.admit_update(event["session"])
        event["event_id"] = event.get("event_id") or self._outlet.name_for_client()
        self._configuration.asked(event["event_id"], admitted)
        self._outlet.send_event({**event, "session": self._configuration.told(admitted)})

    def _create_item(self, frame: bytes, event: client.ConversationItemCreate) -> None:
        item = event.item
        if self._configuration.settable is not None and (item.type, item.role) != ("message", "user"):
            message = "This client may add messages of the user only."
            raise InvalidEvent(invalid("invalid_value", message, event.event_id or None, "item.role"))
        if item.type == "function_call_output" and self._answers.is_server_call(item.call_id or None):
            message = f"Tool call ID '{item.call_id}' not found in conversation."
            raise InvalidEvent(invalid("invalid_value", message, event.event_id or None, "item.call_id"))
        self._check_visible("item_create_invalid_item_id", event.previous_item_id or None, event)
        if item.type == "function_call" and item.call_id:
            self._calls.append(item.call_id)
        if self._guard.is_on and (item.type, item.role) == ("message", "user"):
            words = words_of_person(decode_object(frame)["item"].get("content"))
            self._guard.typed(words, event.event_id or None, lambda: self._pass(frame, event, item.id or None))
        else:
            self._pass(frame, event, item.id or None)

    def _name_item(self, frame: bytes, event: client.ConversationItemRetrieve | client.ConversationItemDelete) -> None:
        kind = "retrieve" if isinstance(event, client.ConversationItemRetrieve) else "delete"
        self._check_visible(f"item_{kind}_invalid_item_id", event.item_id, event)
        self._pass(frame, event, event.item_id)

    def _truncate(self, frame: bytes, event: client.ConversationItemTruncate) -> None:
        self._check_visible("item_truncate_invalid_item_id", event.item_id, event)
        if self._interruption.cut_by_client(event.item_id, event.audio_end_ms):
            self._tell_truncated(event)
        else:
            self._pass(frame, event, event.item_id)

    def _tell_truncated(self, event: client.ConversationItemTruncate) -> None:
        self._outlet.announce(
            ItemTruncated(item_id=event.item_id, content_index=event.content_index, audio_end_ms=event.audio_end_ms)
        )

    def settle_truncations(self) -> None:
        """The connection is gone: the next is told what was heard to begin with, so the client has its answer."""
        for kept in [kept for kept in self._outlet.journal if kept.kind == "conversation.item.truncate"]:
            event = decode_client(kept.frame, Head(type=kept.kind))
            # What was never spoken cannot be cut: that is for the next connection to refuse.
            if isinstance(event, client.ConversationItemTruncate) and self._interruption.was_spoken(event.item_id):
                self._outlet.journal.take(kept.event_id)
                self._tell_truncated(event)

    def _check_visible(self, code: str, item_id: str | None, event: client.ClientEvent) -> None:
        """A hidden item does not exist for the client."""
        if item_id in self._hidden:
            message = f"Item with item_id '{item_id}' not found."
            raise InvalidEvent(invalid(code, message, event.event_id or None, "item_id"))

    def _create_response(self, frame: bytes, event: client.ResponseCreate) -> None:
        asked = self._without_paths(decode_object(frame))
        if isinstance(asked.get("response"), dict):
            asked["response"] = self._configuration.admit_response(asked["response"])
        event_id = event.event_id or None
        said = words_of_input((asked.get("response") or {}).get("input"))
        self._guard.typed(said, event_id, lambda: self._ask(asked, event_id), asks=asked)

    def _without_paths(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event of a client with locks without keys that could pass for a path past them."""
        if self._configuration.settable is None:
            return event
        return {key: value for key, value in event.items() if "." not in key}

    def _ask(self, asked: dict[str, Any], event_id: str | None) -> None:
        is_beside = (asked.get("response") or {}).get("conversation") == "none"
        if is_beside or not self._guard.stands_in(asked):
            self._answers.ask(asked, event_id)

    def _cancel(self, frame: bytes, event: client.ResponseCancel) -> None:
        response_id = event.response_id or None
        # Another response than the one that is heard may be cancelled without a pause in what is said.
        is_heard = response_id is None or self._answers.is_current(response_id)
        if response_id is None:
            self._guard.cancel_waiting()
        self._answers.cancel(frame, response_id)
        if is_heard:
            self._interruption.silence()

    def _played(self, frame: bytes, head: Head) -> None:
        event = decode_playback(frame, head)
        if event.played_ms < 0:
            raise InvalidEvent(invalid("invalid_value", "'played_ms' is negative.", head.event_id, "played_ms"))
        believed_ms = self._playback.acknowledge(event.item_id, event.played_ms)
        if believed_ms is None:
            message = f"Nothing of item '{event.item_id[:64]}' was spoken here."
            raise InvalidEvent(invalid("invalid_value", message, head.event_id, "item_id"))
        if event.played_ms > self._playback.sent_ms(event.item_id) + _AHEAD_MS:
            self._outlet.do(Ignored("client", PLAYBACK, "more was played than was sent"))
        if self._outlet.replay is not None:
            self._outlet.replay.played(event.item_id, believed_ms)


def invalid(code: str, message: str, event_id: str | None = None, param: str | None = None) -> ErrorDetail:
    """The service's error for an event that cannot be taken."""
    return ErrorDetail(type="invalid_request_error", code=code, message=message, param=param, event_id=event_id)


def _is_plain(frame: bytes, head: Head) -> bool:
    """Whether an append says its type, its audio and perhaps its id, and has no quote left for anything else.

    Only around the audio is counted, which must stand where its key first does.
    """
    audio = bytes(head.audio or b"")
    start = frame.find(b'"', frame.find(b'"audio"', 0, _APPEND_ENVELOPE_MAX_BYTES) + len(b'"audio"'))
    if not frame.startswith(audio, start):
        return False
    around = frame.count(b'"', 0, start) + frame.count(b'"', start + len(audio))
    return around == (6 if head.event_id is None else 10)


def _named(frame: bytes, event_id: str) -> bytes:
    """The frame with an event id, which it has not: its contents are not read, for they may be large."""
    start = frame.index(b"{") + 1
    if b'"event_id"' in frame:
        # It is there, and null; or it is somewhere else in the frame, which is rare enough.
        return encode({**decode_object(frame), "event_id": event_id})
    return b'{"event_id":"' + event_id.encode() + b'",' + frame[start:]
