"""Which names a request may ask for, and from which pages it may come: Host, Origin and CORS. It checks no credential.

A browser lets any page on the web open a WebSocket to this server, and tells where the page is from in `Origin`. A page
whose name resolves to this server's address (DNS rebinding) is told by `Host`. Neither stops a client that is no
browser: it says what it likes, and needs a credential.
"""

from collections.abc import Iterable

from server.edge.answers import Refusal
from server.edge.authority import Authority, Origin, is_local_name, parse_authority, parse_origin, with_port
from server.edge.headers import Headers
from server.edge.proxies import Provenance

__all__ = ["OriginPolicy"]

# What pages of other origins may do with the API.
_METHODS = "GET, HEAD, POST, DELETE"
_REQUEST_HEADERS = "Authorization, Content-Type, api-key"
# Ten minutes; Chromium keeps an answer two hours at most.
_PREFLIGHT_S = 600

_FORBIDDEN = "permission_error"

_HOST_REFUSED = Refusal(
    403,
    "host_not_allowed",
    "The Host is not one of this server's own names (LIVEAVATAR_ALLOWED_HOSTS lists them).",
    _FORBIDDEN,
)
_ORIGIN_REFUSED = Refusal(
    403,
    "origin_not_allowed",
    "Pages from this Origin may not connect (LIVEAVATAR_ALLOWED_ORIGINS lists those that may).",
    _FORBIDDEN,
)


class OriginPolicy:
    """The rules for Host, Origin and CORS.

    Args:
        origins: other origins whose pages may connect; none is a pattern.
        hosts: names that this server is asked for by, beside loopback's and the address a connection came to.
        local_pages: pages of this machine may connect from whatever port: for a server that serves only this machine.
    """

    __slots__ = ("_hosts", "_local_pages", "_origins")

    def __init__(
        self, origins: Iterable[Origin] = (), hosts: Iterable[Authority] = (), *, local_pages: bool = False
    ) -> None:
        self._origins = frozenset(origins)
        self._hosts = frozenset(hosts)
        self._local_pages = local_pages

    def check_host(self, provenance: Provenance, local_address: str) -> Refusal | None:
        """Check the name that was asked for; `local_address` is where the connection came to."""
        host = parse_authority(provenance.host) if provenance.host is not None else None
        if host is None:
            return _HOST_REFUSED
        # An address in Host is no rebinding: the page's own origin would be that address.
        own = is_local_name(host.host) or host.host in {local_address.lower(), f"[{local_address.lower()}]"}
        if own or Authority(host.host) in self._hosts or with_port(host, provenance.scheme) in self._hosts:
            return None
        return _HOST_REFUSED

    def check_origin(self, headers: Headers, provenance: Provenance) -> Refusal | None:
        """Check the page that sent the request; without an `Origin` it was none, or one of this very server's."""
        origins = headers.get_all("origin")
        if not origins:
            return None
        origin = parse_origin(origins[0]) if len(origins) == 1 else None
        if origin is None:
            return _ORIGIN_REFUSED
        if origin in self._origins or self._is_own(origin, provenance):
            return None
        if self._local_pages and is_local_name(origin[1].host):
            return None
        return _ORIGIN_REFUSED

    def cors_headers(self, headers: Headers) -> tuple[tuple[str, str], ...]:
        """What an answer to this request carries besides: without it a browser keeps the answer from the page.

        `Vary` stands there for every request, so that no cache gives one page the answer to another.
        """
        vary = (("Vary", "Origin"),)
        origins = headers.get_all("origin")
        if len(origins) != 1 or parse_origin(origins[0]) not in self._origins:
            return vary if self._origins else ()
        return (("Access-Control-Allow-Origin", origins[0]), *vary)

    def preflight_headers(self, headers: Headers) -> tuple[tuple[str, str], ...]:
        """What the answer to a preflight carries; credentials are no cookies, so none are allowed for."""
        return (
            *self.cors_headers(headers),
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
            ("Access-Control-Max-Age", str(_PREFLIGHT_S)),
        )

    @staticmethod
    def is_preflight(method: str, headers: Headers) -> bool:
        """Whether a request asks what a page may do, and does nothing yet."""
        return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers

    @staticmethod
    def _is_own(origin: Origin, provenance: Provenance) -> bool:
        host = parse_authority(provenance.host) if provenance.host is not None else None
        return host is not None and origin == (provenance.scheme, with_port(host, provenance.scheme))
