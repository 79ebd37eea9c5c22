"""Who may come in at the front door: where a request carries its credential, and what counts as local without one.

Whom a credential lets in is said by the `Authenticator`. It answers nobody.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol

from protocol.endings import EndReason
from protocol.errors import ClientFault, LiveAvatarError
from server.edge.answers import Refusal
from server.edge.authority import is_local_name, parse_authority, parse_origin
from server.edge.headers import Headers
from server.security.authenticator import Authenticator
from server.security.base import Unauthenticated, missing_credential
from server.security.minting import kind_of
from server.security.principal import LOCAL, Principal

__all__ = [
    "AccessPolicy",
    "Arrival",
    "NotLocal",
    "credential_of",
    "error_type_of",
    "is_relayed",
    "origin_of",
    "refusal_of",
]

# The browser subprotocol that carries a key, because a page cannot set headers on a WebSocket.
KEY_SUBPROTOCOL = "openai-insecure-api-key."

# What proxies add. A request that carries one was sent by somebody behind a proxy, wherever the proxy stands.
FORWARDING_HEADERS = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
     "fastly-client-ip", "x-original-host", "x-arr-ssl"}
)  # fmt: skip
FORWARDING_PREFIX = "x-forwarded"

# Query fields that carry a credential, here or elsewhere: addresses end up in logs, histories and referrers.
_URL_CREDENTIALS = ("ticket", "token", "api-key", "api_key", "access_token")

IN_HEADERS = "Authorization: Bearer, or api-key"
IN_FRAME = "token in session.init"


class NotLocal(ClientFault):
    """Only this machine may come in, and the request is not, or may not be, its own."""

    default_reason = EndReason.NOT_ALLOWED
    error_type = "permission_error"


class Arrival(Protocol):
    """What the policy looks at in a request; `UpgradeRequest` is one."""

    @property
    def headers(self) -> Headers:
        """The header fields."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The WebSocket subprotocols on offer."""

    @property
    def query(self) -> Mapping[str, str]:
        """The fields of the query."""

    @property
    def is_loopback(self) -> bool:
        """Whether the connection comes from this machine."""


def credential_of(headers: Headers, subprotocols: Iterable[str]) -> str | None:
    """Return the credential that a request carries, or None.

    Looked for in `Authorization: Bearer`, in `api-key`, and in a browser's key subprotocol, in this order. A field that
    is there twice is ambiguous and gives a credential that fits nothing.
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


def origin_of(headers: Headers) -> str | None:
    """The origin of the page that sent a request; None if it was no page, or says so in two ways."""
    origins = headers.get_all("origin")
    return origins[0] if len(origins) == 1 else None


def is_relayed(headers: Headers) -> bool:
    """Say whether a proxy has handed the request on: then the peer's address says nothing about who sent it."""
    return any(name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIX) for name, _ in headers)


class AccessPolicy:
    """The access rules: a credential where any is known, else this machine only.

    Args:
        url_credentials: short-lived credentials may come in the URL, for clients that can put them nowhere else.
    """

    __slots__ = ("_authenticator", "_url_credentials")

    def __init__(self, authenticator: Authenticator, *, url_credentials: bool = False) -> None:
        self._authenticator = authenticator
        self._url_credentials = url_credentials

    async def admit(self, request: Arrival, *, to_avatar: bool = False, to_socket: bool = True) -> Principal | None:
        """Who sends a request; None where it shows no credential yet, and may do so in its first frame.

        Args:
            to_avatar: it opens a WebSocket of avatars, which has a first frame for the credential, and takes tickets.
            to_socket: it opens a WebSocket.

        Raises:
            NotLocal: no credential is known here, and the request is not this machine's.
            LiveAvatarError: the credential lets nobody in, or is missing, or cannot be checked now.
        """
        in_url = self._in_url(request, to_socket)
        credential = credential_of(request.headers, request.subprotocols)
        if credential is None:
            credential = in_url
        anonymous = self._authenticator.anonymous
        if anonymous is LOCAL:
            _check_local(request)
        if credential:
            origin = origin_of(request.headers)
            return await self._authenticator.check(credential, origin=origin, takes_tickets=to_avatar)
        # An empty credential, or one that is there twice, is wrong; none is missing.
        if credential is not None and anonymous is None:
            raise Unauthenticated(_NOT_VALID, code="invalid_api_key", why="empty, or there twice")
        if anonymous is None and not to_avatar:
            raise missing_credential(IN_HEADERS)
        return anonymous

    async def check_frame(self, request: Arrival, credential: str) -> Principal:
        """Whom the credential of a first frame lets in. Raises as `admit` does."""
        origin = origin_of(request.headers)
        return await self._authenticator.check(credential, origin=origin, takes_tickets=True)

    def is_minted(self, credential: str) -> bool:
        """Whether a credential is a ticket or client secret, as far as can be seen."""
        return self._authenticator.is_minted(credential)

    def check_place(self, request: Arrival) -> None:
        """Check what can be checked before anybody is known. Raises `NotLocal`."""
        if self._authenticator.anonymous is LOCAL:
            _check_local(request)

    def _in_url(self, request: Arrival, to_socket: bool) -> str | None:
        named = next((name for name in _URL_CREDENTIALS if name in request.query), None)
        if named is None or not self._authenticator.knows_credentials:
            return None
        credential = request.query[named]
        if self._url_credentials and to_socket and kind_of(credential) is not None:
            return credential
        text = (
            "Credentials in the URL are not accepted: URLs end up in logs. "
            f"Take this one for known, get another, and send it in {IN_HEADERS}, or on /ws as {IN_FRAME}."
        )
        raise Unauthenticated(text, code="credential_in_url", why=f"a credential in the URL ({named})")


_NOT_VALID = "The credential is not valid. Check that it is whole, and that it was not revoked."


def _check_local(request: Arrival) -> None:
    headers = request.headers
    if not request.is_loopback or is_relayed(headers):
        text = "No credential is set up on this server, so only its own machine may connect: `liveavatar keys create`."
        raise NotLocal(text, code="not_local")
    # A page from anywhere can make a browser connect to localhost: by a name of its own that resolves to it, which
    # Host shows, or plainly, which Origin shows.
    hosts = headers.get_all("host")
    host = parse_authority(hosts[0]) if len(hosts) == 1 else None
    if host is None or not is_local_name(host.host):
        raise NotLocal("The Host is not one of this machine's own names.", code="host_not_allowed")
    origins = headers.get_all("origin")
    if not origins:
        return
    origin = parse_origin(origins[0]) if len(origins) == 1 else None
    if origin is None or not is_local_name(origin[1].host):
        raise NotLocal("Pages from this Origin may not connect.", code="origin_not_allowed")


def refusal_of(fault: LiveAvatarError) -> Refusal:
    """A fault as an HTTP answer, before the upgrade."""
    headers: list[tuple[str, str]] = []
    if fault.reason.http_status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    if fault.retry_after_s is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(fault.retry_after_s)))))
    # Its close code is one that browsers know from pages being left, and no refusal's.
    status = 503 if fault.reason is EndReason.GOING_AWAY else fault.reason.http_status
    return Refusal(status, fault.code, fault.message, error_type_of(fault), tuple(headers))


def error_type_of(fault: LiveAvatarError) -> str:
    """The `type` of the error that a fault is told as."""
    if fault.reason is EndReason.NOT_AUTHENTICATED:
        return "authentication_error"
    return "permission_error" if fault.reason is EndReason.NOT_ALLOWED else fault.error_type
