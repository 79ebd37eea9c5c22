"""What one session hands over to be kept: the machine's records and charges, and what runs around it, as they happen.

Plain functions that never wait. It decides nothing; whether there is room for what it hands over, the journal says.
"""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

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
from protocol.endings import EndReason
from protocol.prices.cost import Cost
from server.security.principal import Principal
from server.store.base import SessionJournal
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

_USD_QUANTUM = Decimal("1e-12")
_MS_PER_S = 1000


class Recorder:
    """Records one session.

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
        self._person = person
        self._endpoint = endpoint
        self._clock = clock
        self._wall = wall
        self.turns = 0
        """Pieces of the conversation so far."""
        self.first_audio_ms: float | None = None
        """Of the newest answer that sounded: from the end of the question to its first sound."""
        self.is_lost = False
        """Whether there was no room for something: the session must not go on as if it were recorded."""
        self.person = person

    def began(self, model: str = "") -> None:
        """The session begins."""
        self._keep(
            SessionBegun(
                session_id=self._session_id,
                id=self._session_id,
                at=self._at(),
                kb_id=self._kb_id,
                principal_id=self._principal.account,
                principal_name=self._principal.name,
                person=self._person,
                endpoint=self._endpoint,
                model=model,
            )
        )

    def take(self, record: Recorded) -> None:
        """What the machine wants to be recorded."""
        match record.entry:
            case Said(item_id=item_id, role=role, text=text, at=at):
                self.turns += 1
                known: SaidText = SaidText(
                    session_id=self._session_id,
                    id=item_id,
                    at=self._at(at),
                    role="user" if role == "user" else "assistant",
                    text=text,
                )
                self._keep(known)
            case Heard(item_id=item_id, heard_ms=heard_ms, sent_ms=sent_ms, text=text):
                self._keep(
                    HeardText(
                        session_id=self._session_id,
                        id=item_id,
                        at=self._at(),
                        text=text,
                        heard_ms=heard_ms,
                        sent_ms=sent_ms,
                    )
                )
            case Timed() as timed:
                self._timed(timed)
            case Called(call_id=call_id, name=name, outcome="lost") if call_id:
                self._keep(ToolCall(session_id=self._session_id, id=call_id, at=self._at(), name=name, status="lost"))
            case Called():
                pass  # recorded when it was run, with what it found
            case Stopped(item_id=item_id, rule=rule, text=text):
                self._keep(
                    StoppedText(session_id=self._session_id, id=item_id or rule, at=self._at(), rule=rule, text=text)
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

    def ran(self, call: RunTool, result: ToolResult, began_at: float) -> None:
        """A tool has run; ``began_at`` is on the session's clock."""
        sources = tuple(evidence.source for evidence in result.evidence)
        self._keep(
            ToolCall(
                session_id=self._session_id,
                id=call.call_id,
                at=self._at(began_at),
                name=call.name,
                status="answered",
                arguments=call.arguments,
                sources=sources,
                duration_ms=round((self._clock() - began_at) * _MS_PER_S, 1),
            )
        )

    def charged(self, charge: Charge) -> None:
        """Something of the service's is billed."""
        cost = charge.cost
        self._keep(
            UsageLine(
                session_id=self._session_id,
                id=charge.id,
                at=self._at(),
                what=charge.kind,
                principal_id=self._principal.account,
                kb_id=self._kb_id,
                model=charge.model,
                deployment=charge.deployment,
                cost_usd=cost.usd.quantize(_USD_QUANTUM),
                tokens=_tokens(cost),
                audio_ms=round(charge.seconds * _MS_PER_S),
                status=charge.status if charge.kind == "response" else "",
                prices=cost.version,
                is_estimate=bool(cost.doubts),
            )
        )

    def ended(self, reason: EndReason, detail: str) -> None:
        """The session is over."""
        self._keep(
            SessionEnded(
                session_id=self._session_id, id=self._session_id, at=self._at(), reason=reason.label, detail=detail
            )
        )

    def _keep(self, record: Record) -> None:
        if not self._journal.record(record):
            self.is_lost = True

    def _at(self, moment: float | None = None) -> dt.datetime:
        """The time of day of a moment on the session's clock; None is now."""
        ago_s = 0.0 if moment is None else self._clock() - moment
        return dt.datetime.fromtimestamp(self._wall() - ago_s, tz=dt.UTC)


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
