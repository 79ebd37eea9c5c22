"""Carries out scripted faults on one live connection. Which are due is the schedule's business."""

import math

import msgspec
import trio

from protocol.realtime import server_events as ev
from protocol.realtime.codec import encode
from server.simulator.faults import ConnectionFaults, FaultRule
from server.simulator.generation import FAILURE_MESSAGE, Trouble
from server.simulator.outbox import Outbox, Outgoing
from server.simulator.session import Host, Session
from server.simulator.wire import Wire

MALFORMED_FRAME = b'{"type":"response.output_text.delta","event_id":"event_malformed","delta":"cut o'
UNKNOWN_EVENT = {"type": "simulator.unknown", "event_id": "event_unknown", "detail": {"made": "by a fault"}}
_ERROR_MESSAGE = "The simulator was told to fail here."
_ALWAYS = -1
_BEFORE_THE_EVENT = frozenset({"delay", "stall", "mute"})
# These carry the frame itself somewhere, and cannot be done without it being sent now.
_WITH_THE_FRAME = frozenset({"swap", "duplicate", "late"})
# An event that is to change places with the next one is sent after so long if none comes.
SWAP_SECONDS = 1.0


class _OfResponse(msgspec.Struct):
    response_id: str


class _Ended(msgspec.Struct):
    id: str


class _Done(msgspec.Struct):
    response: _Ended


class Mishaps:
    """The faults of one connection, applied as events come and go."""

    def __init__(self, faults: ConnectionFaults, host: Host, outbox: Outbox, wire: Wire, trouble: Trouble) -> None:
        self._faults = faults
        self._host = host
        self._outbox = outbox
        self._wire = wire
        self._trouble = trouble
        self._sending_held_until = -math.inf
        self._reading_held_until = -math.inf
        self._mute_until = -math.inf
        self._late: dict[str, list[bytes]] = {}
        self._session: Session | None = None

    def concern(self, session: Session) -> None:
        """Name the session that errors and expiry belong to."""
        self._session = session

    @property
    def mute(self) -> bool:
        """Whether what is to be sent is lost instead."""
        return self._mute_until > trio.current_time()

    @property
    def stalled(self) -> bool:
        """Whether nothing is read."""
        return self._reading_held_until > trio.current_time()

    async def before_receiving(self, event_type: str) -> None:
        """A client event is about to be carried out: whatever is due happens first."""
        for rule in self._faults.due(event_type):
            self._plan(rule)
        await self.reading_held()
        await self._held(self._sending_held_until)

    async def reading_held(self) -> None:
        """Wait while a stall lasts, and the client with it."""
        await self._held(self._reading_held_until)

    async def before_sending(self, event_type: str) -> list[FaultRule]:
        """An event is about to be sent: waits while it is held back; gives the faults that follow it."""
        rules = self._faults.due(event_type)
        for rule in rules:
            if rule.do in _BEFORE_THE_EVENT:
                self._plan(rule)
        await self._held(self._sending_held_until)
        return [rule for rule in rules if rule.do not in _BEFORE_THE_EVENT]

    async def swapped(self, rules: list[FaultRule], frame: bytes) -> bool:
        """Put the event behind the next one, if that is due; False if it is to be sent now."""
        rule = next((rule for rule in rules if rule.do == "swap"), None)
        if rule is None:
            return False
        self._faults.fired(rule)
        with trio.move_on_after(SWAP_SECONDS) as waiting:
            await self._outbox.put_behind_next(frame)
        if waiting.cancelled_caught:
            return False
        for other in rules:
            if other.do not in _WITH_THE_FRAME:
                self._plan(other)
        return True

    def after_sending(self, rules: list[FaultRule], outgoing: Outgoing) -> None:
        """The event is out: do the rest."""
        if outgoing.event_type == "response.done" and self._late:
            ended = msgspec.json.decode(outgoing.frame, type=_Done).response.id
            for frame in reversed(self._late.pop(ended, [])):
                self._outbox.put_first(frame)
        for rule in rules:
            match rule.do:
                case "duplicate":
                    self._faults.fired(rule)
                    self._outbox.put_first(outgoing.frame)
                case "late":
                    self._faults.fired(rule)
                    response_id = msgspec.json.decode(outgoing.frame, type=_OfResponse).response_id
                    self._late.setdefault(response_id, []).append(outgoing.frame)
                case "swap":
                    pass  # nothing came to change places with
                case _:
                    self._plan(rule)

    async def _held(self, until: float) -> None:
        if until <= trio.current_time():
            return
        # Nothing else would tell that the client has gone, and a hold may be for good.
        with trio.move_on_at(until):
            await self._wire.ended.wait()

    def _plan(self, rule: FaultRule) -> None:
        if rule.after_ms:
            self._host.at(self._host.now() + rule.after_ms / 1000, lambda: self._do(rule))
        else:
            self._do(rule)

    def _do(self, rule: FaultRule) -> None:
        self._faults.fired(rule)
        match rule.do:
            case "delay" | "stall" | "mute":
                self._hold(rule)
            case "drop":
                self._wire.drop()
            case "reset":
                self._wire.reset()
            case "close":
                self._outbox.close(int(rule.code or 1000), rule.reason, at_once=True)
            case "error":
                detail = ev.ErrorDetail(type=rule.type, code=str(rule.code), message=rule.message or _ERROR_MESSAGE)
                self._outbox.put_first(encode(ev.Error(event_id="event_fault", error=detail)))
            case "malformed":
                self._outbox.put_first(MALFORMED_FRAME)
            case "unknown":
                self._outbox.put_first(encode(UNKNOWN_EVENT))
            case "expire":
                if self._session is not None:
                    self._session.expire()
            case _:
                self._trouble_with(rule)

    def _hold(self, rule: FaultRule) -> None:
        until = math.inf if rule.ms is None else self._host.now() + rule.ms / 1000
        if rule.do == "mute":
            self._mute_until = max(self._mute_until, until)
            return
        self._sending_held_until = max(self._sending_held_until, until)
        if rule.do == "stall":
            self._reading_held_until = max(self._reading_held_until, until)
            self._wire.hold_until(until)

    def _trouble_with(self, rule: FaultRule) -> None:
        times = rule.times or _ALWAYS
        match rule.do:
            case "server_error":
                self._trouble.failing = times
                self._trouble.failure_code = str(rule.code) if rule.code else None
                self._trouble.failure_message = rule.message or FAILURE_MESSAGE
            case "no_response":
                self._trouble.unbegun = times
            case "content_filter":
                self._trouble.filtered = times
            case "transcription_failed":
                self._trouble.transcriptions_failing = times
            case "slow":
                self._trouble.slowness = rule.factor
