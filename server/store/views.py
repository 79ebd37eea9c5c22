"""What is read back of the records: pages of sessions, one session with everything, costs. It reads nothing itself."""

import datetime as dt
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from protocol.avatar.events import Source
from server.store.records import Tokens

__all__ = [
    "CallView",
    "CostLine",
    "Dimension",
    "RecordingView",
    "SessionDetail",
    "SessionFilter",
    "SessionPage",
    "SessionSummary",
    "TurnView",
    "UsagePage",
    "UsageView",
]

Dimension: TypeAlias = Literal["day", "principal_id", "kb_id", "model", "deployment"]
"""By what costs are added up."""


class SessionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions are meant; None is all. ``since`` is within, ``until`` is not.

    ``min_cost_usd``: they have cost at least so much until now.
    """

    since: dt.datetime | None = None
    until: dt.datetime | None = None
    kb_id: str | None = None
    principal_id: str | None = None
    person: str | None = None
    end_reason: str | None = None
    is_live: bool | None = None
    min_cost_usd: Decimal | None = None


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A session in a list. ``end_reason`` is None while it lives."""

    session_id: str
    began_at: dt.datetime
    ended_at: dt.datetime | None
    end_reason: str | None
    kb_id: str
    principal_id: str
    principal_name: str
    person: str
    endpoint: str
    model: str
    turns: int
    cost_usd: Decimal


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions, newest first. ``next_key`` asks for the page behind it; None: there is none."""

    sessions: list[SessionSummary]
    next_key: str | None


class TurnView(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the conversation. See `server.store.records` for what the parts mean.

    ``heard_text`` is None where all of it was heard; ``stopped_by`` names the rule by which it was not answered.
    """

    item_id: str
    at: dt.datetime
    role: str
    text: str
    heard_text: str | None
    heard_ms: int | None
    sent_ms: int | None
    stopped_by: str | None
    response_id: str | None
    status: str | None
    asked_at: dt.datetime | None
    search_began_ms: float | None
    search_ended_ms: float | None
    first_token_ms: float | None
    first_audio_ms: float | None
    ended_ms: float | None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call."""

    call_id: str
    at: dt.datetime
    name: str
    arguments: str | None
    sources: list[Source]
    status: str
    duration_ms: float | None
    response_id: str | None


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of usage."""

    session_id: str
    id: str
    at: dt.datetime
    day: str
    what: str
    status: str
    principal_id: str
    kb_id: str
    model: str
    deployment: str
    tokens: Tokens
    audio_ms: int
    cost_usd: Decimal
    prices: str
    is_estimate: bool


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of usage, oldest first. ``next_key`` asks for the page behind it; None: there is none."""

    lines: list[UsageView]
    next_key: str | None


class RecordingView(msgspec.Struct, frozen=True, kw_only=True):
    """A recording of sound, by reference."""

    side: str
    at: dt.datetime
    file: str
    duration_ms: int
    size_bytes: int
    dropped_ms: int
    note: str


class SessionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A session with everything. ``detail`` is the message it ended with."""

    session: SessionSummary
    detail: str
    turns: list[TurnView]
    tool_calls: list[CallView]
    usage: list[UsageView]
    recordings: list[RecordingView]


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of what falls together by the dimensions asked for; the others are None. ``lines``: how many were added."""

    day: str | None = None
    principal_id: str | None = None
    kb_id: str | None = None
    model: str | None = None
    deployment: str | None = None
    lines: int
    tokens: Tokens
    audio_ms: int
    cost_usd: Decimal
