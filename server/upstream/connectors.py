"""Where each Realtime service is, and what it wants to see: Azure OpenAI (GA), OpenAI, and the embedded simulator."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from server.upstream.base import UpstreamConnection, UpstreamRefused
from server.upstream.credentials import Credential
from server.upstream.websocket import ConnectionBounds, open_connection


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingNames:
    """The settings a deployment was made from, for messages that say where to look."""

    endpoint: str
    deployment: str
    credential: str


@dataclass(frozen=True, slots=True)
class WebSocketConnector:
    """A service at a fixed URL; see ``Connector``.

    Attributes:
        credential: what it is shown, asked anew for every connection; None for one that wants none.
        hints: for an HTTP status, or the code of an error it refuses a session with, where the operator should look.
        refuses_by_event: it accepts every connection, and says no with an ``error`` event in place of its greeting.
        tls: whom to trust; made once, for that takes long enough to be heard. None where nothing is encrypted.
    """

    name: str
    url: str
    bounds: ConnectionBounds
    credential: Credential | None = None
    hints: Mapping[int | str, str] = field(default_factory=dict)
    refuses_by_event: bool = False
    tls: ssl.SSLContext | None = None

    async def connect(self) -> UpstreamConnection:
        """See ``Connector``. A credential that has become invalid is got anew, once."""
        try:
            return await self._connect()
        except UpstreamRefused as refusal:
            if refusal.code != "upstream_http_401" or self.credential is None or not self.credential.refused():
                raise
            return await self._connect()

    async def _connect(self) -> UpstreamConnection:
        return await open_connection(
            self.url,
            self.credential,
            service=self.name,
            hints=self.hints,
            bounds=self.bounds,
            refuses_by_event=self.refuses_by_event,
            ssl_context=self.tls,
        )


def azure_connector(
    endpoint: str, deployment: str, credential: Credential, bounds: ConnectionBounds, names: SettingNames
) -> WebSocketConnector:
    """Azure OpenAI, GA path. ``api-version`` must not be sent there: the service refuses it (Azure's documentation)."""
    return WebSocketConnector(
        name=f"Azure OpenAI at {urlsplit(endpoint).netloc}",
        url=_websocket_url(endpoint, "/openai/v1/realtime", deployment),
        bounds=bounds,
        credential=credential,
        hints={
            400: f"Look at {names.endpoint}: this server speaks the GA form, at /openai/v1/realtime.",
            401: f"Look at {names.credential}.",
            403: f"Look at {names.credential}, the role of the identity and the network rules of the resource.",
            404: f"Look at {names.deployment} and {names.endpoint}.",
            410: f"Look at {names.endpoint}.",
            429: "Look at the quota of the deployment.",
        },
        tls=_tls(endpoint),
    )


def openai_connector(
    base_url: str, model: str, credential: Credential, bounds: ConnectionBounds, names: SettingNames
) -> WebSocketConnector:
    """OpenAI, GA. ``base_url`` is that of its HTTP API, such as ``https://api.openai.com/v1``."""
    base = urlsplit(base_url)
    key, model_hint = f"Look at {names.credential}.", f"Look at {names.deployment}."
    return WebSocketConnector(
        name=f"OpenAI at {base.netloc}",
        url=_websocket_url(base_url, base.path.rstrip("/") + "/realtime", model),
        bounds=bounds,
        credential=credential,
        hints={
            401: key,
            403: f"Look at {names.credential} and its project's permissions.",
            404: f"Look at {names.deployment} and {names.endpoint}.",
            429: "Look at the account's quota.",
            "invalid_api_key": key,
            "missing_model": model_hint,
            "invalid_model": model_hint,
            "model_not_found": model_hint,
            "insufficient_quota": "Look at the account's quota and billing.",
            "beta_api_shape_disabled": f"Look at {names.endpoint}.",
        },
        refuses_by_event=True,
        tls=_tls(base_url),
    )


def embedded_connector(port: int, model: str, bounds: ConnectionBounds) -> WebSocketConnector:
    """The simulator that this process runs on a loopback port of its own."""
    url = _websocket_url(f"http://127.0.0.1:{port}", "/v1/realtime", model)
    return WebSocketConnector(name=f"embedded simulator at 127.0.0.1:{port}", url=url, bounds=bounds)


def _tls(base: str) -> ssl.SSLContext | None:
    return ssl.create_default_context() if urlsplit(base).scheme == "https" else None


def _websocket_url(base: str, path: str, model: str) -> str:
    parts = urlsplit(base)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, path, f"model={quote(model, safe='')}", ""))
