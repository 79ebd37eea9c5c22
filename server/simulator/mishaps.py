"""Carries out scripted faults on one live connection. Which are due is the schedule's business."""

import math

import trio

from protocol.realtime import server_events as ev
from protocol.realtime.codec import encode
from server.simulator.faults import ConnectionFaults, FaultRule
from server.simulator.generation import FAILURE_MESSAGE, Trouble
from server.simulator.outbox import Outbox
from server.simulator.session import Host, Session
from server.simulator.wire import Wire

MALFORMED_FRAME = b'{"type":"response.output_text.delta","event_id":"event_malformed","delta":"cut o'
UNKNOWN_EVENT = {"type": "simulator.unknown", "event_id": "event_unknown", "detail": {"made": "by a fault"}}
_ERROR_MESSAGE = "The simulator was told to fail here."
_ALWAYS = -1
_BEFORE_THE_EVENT = frozenset({"delay", "stall"})


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
        self._session: Session | None = None

    def concern(self, session: Session) -> None:
        """Name the session that errors and expiry belong to."""
        self._session = session

    async def before_receiving(self, event_type: str) -> None:
        """A client event is about to be carried out: whatever is due happens first."""
        for rule in self._faults.due(event_type):
            self._plan(rule)
        await self.reading_held()
        await _until(self._sending_held_until)

    async def reading_held(self) -> None:
        """Wait while a stall lasts."""
        await _until(self._reading_held_until)

    async def before_sending(self, event_type: str) -> list[FaultRule]:
        """An event is about to be sent: waits while it is held back; gives the faults that follow it."""
        rules = self._faults.due(event_type)
        for rule in rules:
            if rule.do in _BEFORE_THE_EVENT:
                self._plan(rule)
        await _until(self._sending_held_until)
        return [rule for rule in rules if rule.do not in _BEFORE_THE_EVENT]

    def after_sending(self, rules: list[FaultRule], frame: bytes) -> None:
        """The event is out: do the rest."""
        for rule in rules:
            if rule.do == "duplicate":
                self._faults.fired(rule)
                self._outbox.put_first(frame)
            else:
                self._plan(rule)

    def _plan(self, rule: FaultRule) -> None:
        if rule.after_ms:
            self._host.at(self._host.now() + rule.after_ms / 1000, lambda: self._do(rule))
        else:
            self._do(rule)

    def _do(self, rule: FaultRule) -> None:
        self._faults.fired(rule)
        match rule.do:
            case "delay" | "stall":
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
        self._sending_held_until = max(self._sending_held_until, until)
        if rule.do == "stall":
            self._reading_held_until = max(self._reading_held_until, until)

    def _trouble_with(self, rule: FaultRule) -> None:
        times = rule.times or _ALWAYS
        match rule.do:
            case "server_error":
                self._trouble.failing = times
                self._trouble.failure_code = str(rule.code) if rule.code else None
                self._trouble.failure_message = rule.message or FAILURE_MESSAGE
            case "content_filter":
                self._trouble.filtered = times
            case "transcription_failed":
                self._trouble.transcriptions_failing = times
            case "slow":
                self._trouble.slowness = rule.factor


async def _until(when: float) -> None:
    if when > trio.current_time():
        await trio.sleep_until(when)
