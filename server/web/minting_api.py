"""What backends ask for on behalf of their pages: client secrets, shaped as OpenAI's, and tickets for `/ws`.

Who may mint, and how much of it, is decided in the security room.
"""

import re
import secrets
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from quart import Response

from protocol.errors import ClientFault
from server.security.minting import DEFAULT_SECRET_S, MAX_SECRET_S, MAX_TICKET_S, MIN_SECRET_S, Mint, Wish
from server.security.principal import MOST_MINUTES, MOST_SESSIONS, MOST_USD, Allowance
from server.web.access import principal
from server.web.operations import Asked, Nothing, Operation, answer

__all__ = ["CLIENT_SECRET_PATHS", "TICKET_PATH", "minting_operations"]

CLIENT_SECRET_PATHS = ("/v1/realtime/client_secrets", "/openai/v1/realtime/client_secrets")
TICKET_PATH = "/api/tickets"

_MAX_KB_IDS = 100

_KbId = Annotated[str, Meta(min_length=1, max_length=128)]
_MAX_ORIGIN_CHARS = 300
# As browsers write it: scheme, host, port, all ASCII; nothing behind. One slash is what people copy along with it.
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[A-Za-z0-9._:\[\]-]+)/?")
# The same for whoever reads the API's description; what is refused is told in words.
_ORIGIN_SCHEMA = {"pattern": r"^https?://[A-Za-z0-9._:\[\]-]+/?$", "maxLength": _MAX_ORIGIN_CHARS}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# What a session may be given, of all that the protocol knows. The model and the server's tools are the server's.
_PRESET_FIELDS = frozenset(
    {"audio", "include", "instructions", "max_output_tokens", "output_modalities", "parallel_tool_calls", "prompt",
     "reasoning", "temperature", "tool_choice", "tools", "tracing", "truncation"}
)  # fmt: skip

# Of a session, for whoever reads the API's description.
_SESSION_SCHEMA: dict[str, Any] = {
    "propertyNames": {"enum": sorted(_PRESET_FIELDS | {"type", "model"})},
    "properties": {
        "type": {"const": "realtime"},
        "instructions": {"type": "string"},
        "audio": {"type": "object"},
        "tools": {"type": "array"},
    },
}


class MintedLimits(msgspec.Struct, forbid_unknown_fields=True):
    """How much whoever holds it may use; nothing said is as much as the minter may."""

    sessions: Annotated[int, Meta(ge=1, le=MOST_SESSIONS)] | None = None
    minutes_per_day: Annotated[float, Meta(gt=0, le=MOST_MINUTES)] | None = None
    usd_per_day: Annotated[float, Meta(gt=0, le=float(MOST_USD))] | None = None

    @property
    def allowance(self) -> Allowance:
        # By its digits: 0.1 is a tenth.
        usd = None if self.usd_per_day is None else Decimal(repr(self.usd_per_day))
        return Allowance(self.sessions, self.minutes_per_day, usd)


class _Binding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What both kinds are bound to."""

    kb_ids: Annotated[list[_KbId], Meta(min_length=1, max_length=_MAX_KB_IDS)] | None = None
    origin: Annotated[str, Meta(extra_json_schema=_ORIGIN_SCHEMA)] | None = None
    limits: MintedLimits = msgspec.field(default_factory=MintedLimits)

    def wish(self, instructions: str | None, preset: dict[str, Any]) -> Wish:
        return Wish(
            kb_ids=None if self.kb_ids is None else tuple(self.kb_ids),
            allowance=self.limits.allowance,
            instructions=instructions,
            preset=preset,
            origin=None if self.origin is None else _as_browsers_write(self.origin),
        )


class TicketRequest(_Binding, kw_only=True, forbid_unknown_fields=True):
    """What a ticket is to be for."""

    instructions: str | None = None
    expires_after_s: Annotated[int, Meta(ge=1, le=MAX_TICKET_S)] = MAX_TICKET_S


class ExpiresAfter(msgspec.Struct, forbid_unknown_fields=True):
    """When a client secret expires."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=MIN_SECRET_S, le=MAX_SECRET_S)] = DEFAULT_SECRET_S


class ClientSecretRequest(_Binding, kw_only=True, forbid_unknown_fields=True):
    """What a client secret is to be for."""

    expires_after: ExpiresAfter = msgspec.field(default_factory=ExpiresAfter)
    session: Annotated[dict[str, Any], Meta(extra_json_schema=_SESSION_SCHEMA)] = {}


class Ticket(msgspec.Struct, frozen=True):
    """A ticket for one connection to `/ws`; ``expires_at`` in Unix seconds."""

    ticket: str
    expires_at: int


class ClientSecret(msgspec.Struct, frozen=True):
    """A client secret, and the session as it will be; ``expires_at`` in Unix seconds."""

    value: str
    expires_at: int
    session: dict[str, Any]


def minting_operations(mint: Mint) -> list[Operation[Any, Any]]:
    """The operations that mint."""

    async def tickets(asked: Asked[Nothing, TicketRequest]) -> Response:
        wanted = asked.body
        wish = wanted.wish(wanted.instructions, {})
        minted = await mint.ticket(principal(), wish, wanted.expires_after_s)
        return answer(Ticket(minted.value, minted.expires_at))

    async def client_secrets(asked: Asked[Nothing, ClientSecretRequest]) -> Response:
        wanted = asked.body
        preset = _preset(wanted.session)
        instructions = preset.pop("instructions", None)
        wish = wanted.wish(instructions, preset)
        minted = await mint.client_secret(principal(), wish, wanted.expires_after.seconds)
        session = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{secrets.token_hex(12)}",
            # Zero, as the services say it: a session that was not begun does not end.
            "expires_at": 0,
            **{key: value for key, value in wanted.session.items() if key == "model"},
            **preset,
        }
        if instructions is not None:
            session["instructions"] = instructions
        return answer(ClientSecret(minted.value, minted.expires_at, session))

    return [
        Operation(
            method="POST",
            path=TICKET_PATH,
            name="mint_ticket",
            summary="A ticket: opens one connection to /ws, within a minute",
            answer=tickets,
            reply=Ticket,
            scopes=("mint",),
            body=TicketRequest,
        ),
        *(
            Operation(
                method="POST",
                path=path,
                name=f"mint_client_secret_{number}" if number else "mint_client_secret",
                summary="A client secret: opens sessions until it expires",
                answer=client_secrets,
                reply=ClientSecret,
                scopes=("mint",),
                body=ClientSecretRequest,
            )
            for number, path in enumerate(CLIENT_SECRET_PATHS)
        ),
    ]


def _as_browsers_write(origin: str) -> str:
    """An origin as pages of it will show it. Raises `ClientFault`."""
    match = _ORIGIN.fullmatch(origin) if len(origin) <= _MAX_ORIGIN_CHARS else None
    if match is None:
        text = "The origin must be scheme and host, and a port where it has one, such as https://shop.example."
        raise ClientFault(text, code="invalid_value")
    scheme, authority = match["scheme"], match["authority"].lower()
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS[scheme])}"


def _preset(session: dict[str, Any]) -> dict[str, Any]:
    """What a client secret's session is to be, as far as that is anybody's but the server's to say."""
    if session.get("type", "realtime") != "realtime":
        text = "Only sessions of the type 'realtime' are served here."
        raise ClientFault(text, code="invalid_value")
    preset = {key: value for key, value in session.items() if key not in ("type", "model")}
    if unknown := preset.keys() - _PRESET_FIELDS:
        raise ClientFault(f"Unknown parameter: 'session.{min(unknown)[:40]}'.", code="unknown_parameter")
    if not isinstance(preset.get("instructions", ""), str):
        raise ClientFault("session.instructions must be a text.", code="invalid_type")
    if not isinstance(preset.get("audio", {}), dict) or not isinstance(preset.get("tools", []), list):
        raise ClientFault("session.audio must be an object, and session.tools a list.", code="invalid_type")
    return preset
