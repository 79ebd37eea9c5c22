"""Who may come in at the front door: the key, and what counts as local where there is no key. It answers nobody.

Pure functions over a request. Which knowledge bases and fields a credential allows is decided elsewhere.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Protocol

from server.edge.answers import Refusal
from server.edge.headers import Headers
from server.secret import Secret

__all__ = ["AccessPolicy", "Arrival", "credential_of", "is_relayed"]

# The browser subprotocol that carries a key, because a page cannot set headers on a WebSocket.
KEY_SUBPROTOCOL = "openai-insecure-api-key."

# What proxies add. A request that carries one was sent by somebody behind a proxy, wherever the proxy stands.
FORWARDING_HEADERS = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
     "fastly-client-ip", "x-original-host", "x-arr-ssl"}
)  # fmt: skip
FORWARDING_PREFIX = "x-forwarded"

# Host is a name or address with an optional port; Origin a scheme before that (RFC 6454, 6.2).
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#@\s]+)")
_LOOPBACK_V4 = re.compile(r"127(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")

_FORBIDDEN = "permission_error"
_UNAUTHENTICATED = "authentication_error"


class Arrival(Protocol):
    """What the policy looks at in a request; `UpgradeRequest` is one."""

    @property
    def headers(self) -> Headers:
        """The header fields."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The WebSocket subprotocols on offer."""

    @property
    def is_loopback(self) -> bool:
        """Whether the connection comes from this machine."""


def credential_of(headers: Headers, subprotocols: Iterable[str]) -> str | None:
    """Return the credential that a request carries, or None.

    Looked for in `Authorization: Bearer`, in `api-key`, and in a browser's key subprotocol, in this order; never in
    the URL, which ends up in logs. A field that is there twice is ambiguous and gives a credential that fits nothing.
    """
    for value in headers.get_all("authorization")[:1]:
        scheme, _, credential = value.partition(" ")
        if scheme.lower() == "bearer":
            return _unambiguous(headers, "authorization", credential)
    for value in headers.get_all("api-key")[:1]:
        return _unambiguous(headers, "api-key", value)
    for name in subprotocols:
        if name.startswith(KEY_SUBPROTOCOL):
            return name[len(KEY_SUBPROTOCOL) :]
    return None


def _unambiguous(headers: Headers, name: str, credential: str) -> str:
    if len(headers.get_all(name)) > 1:
        return ""
    # Header values come as latin-1; a key beyond ASCII was sent as UTF-8.
    return credential.strip().encode("latin-1").decode("utf-8", "replace")


def is_relayed(headers: Headers) -> bool:
    """Say whether a proxy has handed the request on: then the peer's address says nothing about who sent it."""
    return any(name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIX) for name, _ in headers)


def _host_of(authority: str) -> tuple[str, str] | None:
    match = _AUTHORITY.fullmatch(authority)
    return (match["host"].lower(), match["port"] or "") if match else None


def _is_local_name(host: str) -> bool:
    return host in {"localhost", "[::1]"} or _LOOPBACK_V4.fullmatch(host) is not None


class AccessPolicy:
    """The access rules: a key if there is one, else this machine only."""

    __slots__ = ("_key",)

    def __init__(self, key: Secret | None) -> None:
        """Take the key that clients must show, or None for local access. Raises `ValueError` for an empty key."""
        if key is not None and not key.reveal().strip():
            raise ValueError("the access key is empty")
        self._key = key

    @property
    def needs_credential(self) -> bool:
        """True where a key is set."""
        return self._key is not None

    def check_request(self, request: Arrival, *, credential_may_follow: bool) -> Refusal | None:
        """Return why a request is refused, or None if it may come in.

        With a key: a wrong credential, or none, is 401; none passes where `credential_may_follow` in the first frame,
        and the caller then asks `check_credential`. Without a key: what is not local is 403.
        """
        if self._key is None:
            return self._check_local(request)
        credential = credential_of(request.headers, request.subprotocols)
        if credential is None:
            if credential_may_follow:
                return None
            return _unauthenticated("missing_api_key", "A credential is needed: Authorization: Bearer, or api-key.")
        if not self.check_credential(credential):
            return _unauthenticated("invalid_api_key", "The credential is not valid.")
        return None

    def check_credential(self, credential: str | None) -> bool:
        """Say whether a credential opens the door; in constant time. Without a key, every credential does."""
        if self._key is None:
            return True
        # Compared as digests: they are of one length, whatever a stranger sends. The key may have been renewed.
        return credential is not None and hmac.compare_digest(_digest(credential), _digest(self._key.reveal()))

    @staticmethod
    def _check_local(request: Arrival) -> Refusal | None:
        headers = request.headers
        if not request.is_loopback or is_relayed(headers):
            return _forbidden("not_local", "Without LIVEAVATAR_API_KEY set, only this machine may connect.")
        # A page from anywhere can make a browser connect to localhost: by a name of its own that resolves to it, which
        # Host shows, or plainly, which Origin shows.
        hosts = headers.get_all("host")
        host = _host_of(hosts[0]) if len(hosts) == 1 else None
        if host is None or not _is_local_name(host[0]):
            return _forbidden("host_not_allowed", "The Host is not one of this machine's own names.")
        origins = headers.get_all("origin")
        if not origins:
            return None
        match = _ORIGIN.fullmatch(origins[0]) if len(origins) == 1 else None
        origin = _host_of(match["authority"]) if match else None
        if origin is None or not _is_local_name(origin[0]):
            return _forbidden("origin_not_allowed", "Pages from this Origin may not connect.")
        return None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _unauthenticated(code: str, message: str) -> Refusal:
    return Refusal(401, code, message, _UNAUTHENTICATED, (("WWW-Authenticate", "Bearer"),))


def _forbidden(code: str, message: str) -> Refusal:
    return Refusal(403, code, message, _FORBIDDEN)
