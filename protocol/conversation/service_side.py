"""What the service says by the current connection, and what becomes of each event. The client's are next door."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from protocol.avatar.events import AvatarVisemes
from protocol.conversation.actions import Ignored, Record, Said
from protocol.conversation.answers import Answers
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.budget import Budget
from protocol.conversation.client_side import ClientSide, invalid
from protocol.conversation.configuration import Configuration
from protocol.conversation.guard import Guard
from protocol.conversation.history import History
from protocol.conversation.interruption import Interruption
from protocol.conversation.journal import Unsettled
from protocol.conversation.ledger import RESPONSE_DONE, TRANSCRIBED
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.succession import Connection
from protocol.conversation.visibility import HiddenItems
from protocol.prices.metering import metered
from protocol.realtime import server_events as server
from protocol.realtime.codec import (
    Head,
    InvalidEvent,
    base64_size,
    decode_object,
    decode_server,
    encode,
)
from protocol.realtime.items import Item

AUDIO_DELTA = "response.output_audio.delta"
_VISEME = "response.animation_viseme.delta"
# About eight seconds of speech: what waits to be sent together stays small.
_VISEMES_AT_ONCE = 100
# The person's turns that are remembered as having been spoken.
_SPOKEN_KEPT = 32


class ServiceSide:
    """Takes the service's events of one conversation, but for those that concern a connection's life.

    Raises ``InvalidEvent`` for a frame that is no event.
    """

    def __init__(
        self,
        outlet: Outlet,
        configuration: Configuration,
        answers: Answers,
        states: AvatarStates,
        playback: Playback,
        interruption: Interruption,
        hidden: HiddenItems,
        history: History,
        client: ClientSide,
        guard: Guard,
        budget: Budget,
        *,
        avatar_events: bool,
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._answers = answers
        self._states = states
        self._playback = playback
        self._interruption = interruption
        self._hidden = hidden
        self._history = history
        self._client = client
        self._guard = guard
        self._budget = budget
        self._avatar_events = avatar_events
        self._visemes: AvatarVisemes | None = None
        self._spoken: deque[str] = deque(maxlen=_SPOKEN_KEPT)
        # Turns of the person whose transcript is still to come.
        self._untranscribed: deque[str] = deque(maxlen=_SPOKEN_KEPT)
        self._handlers: dict[str, Callable[[Connection, bytes, Any], None]] = {
            "response.created": lambda _, frame, event: answers.created(frame, event),
            RESPONSE_DONE: lambda _, frame, event: answers.done(frame, event),
            "response.output_item.added": lambda _, frame, event: answers.item_added(frame, event),
            "response.output_item.done": lambda _, frame, event: answers.item_done(frame, event),
            "conversation.item.added": self._item_placed,
            "conversation.item.created": self._item_placed,
            "conversation.item.done": self._item_placed,
            "conversation.item.deleted": self._deleted,
            "conversation.item.truncated": self._truncated,
            "conversation.item.retrieved": self._retrieved,
            TRANSCRIBED: self._transcribed,
            "conversation.item.input_audio_transcription.failed": self._not_transcribed,
            "input_audio_buffer.committed": self._committed,
            "input_audio_buffer.cleared": self._cleared,
            "input_audio_buffer.speech_started": self._speech_started,
            "input_audio_buffer.speech_stopped": self._speech_stopped,
            _VISEME: self._viseme,
        }

    @property
    def awaits_transcript(self) -> bool:
        """Whether something the person said is not known in words yet, and will be."""
        return bool(self._untranscribed)

    def take(self, connection: Connection, frame: bytes, head: Head) -> None:
        """An event came by the current connection."""
        if self._visemes is not None and head.type != _VISEME:
            self._send_visemes()
        if head.type == AUDIO_DELTA:
            self._audio_delta(frame, head)
        elif (handler := self._handlers.get(head.type)) is not None:
            handler(connection, *read_event(frame, head))
        else:
            self._other(frame, head)

    def connection_replaced(self) -> None:
        """Nothing more comes of what the old connection had promised."""
        self._visemes = None
        self._untranscribed.clear()
        self._guard.connection_replaced()

    # Answers

    def _audio_delta(self, frame: bytes, head: Head) -> None:
        if head.item_id is None or not self._answers.passes(head.response_id):
            self._outlet.do(Ignored("upstream", head.type, "its response is not active"))
            return
        audio_ms = base64_size(head.delta) / self._configuration.output_bytes_per_ms
        end_ms = self._playback.sent(head.item_id, head.content_index, audio_ms, self._outlet.now)
        if end_ms is not None:
            self._states.enter("speaking")
            self._answers.times.sound(head.item_id)
            self._outlet.to_client(frame, head.item_id, audio_ms, end_ms)

    def _other(self, frame: bytes, head: Head) -> None:
        if head.item_id in self._hidden:
            return
        # A few (response.mcp_call.*) do not say which response they belong to.
        named = head.response_id is not None
        if named and head.type.startswith("response."):
            if not self._answers.passes(head.response_id):
                self._outlet.do(Ignored("upstream", head.type, "its response is not active"))
                return
            self._answers.saw(frame, head)
        self._outlet.to_client(frame)

    def _viseme(self, _: Connection, frame: bytes, event: server.AnimationVisemeDelta) -> None:
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

    # Items

    def _item_placed(
        self, connection: Connection, frame: bytes, event: server.ItemAdded | server.ItemCreated | server.ItemDone
    ) -> None:
        item, previous = event.item, event.previous_item_id or None
        is_end = not isinstance(event, server.ItemAdded)
        if item.id in connection.echoes:
            # We told it this connection; the client knows it already.
            if is_end and (told := self._history.get(item.id or "")) is not None:
                # A note of ours is no part of the conversation, and an echo also if the service repeats it.
                connection.echoes.discard(item.id or "")
                told.is_ended = True
            self._place_hidden(item, event)
            return
        known = self._history.get(item.id or "")
        repeated = known is not None and (known.is_ended if isinstance(event, server.ItemDone) else known.is_placed)
        if repeated:
            self._outlet.do(Ignored("upstream", "conversation.item", "the item is already there"))
            return
        self._answers.times.item_began(item.id or None)
        if not self._answers.is_aside(item.id or None):
            self._keep(item, previous, is_end=isinstance(event, server.ItemDone))
        belongs = not self._configuration.show_tools and self._belongs_to_server_tool(item)
        if belongs or item.id in self._hidden:
            if item.id:
                self._hidden.hide(item.id)
            self._place_hidden(item, event)
            return
        if isinstance(event, server.ItemDone):
            if self._answers.was_ended_here(item.id or None):
                return
            self._answers.item_placed(item.id or None, ended=True)
        elif item.role == "user" and (text := item.spoken_text()):
            self._outlet.do(Record(Said(item.id or "", "user", text, self._answers.times.onset(item.id or None))))
        if isinstance(event, server.ItemAdded):
            self._answers.item_placed(item.id or None, ended=False)
        self._outlet.to_client(self._remapped(frame, previous))

    def _place_hidden(self, item: Item, event: server.ItemAdded | server.ItemCreated | server.ItemDone) -> None:
        if item.id in self._hidden and event.previous_item_id is not UNSET:
            self._hidden.place(item.id or "", event.previous_item_id or None)

    def _keep(self, item: Item, previous: str | None, *, is_end: bool) -> None:
        """Takes an item into the history, and settles its creation."""
        first = False
        if item.id and item.id not in self._history:
            underway = item.status == "in_progress"
            known = item.id in self._spoken or underway
            created = None if known else self._outlet.journal.item_created(item.id)
            first = created is not None and self._was_given(created, item.id)
        self._history.placed(item, previous, first=first)
        if is_end and item.status != "in_progress":
            self._history.finished(item)
            if (entry := self._history.get(item.id or "")) is not None:
                entry.is_ended = True

    def _was_given(self, created: Unsettled, item_id: str) -> bool:
        """Keeps what a client's item held; True if it was to stand before all others."""
        asked = decode_object(created.frame)
        if isinstance(asked.get("item"), dict):
            self._history.given(asked["item"], item_id)
        return bool(asked.get("previous_item_id") == "root")

    def _belongs_to_server_tool(self, item: Item) -> bool:
        if item.type == "function_call":
            return self._configuration.runs_here(item.name) and not self._client.made_call(item.call_id or None)
        return item.type == "function_call_output" and self._answers.is_server_call(item.call_id or None)

    def _remapped(self, frame: bytes, previous_item_id: str | None) -> bytes:
        if previous_item_id not in self._hidden:
            return frame
        event = decode_object(frame)
        event["previous_item_id"] = self._hidden.visible_before(previous_item_id)
        return encode(event)

    def _deleted(self, connection: Connection, frame: bytes, event: server.ItemDeleted) -> None:
        if event.item_id in connection.deletions:
            connection.deletions.remove(event.item_id)
            connection.deleted.add(event.item_id)
            return
        asked = self._outlet.journal.settle("conversation.item.deleted", event.item_id)
        if asked is None and event.item_id in connection.deleted:
            # It was made again under its id since, and nobody asked for this.
            self._outlet.do(Ignored("upstream", "conversation.item.deleted", "that is known already"))
            return
        self._history.deleted(event.item_id)
        if event.item_id not in self._hidden:
            self._outlet.to_client(frame)

    def _truncated(self, _: Connection, frame: bytes, event: server.ItemTruncated) -> None:
        self._outlet.journal.settle("conversation.item.truncated", event.item_id)
        if event.item_id not in self._hidden:
            self._outlet.to_client(frame)

    def _retrieved(self, _: Connection, frame: bytes, event: server.ItemRetrieved) -> None:
        self._outlet.journal.settle("conversation.item.retrieved", event.item.id or None)
        if event.item.id not in self._hidden:
            self._outlet.to_client(frame)

    # The person's speech

    def _committed(self, _: Connection, frame: bytes, event: server.InputAudioBufferCommitted) -> None:
        frames, by_client = self._outlet.journal.committed()
        self._history.spoken(event.item_id, frames)
        self._spoken.append(event.item_id)
        if self._configuration.transcribes:
            self._untranscribed.append(event.item_id)
        if self._configuration.answers_speech and not by_client:
            self._answers.heard_speech()
        is_wanted = self._configuration.wants_answers and not by_client
        if not self._configuration.answers_speech:
            self._budget.heard_speech(is_wanted=is_wanted)
        self._guard.committed(event.item_id, is_wanted=is_wanted)
        self._outlet.to_client(self._remapped(frame, event.previous_item_id or None))

    def _cleared(self, _: Connection, frame: bytes, _event: server.InputAudioBufferCleared) -> None:
        self._outlet.journal.cleared()
        self._outlet.to_client(frame)

    def _speech_started(self, _: Connection, frame: bytes, event: server.SpeechStarted) -> None:
        self._outlet.journal.speech_started(event.audio_start_ms)
        self._answers.times.item_began(event.item_id)
        self._outlet.to_client(frame)
        if self._configuration.interrupts:
            self._answers.interrupted()
            self._guard.interrupted()
            self._budget.interrupted()
            self._interruption.silence()
            self._states.enter("listening")

    def _speech_stopped(self, _: Connection, frame: bytes, event: server.SpeechStopped) -> None:
        self._outlet.journal.speech_stopped(event.audio_end_ms)
        self._answers.times.question_ended()
        self._outlet.to_client(frame)

    def _transcribed(self, _: Connection, frame: bytes, event: server.InputTranscriptionCompleted) -> None:
        self._forget_untranscribed(event.item_id)
        self._history.transcribed(event.item_id, event.transcript)
        at = self._answers.times.onset(event.item_id)
        self._outlet.do(Record(Said(event.item_id, "user", event.transcript, at)))
        self._outlet.to_client(frame)
        self._guard.transcribed(event.item_id, event.transcript)

    def _not_transcribed(self, _: Connection, frame: bytes, event: server.InputTranscriptionFailed) -> None:
        self._forget_untranscribed(event.item_id)
        self._outlet.to_client(frame)
        self._guard.not_transcribed(event.item_id)

    def _forget_untranscribed(self, item_id: str) -> None:
        if item_id in self._untranscribed:
            self._untranscribed.remove(item_id)


def read_event(frame: bytes, head: Head) -> tuple[bytes, server.ServerEvent | None]:
    """An event of a known type, and its frame.

    The end of a response, or a transcript, must not be lost for a field of it that this version cannot read: it then
    goes on with as much of its usage as makes sense, without its output, or both. Raises ``InvalidEvent`` for anything
    else that does not fit.
    """
    try:
        return frame, decode_server(frame, head)
    except InvalidEvent:
        if head.type not in (RESPONSE_DONE, TRANSCRIBED):
            raise
    for lesser in _lesser(decode_object(frame), head.type):
        with contextlib.suppress(InvalidEvent):
            return (readable := encode(lesser)), decode_server(readable, head)
    raise InvalidEvent(invalid("invalid_type", f"A {head.type} that cannot be read."))


def _lesser(event: dict[str, Any], event_type: str) -> Iterator[dict[str, Any]]:
    """An event without what may be unreadable in it, the least first."""
    if event_type == TRANSCRIBED:
        yield {**event, "usage": None}
    elif isinstance(response := event.get("response"), dict):
        used = metered(response.get("usage"))
        usage = msgspec.to_builtins(used.usage) if used is not None else None
        readable = {"usage": usage}
        without_output: dict[str, Any] = {"output": []}
        for lesser in (readable, without_output, {**readable, **without_output}):
            yield {**event, "response": {**response, **lesser}}


def unnamed(error: server.ErrorDetail) -> server.ErrorDetail:
    """The error as a client sees it whose event had no id."""
    return msgspec.structs.replace(error, event_id=None)
