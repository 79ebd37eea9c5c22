"""Decides whether a handshake becomes a session: path, model, key, dialect. Answers nothing itself."""

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from server.simulator.refusal import INVALID_REQUEST
from server.simulator.settings import SimulatorSettings

PATHS = ("/openai/v1/realtime", "/v1/realtime", "/realtime")
SUBPROTOCOL = "realtime"
_KEY_SUBPROTOCOL = "openai-insecure-api-key."
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_BETA_HEADER = "realtime=v1"
_MODEL_MAX_CHARS = 256


class Admitted(msgspec.Struct, frozen=True):
    """A session for ``model``; ``subprotocol`` is what to select, None if none was offered."""

    model: str
    subprotocol: str | None


class Refused(msgspec.Struct, frozen=True):
    """Why not: as HTTP, and as the service that accepts first and then closes says it.

    ``close_code`` 0 means that even that service refuses with HTTP.
    """

    status: int
    code: str
    message: str
    close_code: int = 0
    subprotocol: str | None = None

    @property
    def close_reason(self) -> str:
        """The services' pattern, ``<type>.<code>``."""
        return f"{INVALID_REQUEST}.{self.code}"


def admit(
    target: str, headers: Sequence[tuple[bytes, bytes]], offered: Sequence[str], settings: SimulatorSettings
) -> Admitted | Refused:
    """Judge a handshake by its request target, its headers (lower-case names) and the subprotocols offered."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return Refused(404, "not_found", "Resource not found")
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    if parts.path.rstrip("/") not in PATHS:
        return Refused(404, "not_found", "Resource not found", subprotocol=subprotocol)
    query = parse_qs(parts.query)
    values = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    if settings.api_key and not _is_key(settings.api_key, values, query, offered):
        message = "Access denied: the API key is missing or wrong."
        return Refused(401, "invalid_api_key", message, 3000, subprotocol)
    if settings.service == "azure" and "api-version" in query:
        message = "The api-version query parameter is not allowed on the /v1 path."
        return Refused(400, "bad_request", message, 4000, subprotocol)
    if settings.service == "openai" and (values.get("openai-beta") == _BETA_HEADER or _BETA_SUBPROTOCOL in offered):
        message = "The beta shape of the Realtime API is no longer supported. Use /v1/realtime without the beta header."
        return Refused(400, "beta_api_shape_disabled", message, 4000, subprotocol)
    return _model(query, subprotocol, settings)


def _model(query: dict[str, list[str]], subprotocol: str | None, settings: SimulatorSettings) -> Admitted | Refused:
    model = query.get("model", [""])[0]
    if not model:
        return Refused(400, "missing_model", "You must provide a model parameter.", 4000, subprotocol)
    if len(model) > _MODEL_MAX_CHARS:
        return Refused(400, "invalid_model", "The model parameter is too long.", 4000, subprotocol)
    if settings.models and model not in settings.models:
        message = f"The model or deployment '{model}' does not exist."
        return Refused(404, "model_not_found", message, 4004, subprotocol)
    return Admitted(model, subprotocol)


def _is_key(key: str, headers: dict[str, str], query: dict[str, list[str]], offered: Sequence[str]) -> bool:
    given = [headers.get("api-key", ""), *query.get("api-key", [])]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given.append(token.strip())
    given += [name.removeprefix(_KEY_SUBPROTOCOL) for name in offered if name.startswith(_KEY_SUBPROTOCOL)]
    return any(hmac.compare_digest(candidate.encode(), key.encode()) for candidate in given if candidate)
