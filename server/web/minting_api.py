"""What backends ask for on behalf of their pages: client secrets, shaped as OpenAI's, and tickets for `/ws`.

Who may mint, and how much of it, is decided in the security room.
"""

import re
import secrets
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from protocol.errors import ClientFault
from server.security.minting import DEFAULT_SECRET_S, MAX_SECRET_S, MAX_TICKET_S, MIN_SECRET_S, Mint, Wish
from server.security.principal import MOST_MINUTES, MOST_SESSIONS, Allowance
from server.web.access import require

__all__ = ["CLIENT_SECRET_PATHS", "TICKET_PATH", "add_minting_routes"]

CLIENT_SECRET_PATHS = ("/v1/realtime/client_secrets", "/openai/v1/realtime/client_secrets")
TICKET_PATH = "/api/tickets"

# A persona is a page or two of text, and tools have their schemas.
MAX_BODY_BYTES = 64 * 1024
_MAX_KB_IDS = 100

_KbId = Annotated[str, Meta(min_length=1, max_length=128)]
_MAX_ORIGIN_CHARS = 300
# As browsers write it: scheme, host, port; nothing behind. One slash is what people copy along with it.
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#@\\\s,]+)/?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# What a session may be given, of all that the protocol knows. The model and the server's tools are the server's.
_PRESET_FIELDS = frozenset(
    {"audio", "include", "instructions", "max_output_tokens", "output_modalities", "parallel_tool_calls", "prompt",
     "reasoning", "temperature", "tool_choice", "tools", "tracing", "truncation"}
)  # fmt: skip

_T = TypeVar("_T")


class _Limits(msgspec.Struct, forbid_unknown_fields=True):
    sessions: Annotated[int, Meta(ge=1, le=MOST_SESSIONS)] | None = None
    minutes_per_day: Annotated[float, Meta(gt=0, le=MOST_MINUTES)] | None = None


class _Binding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What both kinds are bound to."""

    kb_ids: Annotated[list[_KbId], Meta(min_length=1, max_length=_MAX_KB_IDS)] | None = None
    origin: str | None = None
    limits: _Limits = msgspec.field(default_factory=_Limits)

    def wish(self, instructions: str | None, preset: dict[str, Any]) -> Wish:
        return Wish(
            kb_ids=None if self.kb_ids is None else tuple(self.kb_ids),
            allowance=Allowance(self.limits.sessions, self.limits.minutes_per_day),
            instructions=instructions,
            preset=preset,
            origin=None if self.origin is None else _as_browsers_write(self.origin),
        )


class _TicketRequest(_Binding, kw_only=True, forbid_unknown_fields=True):
    instructions: str | None = None
    expires_after_s: Annotated[int, Meta(ge=1, le=MAX_TICKET_S)] = MAX_TICKET_S


class _ExpiresAfter(msgspec.Struct, forbid_unknown_fields=True):
    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=MIN_SECRET_S, le=MAX_SECRET_S)] = DEFAULT_SECRET_S


class _SecretRequest(_Binding, kw_only=True, forbid_unknown_fields=True):
    expires_after: _ExpiresAfter = msgspec.field(default_factory=_ExpiresAfter)
    session: dict[str, Any] = {}


def add_minting_routes(app: QuartTrio, mint: Mint) -> None:
    """Adds `/api/tickets` and `/v1/realtime/client_secrets`. Who asks is known before."""

    @app.post(TICKET_PATH)
    async def tickets() -> Response:
        minter = require("mint")
        wanted = _decoded(await _body(), _TicketRequest)
        wish = wanted.wish(wanted.instructions, {})
        minted = await mint.ticket(minter, wish, wanted.expires_after_s)
        return jsonify({"ticket": minted.value, "expires_at": minted.expires_at})

    async def client_secrets() -> Response:
        minter = require("mint")
        wanted = _decoded(await _body(), _SecretRequest)
        preset = _preset(wanted.session)
        instructions = preset.pop("instructions", None)
        wish = wanted.wish(instructions, preset)
        minted = await mint.client_secret(minter, wish, wanted.expires_after.seconds)
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
        return jsonify({"value": minted.value, "expires_at": minted.expires_at, "session": session})

    for number, path in enumerate(CLIENT_SECRET_PATHS):
        app.add_url_rule(path, f"client_secrets_{number}", client_secrets, methods=["POST"])


async def _body() -> bytes:
    body = cast("bytes", await request.get_data())
    if len(body) > MAX_BODY_BYTES:
        raise ClientFault(f"The request is larger than {MAX_BODY_BYTES} bytes.", code="body_too_large")
    return body or b"{}"


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        # The decoder's words name places and types, not what stood there.
        raise ClientFault(f"The request is not valid: {error}.", code="invalid_value") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ClientFault("The body of the request is not JSON.", code="invalid_json") from None


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
