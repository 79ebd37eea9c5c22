"""One session: what each client event does to it, and the events that answer. Synchronous; does no I/O.

Everything that takes time (thinking, speaking, waiting, closing) is asked of the ``Host``.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from protocol.realtime import server_events as ev
from protocol.realtime.client_events import CLIENT_EVENT_TYPES, EVENT_ID_MAX_CHARS
from protocol.realtime.codec import InvalidEvent, encode, read_head
from protocol.realtime.usage import Usage
from server.simulator import refusal, shape
from server.simulator.configuration import Configuration
from server.simulator.conversation import Conversation, Entry, read_item, shown
from server.simulator.identifiers import Ids
from server.simulator.item_shape import ITEM, base64_bytes
from server.simulator.listening import Listener
from server.simulator.meter import Meter, Segment, TokenRate, shared_prefix, usage_of
from server.simulator.refusal import INVALID_REQUEST, Refusal
from server.simulator.request import bytes_per_ms, checked_params, is_out_of_band, plan_response
from server.simulator.response import LiveResponse
from server.simulator.settings import SimulatorSettings
from server.simulator.transcribing import TranscriptionConfiguration

# The close that ends a session of maximum duration, with the message as its reason.
EXPIRED_CODE = 1001
# Captures show rate_limits.updated some 40 ms behind response.done.
RATE_LIMITS_DELAY_S = 0.04
# Prompts whose prefixes count as cached: the conversation's and some of out-of-band responses.
CACHED_PROMPTS = 4
# Out-of-band responses run in parallel; beyond so many they are refused.
OUT_OF_BAND_MAX = 8


_text = shape.text()
_whole = shape.number(-(2**53), 2**53, whole=True)
_ENVELOPE = {"type": shape.anything, "event_id": shape.nullable(shape.text(EVENT_ID_MAX_CHARS))}


def _event(required: dict[str, shape.Check], optional: dict[str, shape.Check] | None = None) -> shape.Check:
    return shape.obj(_ENVELOPE | required | (optional or {}), required=tuple(required))


# What each client event must look like; sessions and responses are checked where they are understood.
_CHECKS: dict[str, shape.Check] = {
    "session.update": _event({"session": shape.anything}),
    "input_audio_buffer.append": _event({"audio": _text}),
    "input_audio_buffer.commit": _event({}),
    "input_audio_buffer.clear": _event({}),
    "conversation.item.create": _event({"item": ITEM}, {"previous_item_id": shape.nullable(_text)}),
    "conversation.item.retrieve": _event({"item_id": _text}),
    "conversation.item.delete": _event({"item_id": _text}),
    "conversation.item.truncate": _event({"item_id": _text, "content_index": _whole, "audio_end_ms": _whole}),
    "response.create": _event({}, {"response": shape.anything}),
    "response.cancel": _event({}, {"response_id": shape.nullable(_text)}),
    "output_audio_buffer.clear": _event({}),
}


class Alarm(Protocol):
    """Something that will happen later."""

    def cancel(self) -> None:
        """It will not."""
        ...


class Host(Protocol):
    """What a session needs from its surroundings. Nothing here may block or call back into the session at once."""

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""
        ...

    def send(self, event_type: str, frame: bytes) -> None:
        """Send a frame to the client, after all earlier ones."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Close the connection once everything sent is out."""
        ...

    def at(self, when: float, action: Callable[[], None]) -> Alarm:
        """Call ``action`` at a time of ``now()``."""
        ...

    def generate(self, live: LiveResponse) -> None:
        """Write the contents of a started response."""
        ...

    def begins(self) -> bool:
        """Whether the response that is due is begun at all, which only a fault prevents."""
        ...

    def stop(self, live: LiveResponse) -> None:
        """Stop writing: the response was finished from outside."""
        ...

    def transcribe(self, entry: Entry, audio_format: dict[str, Any], transcription: dict[str, Any] | None) -> None:
        """Find the words of a user's audio; tell the client if ``transcription`` is configured."""
        ...


class Session:
    """The state behind one connection. ``receive`` takes frames; everything else is called by the host."""

    def __init__(
        self,
        configuration: Configuration | TranscriptionConfiguration,
        ids: Ids,
        host: Host,
        meter: Meter,
        rate: TokenRate,
        settings: SimulatorSettings,
    ) -> None:
        self.configuration = configuration
        self.conversation = Conversation(ids("conv"))
        self.meter = meter
        self._ids = ids
        self._host = host
        self._rate = rate
        self._settings = settings
        self._listener = Listener(self, ids, configuration.input["format"], configuration.turn_detection)
        self._active: LiveResponse | None = None
        self._out_of_band: dict[str, LiveResponse] = {}
        self._prompts: deque[list[Segment]] = deque(maxlen=CACHED_PROMPTS)
        self._idle_alarm: Alarm | None = None

    # -- what is sent ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Send ``session.created``, always the first event."""
        self._send_session("session.created")

    def emit(self, event: ev.ServerEvent) -> None:
        """Send an event under a fresh id."""
        event.event_id = self._ids("event")
        self._host.send(str(event.__struct_config__.tag), encode(event))

    def refuse(self, detail: ev.ErrorDetail) -> None:
        """Send an error event; the session goes on."""
        self.emit(ev.Error(error=detail))

    def expire(self) -> None:
        """The session reached its maximum duration: OpenAI says so in an error, Azure in the close alone."""
        message = f"Your session hit the maximum duration of {self._settings.longest_seconds / 60:g} minutes."
        if self._settings.service != "azure":
            self.refuse(ev.ErrorDetail(type=INVALID_REQUEST, code="session_expired", message=message))
        self._host.end(EXPIRED_CODE, message)

    # -- what is received -----------------------------------------------------------------------------------------

    def receive(self, frame: str | bytes) -> None:
        """Carry out one frame, or answer with the service's error for it. Raises nothing."""
        if isinstance(frame, bytes):
            message = "Expected a text WebSocket message; received a binary message."
            self.refuse(ev.ErrorDetail(type=INVALID_REQUEST, code="invalid_event", message=message))
            return
        event_id: str | None = None
        try:
            raw = frame.encode()
            head = read_head(raw)
            event_id = head.event_id
            self._dispatch(head.type, msgspec.json.decode(raw))
        except InvalidEvent as invalid:
            self.refuse(invalid.detail)
        except Refusal as refused:
            refused.detail.event_id = event_id
            self.refuse(refused.detail)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            message = f"The frame is not valid JSON: {error}"
            self.refuse(ev.ErrorDetail(type=INVALID_REQUEST, code="invalid_json", message=message, event_id=event_id))

    def _dispatch(self, event_type: str, value: dict[str, Any]) -> None:
        check = _CHECKS.get(event_type)
        if check is None:
            raise refusal.unsupported(event_type, CLIENT_EVENT_TYPES, "type")
        check(value, "")
        match event_type:
            case "session.update":
                self._update(value["session"])
            case "input_audio_buffer.append":
                self._listener.append(base64_bytes(value["audio"], "audio"))
            case "input_audio_buffer.commit":
                self._listener.commit()
            case "input_audio_buffer.clear":
                self._listener.clear()
                self.emit(ev.InputAudioBufferCleared())
            case "conversation.item.create":
                self._create_item(value)
            case "conversation.item.retrieve":
                entry = self.conversation.retrieve(value["item_id"])
                self.emit(ev.ItemRetrieved(item=shown(entry, with_audio=True)))
            case "conversation.item.delete":
                self.conversation.delete(value["item_id"])
                self.emit(ev.ItemDeleted(item_id=value["item_id"]))
            case "conversation.item.truncate":
                self._truncate_item(value)
            case "response.create":
                self._create_response(value)
            case "response.cancel":
                self._cancel_response(value)
            case _:
                raise refusal.invalid(f"'{event_type}' is supported over WebRTC and SIP only.", "type")

    def _update(self, changes: Any) -> None:
        before = self.configuration.turn_detection
        self.configuration.update(changes, voice_locked=self.conversation.has_assistant_audio())
        if self.configuration.turn_detection != before:
            self._cancel_idle()
        self._listener.configure(self.configuration.input["format"], self.configuration.turn_detection)
        self._send_session("session.updated")

    def _create_item(self, value: dict[str, Any]) -> None:
        entry = read_item(value["item"], bytes_per_ms(self.configuration.input["format"]), "item", self._ids)
        self._show_new(entry, self.conversation.insert(entry, value.get("previous_item_id")))
        if entry.audio and entry.is_unheard_audio():
            # The model hears it, but transcription events are for the input audio buffer only.
            self._host.transcribe(entry, self.configuration.input["format"], None)

    def _truncate_item(self, value: dict[str, Any]) -> None:
        cut = {key: value[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**cut)
        self.emit(ev.ItemTruncated(**cut))

    def _create_response(self, value: dict[str, Any]) -> None:
        params = value.get("response")
        self._respond(checked_params({} if params is None else params))

    def _cancel_response(self, value: dict[str, Any]) -> None:
        wanted = value.get("response_id")
        live = self._active
        if wanted is not None and (live is None or live.id != wanted):
            live = self._out_of_band.get(wanted)
        if live is None:
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found")
        self._stop(live, "client_cancelled")

    # -- responses ------------------------------------------------------------------------------------------------

    def _respond(self, params: dict[str, Any]) -> None:
        if isinstance(self.configuration, TranscriptionConfiguration):
            raise refusal.invalid("A transcription session has no responses.", "type")
        out_of_band = is_out_of_band(params)
        if not out_of_band and self._active is not None:
            message = (
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            raise Refusal("conversation_already_has_active_response", message)
        if out_of_band and len(self._out_of_band) >= OUT_OF_BAND_MAX:
            message = f"At most {OUT_OF_BAND_MAX} out-of-band responses can be in progress at a time."
            raise Refusal("rate_limit_exceeded", message, kind="rate_limit_error")
        plan = plan_response(params, self.configuration, self.conversation, self._ids, self._settings.context_tokens)
        if not self._host.begins():
            return
        live = LiveResponse(plan, self._ids, self.emit, self._response_done, self._bill)
        if out_of_band:
            self._out_of_band[live.id] = live
        else:
            self._active = live
            self._cancel_idle()
        live.start()
        self._host.generate(live)

    def _stop(self, live: LiveResponse, reason: str) -> None:
        live.finish("cancelled", reason)
        self._host.stop(live)

    def _bill(self, live: LiveResponse) -> Usage:
        prompt = live.plan.prompt
        empty: list[Segment] = []
        nearest = max(self._prompts, key=lambda earlier: len(shared_prefix(earlier, prompt)), default=empty)
        output_audio = live.output_tokens - live.output_text_tokens
        return usage_of(prompt, nearest, live.output_text_tokens, output_audio)

    def _response_done(self, live: LiveResponse) -> None:
        if live.usage is not None:
            self._prompts.append(live.plan.prompt)
        self.meter.charge(live.status, live.usage)
        if live is self._active:
            self._active = None
            self._await_idle(live.output_audio_ms)
        self._out_of_band.pop(live.id, None)
        total = live.usage.total_tokens if live.usage else 0
        remaining, reset_seconds = self._rate.spend(total, self._host.now())
        limit = ev.RateLimit(name="tokens", limit=self._rate.limit, remaining=remaining, reset_seconds=reset_seconds)
        self._host.at(
            self._host.now() + RATE_LIMITS_DELAY_S, lambda: self.emit(ev.RateLimitsUpdated(rate_limits=[limit]))
        )

    # -- turns of the user ----------------------------------------------------------------------------------------

    def speech_began(self) -> None:
        """The user began to speak: an interruptible response ends."""
        self._cancel_idle()
        detection = self.configuration.turn_detection
        if self._active is not None and detection is not None and detection.get("interrupt_response"):
            self._stop(self._active, "turn_detected")

    def turn_committed(self, entry: Entry, *, by_detection: bool) -> None:
        """Audio became an item; where turns are detected, a response follows."""
        self._cancel_idle()
        try:
            previous = self.conversation.insert(entry)
        except Refusal as full:
            self.refuse(full.detail)
            return
        self.emit(ev.InputAudioBufferCommitted(previous_item_id=previous, item_id=entry.id))
        self._show_new(entry, previous)
        if not entry.idle:
            self._transcribe(entry)
        detection = self.configuration.turn_detection
        if by_detection and detection is not None and detection.get("create_response"):
            try:
                self._respond({})
            except Refusal as refused:
                # No client event asked for it, so there is no event id to name.
                self.refuse(refused.detail)

    def _await_idle(self, audio_ms: float) -> None:
        detection = self.configuration.turn_detection
        timeout_ms = detection.get("idle_timeout_ms") if detection else None
        if timeout_ms is None:
            return
        heard_at = self._host.now() + audio_ms / 1000

        def playback_ended() -> None:
            self._listener.playback_ended()
            self._idle_alarm = self._host.at(heard_at + timeout_ms / 1000, self._idle)

        self._idle_alarm = self._host.at(heard_at, playback_ended)

    def _idle(self) -> None:
        self._idle_alarm = None
        if not self._listener.speaking and self._active is None:
            self._listener.idle_timeout()

    def _cancel_idle(self) -> None:
        if self._idle_alarm is not None:
            self._idle_alarm.cancel()
            self._idle_alarm = None

    def _transcribe(self, entry: Entry) -> None:
        configured = self.configuration.input
        self._host.transcribe(entry, configured["format"], configured["transcription"])

    # -- pieces ---------------------------------------------------------------------------------------------------

    def _show_new(self, entry: Entry, previous: str | None) -> None:
        self.emit(ev.ItemAdded(previous_item_id=previous, item=shown(entry)))
        self.emit(ev.ItemDone(previous_item_id=previous, item=shown(entry)))

    def _send_session(self, event_type: str) -> None:
        event = {"type": event_type, "event_id": self._ids("event"), "session": self.configuration.session}
        self._host.send(event_type, encode(event))
