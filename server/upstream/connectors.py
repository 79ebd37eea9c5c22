"""Where each Realtime service is, and what it wants to see: Azure OpenAI (GA), OpenAI, and the embedded simulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from server.secret import Secret
from server.upstream.base import UpstreamConnection
from server.upstream.websocket import ConnectionBounds, open_connection


@dataclass(frozen=True, slots=True)
class WebSocketConnector:
    """A service at a fixed URL with a fixed key; see ``Connector``.

    Attributes:
        key_header: name of the header the key travels in, and what stands before the key.
        setting_hints: for an HTTP status of refusal, what the operator should look at.
    """

    name: str
    url: str
    bounds: ConnectionBounds
    key: Secret | None = None
    key_header: tuple[str, str] = ("Authorization", "Bearer ")
    setting_hints: Mapping[int, str] = field(default_factory=dict)

    async def connect(self) -> UpstreamConnection:
        """See ``Connector``."""
        headers: dict[str, str] = {}
        if self.key is not None:
            header, prefix = self.key_header
            headers[header] = prefix + self.key.reveal()
        return await open_connection(
            self.url, headers, service=self.name, setting_hints=self.setting_hints, bounds=self.bounds
        )


def azure_connector(endpoint: str, deployment: str, key: Secret, bounds: ConnectionBounds) -> WebSocketConnector:
    """Azure OpenAI, GA path. ``api-version`` must not be sent there: the service refuses it (Azure's documentation)."""
    host = urlsplit(endpoint).netloc
    return WebSocketConnector(
        name=f"Azure OpenAI at {host}",
        url=_websocket_url(endpoint, "/openai/v1/realtime", deployment),
        bounds=bounds,
        key=key,
        key_header=("api-key", ""),
        setting_hints={
            401: "Look at AZURE_OPENAI_API_KEY.",
            403: "Look at AZURE_OPENAI_API_KEY and the network rules of the resource.",
            404: "Look at AZURE_OPENAI_DEPLOYMENT and AZURE_OPENAI_ENDPOINT.",
        },
    )


def openai_connector(base_url: str, model: str, key: Secret, bounds: ConnectionBounds) -> WebSocketConnector:
    """OpenAI, GA. ``base_url`` is that of its HTTP API, such as ``https://api.openai.com/v1``."""
    base = urlsplit(base_url)
    return WebSocketConnector(
        name=f"OpenAI at {base.netloc}",
        url=_websocket_url(base_url, base.path.rstrip("/") + "/realtime", model),
        bounds=bounds,
        key=key,
        setting_hints={
            401: "Look at OPENAI_API_KEY.",
            403: "Look at OPENAI_API_KEY and its project's permissions.",
            404: "Look at LIVEAVATAR_MODEL and OPENAI_BASE_URL.",
        },
    )


def embedded_connector(port: int, model: str, bounds: ConnectionBounds) -> WebSocketConnector:
    """The simulator that this process runs on a loopback port of its own."""
    url = _websocket_url(f"http://127.0.0.1:{port}", "/v1/realtime", model)
    return WebSocketConnector(name=f"embedded simulator at 127.0.0.1:{port}", url=url, bounds=bounds)


def _websocket_url(base: str, path: str, model: str) -> str:
    parts = urlsplit(base)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, path, f"model={quote(model, safe='')}", ""))
