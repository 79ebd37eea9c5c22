"""The ledger of one conversation: every response and transcription that is billed, each once, at its own prices.

It reads the service's frames itself, so that what cannot be read otherwise is charged all the same. What an answer is
to the client it does not know.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from protocol.conversation.actions import Charge
from protocol.conversation.outlet import Outlet
from protocol.prices.book import PriceBook
from protocol.prices.cost import cost_of
from protocol.prices.metering import metered
from protocol.prices.terms import Quote, Terms, quote
from protocol.realtime.codec import decode_object
from protocol.realtime.usage import Usage

RESPONSE_DONE = "response.done"
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
# Charges remembered, to tell a repeated end from another: several hours of talking.
CHARGES_KEPT = 1024
# Connections remembered, those that were heard of last: what comes of one that was left comes within moments.
_CONNECTIONS_KEPT = 256
# Names and ids are logged and counted by; those of the services are shorter.
_NAME_MAX_CHARS = 200
_UNKNOWN = Terms(deployment="")


@dataclass(slots=True)
class Total:
    """What was used of a model at a deployment, and its price. ``seconds`` is sound that is billed by the minute."""

    charges: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: Decimal = Decimal(0)
    usd: Decimal = Decimal(0)


@dataclass(slots=True)
class _Served:
    """On which terms a connection serves, and what the service says that it runs there."""

    terms: Terms
    is_told: bool = False
    model: str = ""
    transcription_model: str = ""


class Ledger:
    """What a conversation has cost so far.

    Attributes:
        usd: US dollars, all charges together.
        usage: tokens of all responses; transcriptions are not among them.
        totals: by deployment and model.
        changes: counts what was learned of connections, by which prices may change.
    """

    def __init__(self, outlet: Outlet, book: PriceBook) -> None:
        self._outlet = outlet
        self._book = book
        self._served: OrderedDict[int, _Served] = OrderedDict()
        # What each response cost, by its id; transcriptions by connection, item and part.
        self._charged: OrderedDict[object, Decimal] = OrderedDict()
        self._wall_offset = 0.0
        self.changes = 0
        self._quotes: dict[int, tuple[object, tuple[Quote, Quote]]] = {}
        self.usd = Decimal(0)
        self.usage = Usage()
        self.totals: dict[tuple[str, str], Total] = {}

    def opened(self, connection: int, terms: Terms, wall: float) -> None:
        """A connection is open. ``wall`` is the time of day in Unix seconds: prices have dates."""
        self.changes += 1
        self._wall_offset = wall - self._outlet.now
        self._served[connection] = _Served(terms)
        while len(self._served) > _CONNECTIONS_KEPT:
            self._served.popitem(last=False)

    def told(self, connection: int, session: dict[str, Any]) -> None:
        """The service shows the session that a connection has: ``session`` is that object."""
        served = self._of(connection)
        served.is_told = True
        self.changes += 1
        served.model = _text(session, "model") or served.model
        # What was said before transcripts were switched off may still be transcribed.
        transcription = _text(_within(session, "audio", "input", "transcription"), "model")
        served.transcription_model = transcription or served.transcription_model

    def take(self, connection: int, frame: bytes, event_type: str) -> bool:
        """Charges for a ``response.done`` or a transcription. False if that was charged already, or is nobody's.

        Raises:
            InvalidEvent: the frame is no event.
        """
        event = decode_object(frame)
        if event_type == TRANSCRIBED:
            return self._transcription(connection, event)
        response = _within(event, "response")
        response_id, status = response.get("id"), response.get("status")
        if not isinstance(response_id, str) or not isinstance(status, str) or response_id in self._charged:
            return False
        served = self._of(connection)
        price = quote(self._book, served.terms, served.model, "conversation", self._today)
        used = metered(response.get("usage"))
        cost = cost_of(used, price, is_owed=status != "failed")
        self._enter(
            response_id,
            Charge(
                kind="response",
                id=response_id,
                status=status,
                connection=connection,
                deployment=served.terms.deployment,
                model=price.model,
                usage=used.usage if used is not None else None,
                cost=cost,
            ),
        )
        return True

    def _transcription(self, connection: int, event: dict[str, Any]) -> bool:
        item_id = _text(event, "item_id")
        # An item keeps its id on every connection, and each may transcribe it.
        key = connection, item_id, str(event.get("content_index"))
        if not item_id or key in self._charged:
            return False
        served = self._of(connection)
        price = quote(self._book, served.terms, served.transcription_model, "transcription", self._today)
        used = metered(event.get("usage"))
        self._enter(
            key,
            Charge(
                kind="transcription",
                id=item_id,
                status="completed",
                connection=connection,
                deployment=served.terms.deployment,
                model=price.model,
                usage=used.usage if used is not None else None,
                seconds=used.seconds if used is not None else Decimal(0),
                cost=cost_of(used, price),
            ),
        )
        return True

    def _enter(self, key: object, charge: Charge) -> None:
        """The one place where anything costs money."""
        if self._outlet.closed:
            return
        usd = charge.cost.usd
        self._charged[key] = usd
        while len(self._charged) > CHARGES_KEPT:
            self._charged.popitem(last=False)
        total = self.totals.setdefault((charge.deployment, charge.model), Total())
        total.charges += 1
        total.seconds += charge.seconds
        total.usd += usd
        self.usd += usd
        if charge.usage is not None:
            total.usage += charge.usage
            if charge.kind == "response":
                self.usage += charge.usage
        self._outlet.do(charge)

    def quotes(self, connection: int) -> tuple[Quote, Quote] | None:
        """What a response and a transcription cost there today; None as long as nobody knows what serves.

        A connection that has not said what serves is taken to be served as the others were; where none has said it, and
        one has shown its session, nobody will.
        """
        served = self._served.get(connection)
        if served is None:
            return None
        model = served.model or next((one.model for one in reversed(self._served.values()) if one.model), "")
        if not (model or served.terms.model or any(one.is_told for one in self._served.values())):
            return None
        key = connection, model, served.transcription_model, self._today
        if (known := self._quotes.get(connection)) is None or known[0] != key:
            conversation = quote(self._book, served.terms, model, "conversation", self._today)
            transcription = quote(self._book, served.terms, served.transcription_model, "transcription", self._today)
            known = self._quotes[connection] = key, (conversation, transcription)
            for gone in self._quotes.keys() - self._served.keys():
                del self._quotes[gone]
        return known[1]

    @property
    def model(self) -> str:
        """What serves the conversation, as the newest connection's service calls it; "" is not known yet."""
        return next(reversed(self._served.values())).model if self._served else ""

    def usd_of(self, response_id: str) -> Decimal:
        """What a response cost; 0 for one that is not charged."""
        return self._charged.get(response_id, Decimal(0))

    def by_deployment(self) -> dict[str, Decimal]:
        """US dollars by deployment."""
        sums: dict[str, Decimal] = {}
        for (deployment, _), total in self.totals.items():
            sums[deployment] = sums.get(deployment, Decimal(0)) + total.usd
        return sums

    def _of(self, connection: int) -> _Served:
        if connection in self._served:
            self._served.move_to_end(connection)
            return self._served[connection]
        return _Served(_UNKNOWN)

    @property
    def _today(self) -> date:
        return datetime.fromtimestamp(self._outlet.now + self._wall_offset, UTC).date()


def _within(value: object, *names: str) -> dict[str, Any]:
    """The object behind these names; empty if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name)
    return value[:_NAME_MAX_CHARS] if isinstance(value, str) else ""
