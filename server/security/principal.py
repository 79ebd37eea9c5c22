"""A principal: somebody who was let in, and what they may. It holds no credential and checks none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

from protocol.conversation.configuration import BROWSER_FIELDS
from protocol.endings import EndReason
from protocol.errors import ClientFault

__all__ = [
    "LOCAL",
    "MOST_MINUTES",
    "MOST_SESSIONS",
    "MOST_USD",
    "PUBLIC",
    "SCOPES",
    "Allowance",
    "Kind",
    "Principal",
    "Scope",
    "not_allowed_kb",
]

Scope = Literal["talk", "mint", "records", "administer"]
"""What a principal may do: hold conversations, mint short-lived credentials, read records, administer the server."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

Kind = Literal["key", "jwt", "ticket", "client_secret", "open"]

# Numbers that nobody can want to exceed: those beyond are slips, and the largest of them no program can read again.
MOST_SESSIONS = 1_000_000
MOST_MINUTES = 1440.0 * MOST_SESSIONS
MOST_USD = Decimal(1_000_000)

# What was minted stands for somebody who is not there to show anything better.
_MINTED: frozenset[Kind] = frozenset({"ticket", "client_secret"})


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a principal may use; None is as much as the server's own limits leave.

    Attributes:
        sessions: sessions at once.
        minutes_per_day: minutes of sessions in a day.
        usd_per_day: US dollars of the Realtime service in a day.
    """

    sessions: int | None = None
    minutes_per_day: float | None = None
    usd_per_day: Decimal | None = None

    def within(self, other: "Allowance") -> "Allowance":
        """The narrower of both, each by itself."""
        return Allowance(
            _least(self.sessions, other.sessions),
            _least(self.minutes_per_day, other.minutes_per_day),
            _least(self.usd_per_day, other.usd_per_day),
        )


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was let in.

    Attributes:
        id: unique and stable; says nothing that lets anybody in.
        name: for people and logs.
        kind: what was shown.
        kb_ids: the knowledge bases it may use; None is all.
        settable: dotted paths of the session that it may set; None is everything but what is the server's own.
        allowance: how much it may use.
        instructions: the persona that its minter gave it, in place of the knowledge base's own.
        preset: session configuration that its minter gave it, in the wire's form; instructions are not in it.
        origin: the only page origin that it may come from; None is any.
        expires_at: Unix seconds, after which it lets nobody in any more; open sessions go on.
        minted_by: the id of the principal that minted it.
    """

    id: str
    name: str
    kind: Kind
    scopes: frozenset[Scope]
    kb_ids: frozenset[str] | None = None
    settable: frozenset[str] | None = None
    allowance: Allowance = Allowance()
    instructions: str | None = None
    preset: Mapping[str, Any] = field(default_factory=dict, repr=False)
    origin: str | None = None
    expires_at: float | None = None
    minted_by: str | None = None

    @property
    def account(self) -> str:
        """Whom use is counted on: the minter of what was minted, else the principal itself."""
        return self.minted_by or self.id

    @property
    def is_minted(self) -> bool:
        """Whether it was minted here, for somebody who has no better credential to show again."""
        return self.kind in _MINTED

    def may(self, scope: Scope) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes

    def may_use(self, kb_id: str) -> bool:
        """Whether it may use a knowledge base, be there one of this name or not."""
        return self.kb_ids is None or kb_id in self.kb_ids

    def may_come_from(self, origin: str | None) -> bool:
        """Whether pages of an origin may show it; None is no page."""
        return self.origin is None or (origin is not None and origin.lower() == self.origin.lower())

    def choose(self, wanted: str | None) -> str | None:
        """The knowledge base of a session: the wanted one, else its only one; None leaves it to the server.

        Raises:
            ClientFault: the wanted one is not for it.
        """
        if wanted is None:
            return next(iter(self.kb_ids)) if self.kb_ids is not None and len(self.kb_ids) == 1 else None
        if not self.may_use(wanted):
            raise not_allowed_kb()
        return wanted


def not_allowed_kb() -> ClientFault:
    """The refusal of a knowledge base; the same whether there is one of that name or not."""
    text = "This credential is not for that knowledge base. Ask for one that it was issued for."
    return ClientFault(text, code="knowledge_base_not_allowed", reason=EndReason.NOT_ALLOWED)


def _least(one: float | Decimal | None, other: float | Decimal | None) -> Any:
    return min((value for value in (one, other) if value is not None), default=None)


LOCAL = Principal(id="open:local", name="this machine", kind="open", scopes=frozenset(SCOPES), settable=None)
"""Whoever comes from this machine, where no credential is set up."""

PUBLIC = Principal(id="open:public", name="anybody", kind="open", scopes=frozenset({"talk"}), settable=BROWSER_FIELDS)
"""Whoever comes without a credential, where the operator opened the server to all."""
