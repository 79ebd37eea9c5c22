"""The session's brain: from what the client, the service, the tools and the clock say to what must happen next.

Pure and synchronous: ``on_client``, ``on_upstream``, ``on_result`` and ``on_deadline`` take an event and the time and
return actions, in the order in which they must be performed. It performs nothing itself.

What holds for any order of events (kept by property tests):

* at most one response of the conversation is active upstream at our own request, and a follow-up is asked for once;
* every response that the client sees begin ends for it exactly once, and nothing of it follows its end;
* every server tool call is answered exactly once, or recorded as lost;
* no item is truncated later than it was heard, nor heard longer than it was sent;
* every ``response.done`` is charged exactly once;
* Close is asked for once, and nothing is asked for after it.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from protocol.avatar.codec import decode_playback
from protocol.avatar.events import AvatarSession, AvatarVisemes
from protocol.conversation.actions import Action, Ignored, PurgeAudio, Record, Said, SetDeadline, ToolResult
from protocol.conversation.answers import FOLLOW_UP_DEADLINE, Answers
from protocol.conversation.configuration import Configuration
from protocol.conversation.lost_speech import LOST_SPEECH_DEADLINE, LostSpeech
from protocol.conversation.outlet import OWN_EVENT_PREFIX, Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.visibility import HiddenItems
from protocol.endings import EndReason
from protocol.realtime import client_events as client
from protocol.realtime import server_events as server
from protocol.realtime.codec import (
    Head,
    InvalidEvent,
    base64_size,
    decode_client,
    decode_object,
    decode_server,
    encode,
    read_head,
)
from protocol.realtime.items import Item
from protocol.realtime.server_events import ErrorDetail

OPENING_DEADLINE = "opening"
# Seconds from an open connection to the service's confirmation of our configuration.
OPENING_DEADLINE_S = 10.0

_VISEME = "response.animation_viseme.delta"
# About eight seconds of speech: what waits to be sent together stays small.
_VISEMES_AT_ONCE = 100
_AUDIO_DELTA = "response.output_audio.delta"
# What may be left out of a response.done that cannot be read, the least first.
_UNREADABLE: tuple[dict[str, Any], ...] = ({"usage": None}, {"output": []}, {"usage": None, "output": []})
_CLIENT_CALLS_KEPT = 1024
# Everything in an append but its audio: type, ids, white space.
_APPEND_ENVELOPE_MAX_BYTES = 4096
_APPEND = "input_audio_buffer.append"
# The pieces of an answer that a person reads or hears.
_SPOKEN = frozenset({"response.output_audio_transcript.delta", "response.output_text.delta"})


class Conversation:
    """One conversation: a client on one side, the Realtime service on the other.

    Args:
        configuration: the service's session as we open it, and what the client may change.
        avatar_events: the client understands the extension events (``/ws``, ``?extensions=avatar``).
        new_id: makes unique ids of at most 20 characters; chance is the caller's.
    """

    def __init__(self, configuration: Configuration, *, avatar_events: bool, new_id: Callable[[], str]) -> None:
        self._configuration = configuration
        self._avatar_events = avatar_events
        self._outlet = Outlet(new_id)
        self._hidden = HiddenItems()
        self._playback = Playback()
        self._answers = Answers(self._outlet, configuration, self._hidden, avatar_events=avatar_events)
        self._lost_speech = LostSpeech(self._outlet, self._answers, avatar_events=avatar_events)
        self._opening_id: str | None = None
        self._created_event_id: str | None = None
        self._visemes: AvatarVisemes | None = None
        self._opening_error = ""
        self._expired = False
        # Call ids of the client's own making; bounded, for the client makes them up.
        self._client_calls: deque[str] = deque(maxlen=_CLIENT_CALLS_KEPT)
        self._from_upstream: dict[str, Callable[[bytes, Any], None]] = {
            "session.created": self._session_created,
            "session.updated": self._session_updated,
            "error": self._error,
            "response.created": self._answers.created,
            "response.done": self._answers.done,
            "response.output_item.added": self._answers.item_added,
            "response.output_item.done": self._answers.item_done,
            "conversation.item.added": self._item_placed,
            "conversation.item.created": self._item_placed,
            "conversation.item.done": self._item_placed,
            "input_audio_buffer.committed": self._committed,
            "input_audio_buffer.speech_started": self._speech_started,
            "conversation.item.input_audio_transcription.completed": self._transcribed,
            "conversation.item.retrieved": self._retrieved,
            _VISEME: self._viseme,
        }
        self._from_client: dict[str, Callable[[bytes, Any], None]] = {
            "session.update": self._update_session,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._name_item,
            "conversation.item.delete": self._name_item,
            "conversation.item.truncate": self._truncate,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }

    # Entry points

    def on_attached(self, hello: AvatarSession | None, now: float) -> list[Action]:
        """A client is there. ``hello`` is the first event of an avatar client."""
        self._outlet.now = now
        if hello is not None:
            self._outlet.announce(hello)
        return self._outlet.take()

    def on_upstream_open(self, now: float) -> list[Action]:
        """The connection to the service is open: our configuration goes first, then what the client already sent."""
        self._outlet.now = now
        self._opening_id = self._outlet.new_event_id()
        self._outlet.open_upstream(
            {
                "type": "session.update",
                "event_id": self._opening_id,
                "session": self._configuration.opening_session(),
            }
        )
        self._outlet.do(SetDeadline(OPENING_DEADLINE, now + OPENING_DEADLINE_S))
        return self._outlet.take()

    def on_upstream(self, frame: bytes, now: float) -> list[Action]:
        """A text frame came from the service. A frame that is no event is dropped and noted."""
        self._outlet.now = now
        try:
            head = read_head(frame)
            if self._visemes is not None and head.type != _VISEME:
                self._send_visemes()
            if head.type == _AUDIO_DELTA:
                self._audio_delta(frame, head)
            elif (handler := self._from_upstream.get(head.type)) is not None:
                handler(*_read_event(frame, head))
            else:
                self._other(frame, head)
        except InvalidEvent as error:
            self._outlet.do(Ignored("upstream", "malformed", error.detail.message))
        return self._outlet.take()

    def on_upstream_lost(
        self, reason: EndReason, message: str, now: float, *, retry_after_s: float | None = None
    ) -> list[Action]:
        """The connection to the service is gone, or could not be had, for good.

        ``message`` goes to the client; ``retry_after_s`` is when the service said to try again.
        """
        self._outlet.now = now
        self._answers.upstream_lost()
        if self._expired:
            reason = EndReason.UPSTREAM_EXPIRED
        if self._opening_error:
            message = f"{message} It refused the session ({self._opening_error})."
        self._end(reason, message, "upstream_error", retry_after_s)
        return self._outlet.take()

    def on_client(self, frame: bytes, now: float, *, is_text: bool = True) -> list[Action]:
        """A message came from the client. What it may not say is answered with the service's own error."""
        self._outlet.now = now
        try:
            if not is_text:
                raise InvalidEvent(_invalid("invalid_event", "Expected a text WebSocket message; got a binary one."))
            head = read_head(frame)
            if head.type == _APPEND and head.audio is not UNSET:
                self._append(frame, head)
            elif head.type == "avatar.playback" and self._avatar_events:
                self._played(frame, head)
            elif head.type == "session.init" and self._avatar_events:
                message = "The session is already initialised; session.init is sent once, as the first frame."
                raise InvalidEvent(_invalid("already_initialised", message, head.event_id))
            else:
                event = decode_client(frame, head)
                self._from_client.get(head.type, self._pass_to_upstream)(frame, event)
        except InvalidEvent as error:
            self._outlet.refuse(error.detail)
        return self._outlet.take()

    def on_result(self, call_id: str, result: ToolResult, now: float) -> list[Action]:
        """A tool has finished, well or not: ``result.output`` is what the model is told."""
        self._outlet.now = now
        self._answers.result(call_id, result)
        return self._outlet.take()

    def on_deadline(self, name: str, now: float) -> list[Action]:
        """A deadline that was set has passed."""
        self._outlet.now = now
        if name == FOLLOW_UP_DEADLINE:
            self._answers.follow_up_overdue()
        elif name == LOST_SPEECH_DEADLINE:
            self._lost_speech.tell()
        elif name == OPENING_DEADLINE and self._opening_id is not None:
            message = f"The Realtime service did not confirm the session within {OPENING_DEADLINE_S:.0f} seconds."
            self._end(EndReason.UPSTREAM_TOO_SLOW, message, "upstream_error")
        return self._outlet.take()

    def on_audio_dropped(self, dropped_ms: float, now: float) -> list[Action]:
        """The service takes audio too slowly; the oldest was dropped."""
        self._outlet.now = now
        self._lost_speech.add(dropped_ms)
        return self._outlet.take()

    def on_end(self, reason: EndReason, message: str, now: float) -> list[Action]:
        """The session must end for a reason from outside: shutdown, a lost client, a fault of ours."""
        self._outlet.now = now
        self._end(reason, message, "server_error")
        return self._outlet.take()

    def _end(self, reason: EndReason, message: str, error_type: str, retry_after_s: float | None = None) -> None:
        self._answers.lose_calls()
        if reason not in (EndReason.COMPLETED, EndReason.CLIENT_LOST):
            detail = ErrorDetail(type=error_type, code=reason.label, message=message)
            if retry_after_s is not None:
                detail.retry_after = retry_after_s
            self._outlet.refuse(detail)
        self._outlet.close(reason, message)

    # From the service

    def _audio_delta(self, frame: bytes, head: Head) -> None:
        if head.item_id is None or not self._answers.passes(head.response_id):
            return
        audio_ms = base64_size(head.delta) / self._configuration.output_bytes_per_ms
        if self._playback.sent(head.item_id, head.content_index, audio_ms, self._outlet.now):
            self._answers.speaking()
            self._outlet.to_client(frame, head.item_id, audio_ms)

    def _other(self, frame: bytes, head: Head) -> None:
        if head.item_id in self._hidden:
            return
        # A few (response.mcp_call.*) do not say which response they belong to.
        named = head.response_id is not None
        if named and head.type.startswith("response.") and not self._answers.passes(head.response_id):
            self._outlet.do(Ignored("upstream", head.type, "its response is not active"))
            return
        if head.type in _SPOKEN:
            self._answers.speaking()
        self._outlet.to_client(frame)

    def _viseme(self, frame: bytes, event: server.AnimationVisemeDelta) -> None:
        """Mouth positions come one by one; those that come together are sent together."""
        if not self._answers.passes(event.response_id):
            return
        if not self._avatar_events:
            self._outlet.to_client(frame)
            return
        batch = self._visemes
        if batch is None or (batch.item_id, batch.content_index) != (event.item_id, event.content_index):
            self._send_visemes()
            batch = self._visemes = AvatarVisemes(
                item_id=event.item_id, content_index=event.content_index, start_ms=event.audio_offset_ms, visemes=[]
            )
        batch.visemes.append((round(event.audio_offset_ms - batch.start_ms, 1), event.viseme_id))
        if len(batch.visemes) >= _VISEMES_AT_ONCE:
            self._send_visemes()

    def _send_visemes(self) -> None:
        batch, self._visemes = self._visemes, None
        if batch is not None:
            self._outlet.announce(batch)

    def _session_created(self, _frame: bytes, event: server.SessionCreated) -> None:
        # Shown when our configuration is confirmed, so that the client never sees a session that is not yet ours.
        self._created_event_id = event.event_id

    def _session_updated(self, frame: bytes, event: server.SessionUpdated) -> None:
        shown = decode_object(frame)
        self._configuration.learn(shown["session"])
        shown["session"] = self._configuration.shown(shown["session"])
        if self._opening_id is None:
            self._outlet.to_client(encode(shown))
            return
        self._opening_id = None
        self._outlet.do(SetDeadline(OPENING_DEADLINE, None))
        shown["type"], shown["event_id"] = "session.created", self._created_event_id or event.event_id
        self._outlet.to_client(encode(shown))
        self._answers.listening()

    def _error(self, frame: bytes, event: server.Error) -> None:
        error = event.error
        if error.event_id is None and self._opening_id is not None:
            # OpenAI refuses a key or a model with an event before it closes; that is between it and the operator.
            # Its words may quote the key, so only their code goes on.
            self._opening_error = error.code or error.type
        elif error.event_id is None:
            self._expired |= error.code == "session_expired"
            self._outlet.to_client(frame)
        elif error.event_id == self._opening_id:
            message = f"The Realtime service refused this server's session settings: {error.message}"
            self._end(EndReason.UPSTREAM_UNAVAILABLE, message, "upstream_error")
        else:
            anonymous = self._answers.is_anonymous_request(error.event_id)
            if self._answers.refused(error):
                self._outlet.do(Ignored("upstream", "error", f"{error.code} for an event of ours"))
            elif anonymous:
                self._outlet.to_client(encode(server.Error(event_id=event.event_id, error=_unnamed(error))))
            elif error.event_id.startswith(OWN_EVENT_PREFIX):
                self._outlet.do(Ignored("upstream", "error", f"{error.code} for an event of ours: {error.message}"))
            else:
                self._outlet.to_client(frame)

    def _item_placed(self, frame: bytes, event: server.ItemAdded | server.ItemCreated | server.ItemDone) -> None:
        item, previous = event.item, event.previous_item_id or None
        belongs = not self._configuration.show_tools and self._belongs_to_server_tool(item)
        if belongs or item.id in self._hidden:
            if item.id:
                self._hidden.hide(item.id)
                if event.previous_item_id is not UNSET:
                    self._hidden.place(item.id, previous)
            return
        if item.role == "user" and not isinstance(event, server.ItemDone) and (text := item.spoken_text()):
            self._outlet.do(Record(Said(item.id or "", "user", text)))
        self._outlet.to_client(self._remapped(frame, previous))

    def _belongs_to_server_tool(self, item: Item) -> bool:
        if item.type == "function_call":
            return self._configuration.runs_here(item.name) and item.call_id not in self._client_calls
        return item.type == "function_call_output" and self._answers.is_server_call(item.call_id or None)

    def _committed(self, frame: bytes, event: server.InputAudioBufferCommitted) -> None:
        self._outlet.to_client(self._remapped(frame, event.previous_item_id or None))

    def _remapped(self, frame: bytes, previous_item_id: str | None) -> bytes:
        if previous_item_id not in self._hidden:
            return frame
        event = decode_object(frame)
        event["previous_item_id"] = self._hidden.visible_before(previous_item_id)
        return encode(event)

    def _retrieved(self, frame: bytes, event: server.ItemRetrieved) -> None:
        if event.item.id not in self._hidden:
            self._outlet.to_client(frame)

    def _speech_started(self, frame: bytes, _event: server.SpeechStarted) -> None:
        self._outlet.to_client(frame)
        if self._configuration.interrupts:
            self._answers.interrupted()
            self._silence()
            self._answers.listening()

    def _transcribed(self, frame: bytes, event: server.InputTranscriptionCompleted) -> None:
        self._outlet.do(Record(Said(event.item_id, "user", event.transcript)))
        self._outlet.to_client(frame)

    def _silence(self) -> None:
        """The person interrupts: what was not heard is neither sent nor believed to have been said."""
        current = self._playback.current
        if current is None:
            return
        now = self._outlet.now
        # Clients of the service's own protocol keep their playback's time and truncate by themselves.
        unheard = self._playback.interrupt(now) if self._avatar_events else self._playback.unheard(now)
        for item_id in dict.fromkeys([*(item.item_id for item in unheard), current.item_id]):
            self._outlet.do(PurgeAudio(item_id))
        for cut in unheard if self._avatar_events else ():
            heard_ms = int(cut.heard_ms(now))
            self._outlet.do(Record(Said(cut.item_id, "assistant", "", heard_ms=heard_ms)))
            self._outlet.send_event(
                {
                    "type": "conversation.item.truncate",
                    "event_id": self._outlet.new_event_id(),
                    "item_id": cut.item_id,
                    "content_index": cut.content_index,
                    "audio_end_ms": heard_ms,
                }
            )

    # From the client

    def _append(self, frame: bytes, head: Head) -> None:
        size = base64_size(head.audio)
        if size == 0 and bytes(head.audio or b"") != b'""':
            raise InvalidEvent(
                _invalid("invalid_type", "Invalid type for 'audio': expected a base64 string.", head.event_id)
            )
        # A frame that is mostly something else is not bounded by its milliseconds, so it counts by its bytes.
        is_sound = len(frame) <= size * 4 // 3 + _APPEND_ENVELOPE_MAX_BYTES
        audio_ms = size / self._configuration.input_bytes_per_ms if is_sound else 0.0
        if dropped_ms := self._outlet.to_upstream(frame, audio_ms):
            self._lost_speech.add(dropped_ms)

    def _pass_to_upstream(self, frame: bytes, _event: client.ClientEvent) -> None:
        self._outlet.to_upstream(frame)

    def _update_session(self, frame: bytes, _event: client.SessionUpdate) -> None:
        event = decode_object(frame)
        event["session"] = self._configuration.admit_update(event["session"])
        self._outlet.send_event(event)

    def _create_item(self, frame: bytes, event: client.ConversationItemCreate) -> None:
        item = event.item
        if self._configuration.settable is not None and (item.type, item.role) != ("message", "user"):
            message = "This client may add messages of the user only."
            raise InvalidEvent(_invalid("invalid_value", message, event.event_id or None, "item.role"))
        if item.type == "function_call_output" and self._answers.is_server_call(item.call_id or None):
            message = f"Tool call ID '{item.call_id}' not found in conversation."
            raise InvalidEvent(_invalid("invalid_value", message, event.event_id or None, "item.call_id"))
        self._check_visible("item_create_invalid_item_id", event.previous_item_id or None, event)
        if item.type == "function_call" and item.call_id:
            self._client_calls.append(item.call_id)
        self._outlet.to_upstream(frame)

    def _name_item(self, frame: bytes, event: client.ConversationItemRetrieve | client.ConversationItemDelete) -> None:
        kind = "retrieve" if isinstance(event, client.ConversationItemRetrieve) else "delete"
        self._check_visible(f"item_{kind}_invalid_item_id", event.item_id, event)
        self._outlet.to_upstream(frame)

    def _truncate(self, frame: bytes, event: client.ConversationItemTruncate) -> None:
        self._check_visible("item_truncate_invalid_item_id", event.item_id, event)
        self._playback.truncate(event.item_id)
        self._outlet.do(PurgeAudio(event.item_id))
        self._outlet.to_upstream(frame)

    def _check_visible(self, code: str, item_id: str | None, event: client.ClientEvent) -> None:
        """A hidden item does not exist for the client."""
        if item_id in self._hidden:
            message = f"Item with item_id '{item_id}' not found."
            raise InvalidEvent(_invalid(code, message, event.event_id or None, "item_id"))

    def _create_response(self, frame: bytes, event: client.ResponseCreate) -> None:
        asked = decode_object(frame)
        if isinstance(asked.get("response"), dict):
            asked["response"] = self._configuration.admit_response(asked["response"])
        self._answers.ask(asked, event.event_id or None)

    def _cancel(self, frame: bytes, event: client.ResponseCancel) -> None:
        response_id = event.response_id or None
        # Another response than the one that is heard may be cancelled without a pause in what is said.
        is_heard = response_id is None or self._answers.is_current(response_id)
        self._answers.cancel(frame, response_id)
        if is_heard:
            self._silence()

    def _played(self, frame: bytes, head: Head) -> None:
        event = decode_playback(frame, head)
        if event.played_ms < 0:
            raise InvalidEvent(_invalid("invalid_value", "'played_ms' is negative.", head.event_id, "played_ms"))
        if not self._playback.acknowledge(event.item_id, event.played_ms):
            message = f"Nothing of item '{event.item_id[:64]}' was spoken here."
            raise InvalidEvent(_invalid("invalid_value", message, head.event_id, "item_id"))


def _read_event(frame: bytes, head: Head) -> tuple[bytes, server.ServerEvent | None]:
    """An event of a known type, and its frame.

    The end of a response must not be lost for a field of it that this version cannot read: it then goes on without its
    usage, its output, or both. Raises ``InvalidEvent`` for anything else that does not fit.
    """
    try:
        return frame, decode_server(frame, head)
    except InvalidEvent:
        if head.type != "response.done":
            raise
    event = decode_object(frame)
    if not isinstance(event.get("response"), dict):
        raise InvalidEvent(_invalid("invalid_type", "A response.done without a response."))
    for unreadable in _UNREADABLE:
        lesser = encode({**event, "response": {**event["response"], **unreadable}})
        with contextlib.suppress(InvalidEvent):
            return lesser, decode_server(lesser, head)
    raise InvalidEvent(_invalid("invalid_type", "A response.done that cannot be read."))


def _invalid(code: str, message: str, event_id: str | None = None, param: str | None = None) -> ErrorDetail:
    return ErrorDetail(type="invalid_request_error", code=code, message=message, param=param, event_id=event_id)


def _unnamed(error: ErrorDetail) -> ErrorDetail:
    return msgspec.structs.replace(error, event_id=None)
