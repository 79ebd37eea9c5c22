"""What one session hands over to be kept: the machine's records and charges, and what runs around it, as they happen.

Plain functions that never wait. It decides nothing; whether there is room for what it hands over, the journal says.
"""

import datetime as dt
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_UP
from typing import Final

import msgspec

from protocol.conversation.actions import (
    Called,
    Charge,
    Heard,
    RunTool,
    Said,
    Stopped,
    Timed,
    ToolResult,
)
from protocol.conversation.actions import Record as Recorded
from protocol.conversation.ledger import CHARGES_KEPT
from protocol.endings import EndReason
from protocol.prices.cost import Cost
from server.security.principal import Principal
from server.store.base import SessionJournal
from server.store.money import COST_MAX_USD, USD_QUANTUM
from server.store.records import (
    HeardText,
    Record,
    SaidText,
    SessionBegun,
    SessionEnded,
    StoppedText,
    Tokens,
    ToolCall,
    TurnTimes,
    UsageLine,
)

__all__ = ["Recorder"]

_MS_PER_S: Final = 1000
# Of a text, and of a tool's arguments: more than any model takes, and a fraction of what a session may have waiting.
_TEXT_MAX_CHARS: Final = 128 * 1024
_CUT: Final = " […]"


class _Told(msgspec.Struct):
    """What a tool's result says of itself to whoever does not understand words."""

    error: object = None
    unavailable: object = None


_TOLD: Final = msgspec.json.Decoder(_Told)


@dataclass(slots=True)
class _Call:
    """A tool call that has not come back. ``status``: what became of it meanwhile."""

    call: RunTool
    asked_at: float
    began_at: float | None = None
    status: str = ""


class Recorder:
    """Records one session.

    Its times of day are those of the beginning and what the session's clock says since: they are in order, and no
    duration is negative, also where the time of day is set meanwhile.

    Args:
        journal: the session's way into the records.
        person: by whom all of somebody's sessions are found.
        clock: the session's clock, in seconds.
        wall: the time of day, in Unix seconds.
    """

    def __init__(
        self,
        session_id: str,
        journal: SessionJournal,
        *,
        kb_id: str,
        principal: Principal,
        person: str,
        endpoint: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._session_id = session_id
        self._journal = journal
        self._kb_id = kb_id
        self._principal = principal
        self._endpoint = endpoint
        self._clock = clock
        self._wall_offset_s = wall() - clock()
        self._began_at = clock()
        self._model = ""
        # Those that were asked for and have not come back; the session bounds how many.
        self._calls: dict[str, _Call] = {}
        # How often each thing was charged for: an item is transcribed anew by each connection that hears it.
        self._charged: OrderedDict[str, int] = OrderedDict()
        self._unnamed = 0
        self.person = person
        self.turns = 0
        """Pieces of the conversation so far."""
        self.first_audio_ms: float | None = None
        """Of the newest answer that sounded: from the end of the question to its first sound."""
        self.is_lost = False
        """Whether there was no room for something: the session must not go on as if it were recorded."""

    def began(self) -> None:
        """The session begins."""
        self._began_at = self._clock()
        self._keep_beginning()

    def _keep_beginning(self) -> None:
        self._keep(
            SessionBegun(
                session_id=self._session_id,
                id=self._session_id,
                at=self._at(self._began_at),
                kb_id=self._kb_id,
                principal_id=self._principal.account,
                principal_name=self._principal.name,
                person=self.person,
                endpoint=self._endpoint,
                model=self._model,
            )
        )

    def take(self, record: Recorded) -> None:
        """What the machine wants to be recorded."""
        match record.entry:
            case Said(item_id=item_id, role=role, text=text, at=at):
                self.turns += 1
                self._keep(
                    SaidText(
                        session_id=self._session_id,
                        id=item_id or self._name("said"),
                        at=self._at(at),
                        role="user" if role == "user" else "assistant",
                        text=_bounded(text),
                    )
                )
            case Heard(item_id=item_id, heard_ms=heard_ms, sent_ms=sent_ms, text=text):
                self._keep(
                    HeardText(
                        session_id=self._session_id,
                        id=item_id,
                        at=self._at(),
                        text=_bounded(text),
                        heard_ms=heard_ms,
                        sent_ms=sent_ms,
                    )
                )
            case Timed() as timed:
                self._timed(timed)
            case Called(call_id=call_id, name=name, outcome=outcome):
                self._called(call_id, name, outcome)
            case Stopped(item_id=item_id, rule=rule, text=text):
                self._keep(
                    StoppedText(
                        session_id=self._session_id,
                        id=item_id or self._name("stopped"),
                        at=self._at(),
                        rule=rule,
                        text=_bounded(text),
                    )
                )

    def _timed(self, timed: Timed) -> None:
        if timed.first_audio_ms is not None:
            self.first_audio_ms = timed.first_audio_ms
        self._keep(
            TurnTimes(
                session_id=self._session_id,
                id=timed.item_id,
                at=self._at(timed.at),
                response_id=timed.response_id,
                status=timed.status,
                search_began_ms=timed.search_began_ms,
                search_ended_ms=timed.search_ended_ms,
                first_token_ms=timed.first_token_ms,
                first_audio_ms=timed.first_audio_ms,
                ended_ms=timed.ended_ms,
            )
        )

    # Tools

    def asked(self, call: RunTool) -> None:
        """A tool is to run, as soon as it has its turn."""
        self._calls[call.call_id] = _Call(call, self._clock())

    def refused(self, call: RunTool) -> None:
        """A tool is not run: there are too many calls."""
        self._keep_call(_Call(call, self._clock(), status="refused"))

    def runs(self, call: RunTool) -> None:
        """A tool begins to run."""
        if (known := self._calls.get(call.call_id)) is not None:
            known.began_at = self._clock()

    def ran(self, call: RunTool, result: ToolResult) -> None:
        """A tool has run. What the model was told before, that there is no result, stays the truth."""
        known = self._calls.pop(call.call_id, None) or _Call(call, self._clock())
        known.status = known.status or _status(result)
        self._keep_call(known, result)

    def _called(self, call_id: str, name: str, outcome: str) -> None:
        known = self._calls.get(call_id)
        if known is not None:
            # Its result is not there: the model was told that there will be none, or nobody waits for it.
            known.status = "lost" if outcome == "lost" else "unavailable"
            self._keep_call(known)
        elif outcome == "lost":
            call_id = call_id or self._name("call")
            self._keep(ToolCall(session_id=self._session_id, id=call_id, at=self._at(), name=name, status="lost"))

    def _keep_call(self, known: _Call, result: ToolResult | None = None) -> None:
        call, began_at = known.call, known.began_at
        self._keep(
            ToolCall(
                session_id=self._session_id,
                id=call.call_id,
                at=self._at(known.asked_at if began_at is None else began_at),
                name=call.name,
                status=known.status,
                arguments=_bounded(call.arguments),
                sources=None if result is None else tuple(evidence.source for evidence in result.evidence),
                duration_ms=None if began_at is None else round((self._clock() - began_at) * _MS_PER_S, 1),
            )
        )

    # Money

    def charged(self, charge: Charge) -> None:
        """Something of the service's is billed."""
        if charge.kind == "response" and not self._model and charge.model:
            # Not known when it began; what a later record says takes the earlier one's place.
            self._model = charge.model
            self._keep_beginning()
        cost = charge.cost
        usd = min(cost.usd, COST_MAX_USD)
        self._keep(
            UsageLine(
                session_id=self._session_id,
                id=self._name_of(charge),
                at=self._at(),
                what=charge.kind,
                principal_id=self._principal.account,
                kb_id=self._kb_id,
                model=charge.model,
                deployment=charge.deployment,
                cost_usd=usd.quantize(USD_QUANTUM, ROUND_UP),
                tokens=_tokens(cost),
                audio_ms=round(charge.seconds * _MS_PER_S),
                status=charge.status if charge.kind == "response" else "",
                prices=cost.version,
                is_estimate=bool(cost.doubts) or usd != cost.usd,
            )
        )

    def _name_of(self, charge: Charge) -> str:
        """An id of its own for each charge: the records count every id once, and the ledger charges nothing twice."""
        times = self._charged[charge.id] = self._charged.pop(charge.id, 0) + 1
        if len(self._charged) > CHARGES_KEPT:
            self._charged.popitem(last=False)
        return charge.id if times == 1 else f"{charge.id}#{times}"

    # The end

    def ended(self, reason: EndReason, detail: str) -> None:
        """The session is over, and with it what still ran for it."""
        for known in self._calls.values():
            if not known.status:
                known.status = "lost"
                self._keep_call(known)
        self._calls.clear()
        self._keep(
            SessionEnded(
                session_id=self._session_id, id=self._session_id, at=self._at(), reason=reason.label, detail=detail
            )
        )

    def _keep(self, record: Record) -> None:
        if not self._journal.record(record):
            self.is_lost = True

    def _name(self, what: str) -> str:
        """An id for something that the service gave none."""
        self._unnamed += 1
        return f"{what}_la_{self._unnamed}"

    def _at(self, moment: float | None = None) -> dt.datetime:
        """The time of day of a moment on the session's clock; None is now. Nothing is before the session."""
        at = self._clock() if moment is None else max(moment, self._began_at)
        return dt.datetime.fromtimestamp(self._wall_offset_s + at, tz=dt.UTC)


def _bounded(text: str) -> str:
    return text if len(text) <= _TEXT_MAX_CHARS else text[: _TEXT_MAX_CHARS - len(_CUT)] + _CUT


def _status(result: ToolResult) -> str:
    """``answered``; ``unavailable``, where what the tool stands on is down; ``failed``."""
    try:
        told = _TOLD.decode(result.output)
    except msgspec.DecodeError:
        return "answered"  # it is no object: a tool answers in whatever words it likes
    if told.error is None:
        return "answered"
    return "unavailable" if told.unavailable else "failed"


def _tokens(cost: Cost) -> Tokens:
    """The tokens that were billed. Cached ones are a part of the input here, and lines of their own there."""
    counts: dict[str, int] = {}
    for line in cost.lines:
        if line.unit == "token":
            kinds = ("cached", "input") if line.kind == "cached" else (line.kind,)
            for kind in kinds:
                name = f"{kind}_{line.modality}"
                counts[name] = counts.get(name, 0) + int(line.amount)
    # What an image is not: the services write none.
    counts.pop("output_image", None)
    return Tokens(**counts)
