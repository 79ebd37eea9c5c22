"""The extension events of ``/ws`` and ``?extensions=avatar``, both directions. Knows nothing of when they are sent."""

from typing import Any, Literal

import msgspec

from protocol.realtime.base import UNSET, Maybe, Wire
from protocol.realtime.client_events import ClientEvent
from protocol.realtime.server_events import ServerEvent

State = Literal["listening", "thinking", "searching", "speaking", "reconnecting", "degraded", "ending"]


class Resume(msgspec.Struct, kw_only=True):
    """What a client that was cut off says in ``session.init``: its session, the token it was last given for it, and

    the ``event_id`` of the last event it received.
    """

    session_id: str
    token: str
    last_event_id: Maybe[str | None] = UNSET


class SessionInit(msgspec.Struct, kw_only=True):
    """The first frame of ``/ws``. ``type`` may be left out; ``api_key`` is another name of ``token``.

    ``user`` is whoever talks, by a name that the client's own users are known by.
    """

    type: Literal["session.init"] = "session.init"
    kb_id: Maybe[str | None] = UNSET
    token: Maybe[str | None] = UNSET
    api_key: Maybe[str | None] = UNSET
    dialect: Maybe[str | None] = UNSET
    user: Maybe[str | None] = UNSET
    resume: Maybe["Resume | None"] = UNSET

    @property
    def credential(self) -> str | None:
        """The credential in the frame, by either of its names."""
        return self.token or self.api_key or None


class AvatarPlayback(ClientEvent, tag="avatar.playback", kw_only=True):
    """What the person has really heard of an item: ``played_ms`` from the start of the item's audio."""

    item_id: str
    content_index: int = 0
    played_ms: float


class ProfileView(Wire, kw_only=True):
    """What a page may show of a knowledge base's persona."""

    title: str
    greeting: str
    voice: str
    language: str
    sample_questions: list[str]


class Snapshot(Wire, kw_only=True):
    """Where a conversation stands, for a client that can no longer be told what it missed.

    ``items`` are the messages, oldest first, in the wire's form; ``session`` is what ``session.updated`` last showed;
    ``response_id`` the response under way; ``state`` as in ``avatar.state``.
    """

    items: list[dict[str, Any]]
    session: dict[str, Any] | None
    response_id: str | None
    state: State | None


class AvatarSession(ServerEvent, tag="avatar.session", kw_only=True):
    """The first event on ``/ws``.

    ``resume_token`` and ``resume_window_s`` (seconds): for a client that is cut off; 0: the session ends with its
    connection. ``expires_at``: Unix seconds at which the session ends at the latest. To a client that resumed,
    ``recovered`` says whether all that it missed follows; if not, ``snapshot`` is where the conversation stands.
    """

    session_id: str
    kb_id: str
    profile: ProfileView
    resume_token: str | None = None
    resume_window_s: float = 0
    expires_at: int | None = None
    recovered: Maybe[bool] = UNSET
    snapshot: Maybe[Snapshot] = UNSET


class AvatarState(ServerEvent, tag="avatar.state", kw_only=True):
    """What the avatar is doing, for its face."""

    state: State
    detail: Maybe[str] = UNSET


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that an answer rests on. ``score`` is comparable within one search only; higher is better."""

    id: str
    title: str
    uri: str
    snippet: str
    score: float


class AvatarCitations(ServerEvent, tag="avatar.citations", kw_only=True):
    """The passages found for the answer that item ``item_id`` speaks, best first."""

    response_id: str
    item_id: str
    sources: list[Source]


class AvatarVisemes(ServerEvent, tag="avatar.visemes", kw_only=True):
    """Mouth positions of an item's speech: ``[offset_ms, viseme_id]``, each until the next.

    Offsets count from ``start_ms``, which counts from the start of the item's audio; ids are Azure's 22 visemes.
    """

    item_id: str
    content_index: int
    start_ms: float
    visemes: list[tuple[float, int]]


class AvatarUsage(ServerEvent, tag="avatar.usage", kw_only=True):
    """Tokens of one answer, hidden tool rounds included. ``cached_tokens`` are a part of the input.

    ``cost_usd`` is what they cost, ``session_cost_usd`` what the session has cost so far, transcriptions included: US
    dollars as decimal numbers in strings, for a JSON number would be rounded by whoever reads it. ``budget_left_usd``
    is what is left of the budget that has least, as far as is known; it is left out where there is no budget.
    """

    response_id: str
    input_text_tokens: int
    input_audio_tokens: int
    input_image_tokens: int
    cached_tokens: int
    output_text_tokens: int
    output_audio_tokens: int
    total_tokens: int
    cost_usd: str
    session_cost_usd: str
    budget_left_usd: Maybe[str] = UNSET


class AvatarGoingAway(ServerEvent, tag="avatar.going_away", kw_only=True):
    """The server is about to close; connect again within the time given."""

    reason: str
    reconnect_within_s: float
