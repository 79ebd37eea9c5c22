"""Decides whether a request becomes a session, or a client secret: path, credential, model, dialect. Answers nothing.

Each service has its own path. Where both are served, a handshake is judged by the manners of the service whose path
it took.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from server.simulator.client_secrets import PREFIX, ClientSecrets, Issued
from server.simulator.credentials import Credentials, Verdict, bearer_of, browser_keys
from server.simulator.manners import DATED, NO_DEPLOYMENT, UNAUTHORIZED, WRONG_KEY, Refused, Service
from server.simulator.settings import SimulatorSettings

PATHS: dict[str, Service] = {"/openai/v1/realtime": "azure", "/v1/realtime": "openai", "/realtime": "openai"}
SECRETS_PATH = "/client_secrets"
# Only where both services are served: neither has it, but clients with a base URL without a version do.
_SHORT_PATH = "/realtime"
SUBPROTOCOL = "realtime"
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_BETA_HEADER = "realtime=v1"
_MODEL_MAX_CHARS = 256
_TARGET_SHOWN_CHARS = 256
_TRANSCRIPTION = "transcription"


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A session of ``model`` at ``service``; ``subprotocol`` is what to select, None if none was offered.

    A ``transcription`` session only listens, and has no model. ``preset`` is what a client secret says of the session.
    """

    service: Service
    model: str = ""
    subprotocol: str | None = None
    transcription: bool = False
    preset: dict[str, Any] | None = None


def service_of(target: str, settings: SimulatorSettings) -> Service:
    """Whose manners answer a request for that target: the only service's, or that of its path."""
    if settings.service != "both":
        return settings.service
    return "azure" if target.startswith("/openai/") else "openai"


def admit(
    target: str,
    headers: Sequence[tuple[bytes, bytes]],
    offered: Sequence[str],
    settings: SimulatorSettings,
    credentials: Credentials,
    secrets: ClientSecrets,
) -> Admitted | Refused:
    """Judge a handshake by its request target, its headers (lower-case names) and the subprotocols offered."""
    service = service_of(target, settings)
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    path, query = _split(target)
    if not _is_served(path, service, settings):
        return _not_found(service, "GET", target)
    values = _decoded(headers)
    issued: Issued | None = None
    brought = next((key for key in (bearer_of(values), *browser_keys(offered)) if key.startswith(PREFIX)), None)
    if brought is None:
        verdict = credentials.judge(service, values, query, offered)
    else:
        # A secret counts for what it is even where no credential is needed.
        issued = secrets.find(brought)
        verdict = "wrong_token" if issued is None else "welcome"
    refused = _unwelcome(service, verdict)
    if refused is None and service == "azure" and "api-version" in query:
        refused = Refused(service=service, status=400, code="BadRequest", message=DATED)
    if refused is None and service == "openai":
        refused = _beta(values, offered)
    judged = refused or _session(service, query, issued, settings)
    return msgspec.structs.replace(judged, subprotocol=subprotocol)


def admit_issuing(
    target: str, headers: Sequence[tuple[bytes, bytes]], settings: SimulatorSettings, credentials: Credentials
) -> Service | Refused:
    """Judge a request for a client secret: the service that issues it. A client secret issues no other."""
    service = service_of(target, settings)
    path, query = _split(target)
    served = path.removesuffix(SECRETS_PATH)
    if served in (path, _SHORT_PATH) or not _is_served(served, service, settings):
        return _not_found(service, "POST", target)
    values = _decoded(headers)
    is_secret = bearer_of(values).startswith(PREFIX)
    refused = _unwelcome(service, "wrong_token" if is_secret else credentials.judge(service, values, query, ()))
    return service if refused is None else refused


def _split(target: str) -> tuple[str, dict[str, list[str]]]:
    try:
        parts = urlsplit(target)
    except ValueError:
        return "", {}
    return parts.path.rstrip("/"), parse_qs(parts.query)


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _is_served(path: str, service: Service, settings: SimulatorSettings) -> bool:
    # The dated path, /openai/realtime, is retired: documented as deprecated from 2026-04-30. What the service answers
    # there now is not verified; here it is as unknown as any other path.
    return PATHS.get(path) == service and (path != _SHORT_PATH or settings.service == "both")


def _not_found(service: Service, method: str, target: str) -> Refused:
    if service == "azure":
        return Refused(service=service, status=404, code="404", message="Resource not found")
    message = f"Invalid URL ({method} {target[:_TARGET_SHOWN_CHARS]})"
    return Refused(service=service, status=404, code=None, message=message)


def _unwelcome(service: Service, verdict: Verdict) -> Refused | None:
    if verdict == "welcome":
        return None
    if service == "openai":
        return _closed(401, "invalid_api_key", "Incorrect API key provided.", 3000)
    if verdict == "wrong_token":
        return Refused(service=service, status=401, code="401", message=UNAUTHORIZED, bare=True)
    return Refused(service=service, status=401, code="401", message=WRONG_KEY)


def _beta(headers: dict[str, str], offered: Sequence[str]) -> Refused | None:
    if headers.get("openai-beta") != _BETA_HEADER and _BETA_SUBPROTOCOL not in offered:
        return None
    message = "The beta shape of the Realtime API is no longer supported. Use /v1/realtime without the beta header."
    return _closed(400, "beta_api_shape_disabled", message, 4000)


def _session(
    service: Service, query: dict[str, list[str]], issued: Issued | None, settings: SimulatorSettings
) -> Admitted | Refused:
    preset = issued.session if issued else None
    if query.get("intent") == [_TRANSCRIPTION] or (issued is not None and issued.transcription):
        # A secret for a session that answers says nothing of use to one that only listens.
        preset = preset if issued is not None and issued.transcription else None
        return Admitted(service=service, transcription=True, preset=preset)
    model = query.get("model", [issued.model if issued else ""])[0]
    refused = (_model_at_azure if service == "azure" else _model_at_openai)(model, settings)
    return refused or Admitted(service=service, model=model, preset=preset)


def _model_at_azure(model: str, settings: SimulatorSettings) -> Refused | None:
    if not model:
        message = "Missing required query parameter: 'model'."
        return Refused(service="azure", status=400, code="BadRequest", message=message)
    if len(model) > _MODEL_MAX_CHARS or (settings.models and model not in settings.models):
        return Refused(service="azure", status=404, code="DeploymentNotFound", message=NO_DEPLOYMENT)
    return None


def _model_at_openai(model: str, settings: SimulatorSettings) -> Refused | None:
    if not model:
        return _closed(400, "missing_model", "You must provide a model parameter.", 4000)
    if len(model) > _MODEL_MAX_CHARS:
        return _closed(400, "invalid_model", "The model parameter is too long.", 4000)
    if settings.models and model not in settings.models:
        message = f"The model '{model}' does not exist or you do not have access to it."
        return _closed(404, "model_not_found", message, 4004)
    return None


def _closed(status: int, code: str, message: str, close_code: int) -> Refused:
    return Refused(service="openai", status=status, code=code, message=message, close_code=close_code)
