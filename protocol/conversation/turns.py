"""A turn: one answer as the client sees it; it may take several responses of the service, with tool calls between."""

import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from protocol.conversation.synthetic import sum_of
from protocol.realtime.usage import Usage


class Phase(enum.Enum):
    """Where an answer stands."""

    GENERATING = "generating"  # the service's response is active
    TOOLS = "tools"  # the response ended; results of server tools are awaited
    REQUESTED = "requested"  # the follow-up was asked for and has not begun


@dataclass(slots=True, eq=False)
class Turn:
    """An answer under way.

    Attributes:
        params: the ``response`` object the client asked with; a follow-up inherits it.
        response_id: the service's response that is active or was last.
        created: the frame of ``response.created``.
        held: ``created`` is kept back until there is something to see.
        open_to_client: the client knows of a response of this turn that has not ended for it.
        pending: calls of server tools that have no result yet.
        calls_in_round: server tool calls of the current response.
        call_items: items of the turn's server tool calls and their outputs, in order.
        rounds: how many responses of this turn ended in server tool calls.
        hidden_usage, hidden_usd: usage and price of responses the client never saw.
        interrupted: the user began to speak while the response was generated.
        superseded: the user or the client went on to something else; no follow-up is asked for.
        client_create: the client's ``response.create`` that waits for our tools' results.
        items_done: items of the current response that the client saw end.
        breaks: how often this answer has been broken off by a lost connection.
        retries: how often it was asked for again because the service failed.
        cancelled: the client cancelled the current response, and its end is still to come.
        client_called: the response also called the client's tools, so the client asks for what follows.
    """

    response_id: str
    params: dict[str, Any] | None
    created: bytes
    held: bool = True
    phase: Phase = Phase.GENERATING
    pending: set[str] = field(default_factory=set)
    calls_in_round: int = 0
    call_items: list[str] = field(default_factory=list)
    rounds: int = 0
    hidden_usage: Usage | None = None
    hidden_usd: Decimal = Decimal(0)
    open_to_client: bool = False
    interrupted: bool = False
    superseded: bool = False
    client_called: bool = False
    cancelled: bool = False
    items_done: int = 0
    breaks: int = 0
    retries: int = 0
    client_create: dict[str, Any] | None = None

    @property
    def active_to_client(self) -> bool:
        """Whether the client must take a response to be active: one that is shown, or one that is still hidden."""
        return self.open_to_client or self.held

    def hide(self, usage: Usage | None, usd: Decimal) -> None:
        """A response of the turn ended that the client never saw: the next that it sees end counts for both."""
        self.hidden_usage, self.hidden_usd = sum_of(self.hidden_usage, usage), self.hidden_usd + usd

    def take_hidden(self) -> tuple[Usage | None, Decimal]:
        """Usage and price of what the client never saw; it is told now, once."""
        hidden = self.hidden_usage, self.hidden_usd
        self.hidden_usage, self.hidden_usd = None, Decimal(0)
        return hidden
