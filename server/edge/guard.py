"""What is looked at in every connection before it reaches anybody: address, encryption, Host, Origin. It reads no wire.

Which credential it carries is admission's matter, and the web application's.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

from server.edge.access import is_relayed, refusal_of
from server.edge.answers import Refusal, bodiless_bytes
from server.edge.authority import is_local_name, parse_authority
from server.edge.head import RequestHead
from server.edge.limits import AddressLimits
from server.edge.origin import OriginPolicy
from server.edge.proxies import AmbiguousForwarding, Provenance, TrustedProxies
from server.edge.upgrade import is_loopback
from server.security.refusals import RateLimited, Refusals
from server.transport.certificate import Certificate
from server.transport.wire import Wire

__all__ = ["Guard", "Verdict"]

# A year, which is what browsers' preload lists ask for at least. Not with subdomains: they may be somebody else's.
HSTS_S = 31_536_000

_FORBIDDEN = "permission_error"

_TLS_REQUIRED = Refusal(403, "tls_required", "This server is reached by https:// and wss:// only.", _FORBIDDEN)
_TLS_UNSAID = Refusal(
    403,
    "tls_required",
    "This server is reached by https:// and wss:// only, and the proxy did not say X-Forwarded-Proto: https.",
    _FORBIDDEN,
)
PLAIN_ON_TLS = Refusal(400, "tls_required", "This port speaks TLS: use https:// or wss://.")
_AMBIGUOUS = Refusal(
    400, "ambiguous_forwarding", "Forwarded and X-Forwarded-For say different things; send one of them."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request.

    Attributes:
        provenance: where it comes from.
        headers: what every answer to it carries.
        refusal: why it is refused, or None.
        answer: a whole answer that ends it, no refusal; or None.
    """

    provenance: Provenance
    headers: tuple[tuple[str, str], ...] = ()
    refusal: Refusal | None = None
    answer: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The rules of the door. By default it stands open, as behind another guard.

    Attributes:
        proxies: whose word about clients counts.
        origins: for Host, Origin and CORS; None asks neither.
        addresses: limits of each address; None has none.
        certificate: what TLS is spoken with; None speaks none.
        requires_tls: whether plain requests from elsewhere are refused.
        probes: paths that are answered whatever Host and encryption, for they tell one word to orchestrators.
        refusals: where what is refused is counted.
    """

    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    origins: OriginPolicy | None = None
    addresses: AddressLimits | None = None
    certificate: Certificate | None = None
    requires_tls: bool = False
    probes: frozenset[str] = frozenset()
    refusals: Refusals = field(default_factory=Refusals)

    async def enter(self, address: str, places: ExitStack) -> Refusal | None:
        """Take a connection's place for an address; `places` gives it back. Why it cannot be had, or None."""
        if self.addresses is None:
            return None
        try:
            lease = await self.addresses.enter(address)
        except RateLimited as fault:
            return refusal_of(fault)
        places.callback(lease.release)
        return None

    def judge(self, wire: Wire, head: RequestHead, *, is_tls: bool) -> Verdict:
        """Look at a request's head. Counts what it refuses."""
        try:
            provenance = self.proxies.provenance(wire.peer.host, head.headers, is_tls=is_tls)
        except AmbiguousForwarding:
            return self._refused(Provenance(wire.peer.host, "http", None, is_relayed=True), (), _AMBIGUOUS)
        headers = self._headers(head, provenance)
        if head.path in self.probes and not head.is_upgrade:
            return Verdict(provenance, headers)
        refusal = self.origins.check_host(provenance, wire.local.host) if self.origins is not None else None
        if refusal is None and self._is_in_the_clear(wire, head, provenance):
            if provenance.host is not None and _may_be_redirected(head):
                return Verdict(provenance, headers, answer=_redirect(head, provenance.host))
            says = "x-forwarded-proto" in head.headers or "forwarded" in head.headers
            refusal = _TLS_UNSAID if provenance.is_relayed and not says else _TLS_REQUIRED
        if refusal is None and self.origins is not None:
            refusal = self.origins.check_origin(head.headers, provenance)
            if refusal is None and OriginPolicy.is_preflight(head.method, head.headers):
                allowed = self.origins.preflight_headers(head.headers)
                return Verdict(provenance, headers, answer=bodiless_bytes(204, {**dict(headers), **dict(allowed)}))
        return Verdict(provenance, headers) if refusal is None else self._refused(provenance, headers, refusal)

    def _refused(self, provenance: Provenance, headers: tuple[tuple[str, str], ...], refusal: Refusal) -> Verdict:
        self.refusals.note(refusal.code, provenance.client)
        return Verdict(provenance, headers, refusal.with_headers(headers))

    def _headers(self, head: RequestHead, provenance: Provenance) -> tuple[tuple[str, str], ...]:
        headers = self.origins.cors_headers(head.headers) if self.origins is not None else ()
        if provenance.scheme != "https":
            return headers
        host = parse_authority(provenance.host) if provenance.host is not None else None
        if host is None or is_local_name(host.host):
            return headers  # it would hold for every other server on a developer's machine too
        return (*headers, ("Strict-Transport-Security", f"max-age={HSTS_S}"))

    def _is_in_the_clear(self, wire: Wire, head: RequestHead, provenance: Provenance) -> bool:
        """Whether a request went over a network without encryption, and that is not allowed."""
        if not self.requires_tls or provenance.scheme == "https":
            return False
        # From this machine itself: no network. Not so what a proxy here hands on.
        is_from_here = is_loopback(wire.peer.host) and not provenance.is_relayed and not is_relayed(head.headers)
        return not is_from_here


def _may_be_redirected(head: RequestHead) -> bool:
    """A page, asked for by a person who typed its address. What carried a credential must fail loudly, and once."""
    carries = "authorization" in head.headers or "api-key" in head.headers
    return not head.is_upgrade and head.method in {"GET", "HEAD"} and not carries


def _redirect(head: RequestHead, host: str) -> bytes:
    authority = parse_authority(host)
    name = authority.host if authority is not None else host
    # To the scheme's own port: whatever port spoke in the clear does not speak TLS.
    return bodiless_bytes(308, {"Location": f"https://{name}{head.target}", "Cache-Control": "no-store"})
