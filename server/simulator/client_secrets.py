"""Client secrets: short-lived keys for browsers, and the session that each was issued for. Opens no session.

Held to ``POST .../realtime/client_secrets`` of both services: the request may say how long (10 s to 2 h) and what the
session is to be; a secret opens as many sessions as it likes until it expires, and open ones outlive it.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from server.simulator import refusal, shape
from server.simulator.configuration import Configuration
from server.simulator.identifiers import Ids, random_ids
from server.simulator.manners import Service, refused_over_http
from server.simulator.refusal import Refusal
from server.simulator.settings import SimulatorSettings
from server.simulator.transcribing import TranscriptionConfiguration

PREFIX = "ek_"
DEFAULT_SECONDS = 600
# Not a limit of the service's: what one client can make the simulator hold. The oldest goes first.
SECRETS_MAX = 10_000
# What a session is of where neither the secret's request nor the handshake names a model.
DEFAULT_MODEL = "gpt-realtime"

_REQUEST = shape.obj(
    {
        "expires_after": shape.obj(
            {"anchor": shape.one_of("created_at"), "seconds": shape.number(10, 7200, whole=True)}
        ),
        "session": shape.open_object,
    }
)


class Issued(msgspec.Struct, frozen=True):
    """What a secret opens: ``session`` is what its request said of it; ``expires_at`` in Unix seconds."""

    session: dict[str, Any]
    model: str
    transcription: bool
    expires_at: int


class ClientSecrets:
    """The secrets that one running service has issued. Secrets are drawn at random, whatever the seed of its ids."""

    def __init__(
        self, settings: SimulatorSettings, ids: Ids = random_ids, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._ids = ids
        self._wall_clock = wall_clock
        self._issued: dict[str, Issued] = {}

    def find(self, value: str) -> Issued | None:
        """What was issued under that value; None if nothing was, or it has expired."""
        issued = self._issued.get(value)
        return issued if issued is not None and issued.expires_at > self._wall_clock() else None

    def issue(self, service: Service, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer a request from somebody who has the service's key: HTTP status and JSON body."""
        try:
            request = msgspec.json.decode(body or b"{}")
            _REQUEST(request, "")
            return self._issue(service, request)
        except Refusal as refused:
            detail = refused.detail
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            detail = refusal.invalid("We could not parse the JSON body of your request.", None).detail
        error = {"message": detail.message, "type": detail.type, "param": detail.param, "code": detail.code}
        return 400, {"error": error}

    def _issue(self, service: Service, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = request.get("session", {"type": "realtime"})
        model = wanted.get("model", DEFAULT_MODEL)
        transcription = wanted.get("type") == "transcription"
        if not transcription and self._settings.models and model not in self._settings.models:
            refused = refused_over_http(service, 404)
            return refused.status, refused.body()
        session_id = self._ids("sess")
        configuration: Configuration | TranscriptionConfiguration = (
            TranscriptionConfiguration(session_id, 0)
            if transcription
            else Configuration(session_id, model, self._settings.voice, 0)
        )
        configuration.update(wanted, voice_locked=False)
        seconds = request.get("expires_after", {}).get("seconds", DEFAULT_SECONDS)
        expires_at = int(self._wall_clock()) + seconds
        value = random_ids(PREFIX.removesuffix("_"))
        while len(self._issued) >= SECRETS_MAX:
            del self._issued[next(iter(self._issued))]
        preset = {key: part for key, part in wanted.items() if key != "model"}
        self._issued[value] = Issued(preset, model, transcription, expires_at)
        return 200, {"value": value, "expires_at": expires_at, "session": configuration.session}
