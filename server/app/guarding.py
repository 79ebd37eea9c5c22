"""The guard of the front door and the limits behind it, as the settings have them."""

from collections.abc import Callable, Mapping

import structlog

from protocol.errors import OperatorFault
from server.cluster.base import Rate, SharedLimits
from server.edge.allowances import Allowances
from server.edge.authority import Authority, parse_authority, read_hosts, read_origins
from server.edge.guard import Guard
from server.edge.limits import AddressBounds, AddressLimits
from server.edge.origin import OriginPolicy
from server.edge.proxies import TrustedProxies, parse_networks
from server.security.limits import SessionLimits
from server.security.pace import PaceBounds
from server.security.principal import Allowance, Principal
from server.security.refusals import Refusals
from server.settings import Settings
from server.transport.certificate import Certificate, CertificateUnusable

__all__ = ["make_allowances", "make_guard", "warn_of_plain"]

_log = structlog.get_logger("liveavatar.app")

# Answered whoever asks: they tell one word, and orchestrators ask by addresses of their own.
PROBES = frozenset({"/health/live", "/health/ready"})


def make_guard(settings: Settings, shared: SharedLimits, refusals: Refusals, *, local_pages: bool) -> Guard:
    """The guard of the door.

    Args:
        local_pages: pages of this machine may come from whatever port, for nobody needs a credential here.

    Raises:
        OperatorFault: the certificate cannot be used.
    """
    bounds = AddressBounds(
        connections=settings.connections_per_address,
        arrivals=Rate(settings.arrivals_per_address, settings.arrivals_burst),
        sessions=Rate(settings.handshakes_per_address, settings.handshakes_burst),
    )
    hosts = read_hosts(settings.allowed_hosts or "")
    return Guard(
        proxies=TrustedProxies(parse_networks(settings.trusted_proxies or ""), hops=settings.trusted_hops),
        origins=OriginPolicy(
            read_origins(settings.allowed_origins or ""), (*hosts, *_own_name(settings)), local_pages=local_pages
        ),
        addresses=AddressLimits(shared, bounds, refusals),
        certificate=_open_certificate(settings),
        requires_tls=settings.requires_tls,
        probes=PROBES,
        refusals=refusals,
    )


def _own_name(settings: Settings) -> tuple[Authority, ...]:
    """What the server was told to listen on, if that is a name or an address that one can ask for."""
    own = parse_authority(f"[{settings.host}]" if ":" in settings.host else settings.host)
    return () if own is None else (own,)


def _open_certificate(settings: Settings) -> Certificate | None:
    """The certificate, if one is set. Raises `OperatorFault`."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None

    def tell(why: CertificateUnusable | None) -> None:
        if why is None:
            _log.info("certificate read again", file=str(settings.tls_cert))
        else:
            _log.error("the new certificate cannot be used; the old one stays", why=str(why))

    try:
        return Certificate(settings.tls_cert, settings.tls_key, on_change=tell)
    except CertificateUnusable as why:
        text = f"LIVEAVATAR_TLS_CERT, LIVEAVATAR_TLS_KEY: {why}."
        raise OperatorFault(text, code="certificate_unusable") from None


def make_allowances(
    settings: Settings, shared: SharedLimits, guard: Guard, *, of: Callable[[Principal], Mapping[str, Allowance]]
) -> Allowances:
    """The limits of those who were let in, and of new sessions.

    Args:
        of: everything that a principal's session is counted on.
    """
    if guard.addresses is None:
        raise AssertionError("the guard of a server has limits")
    pace = PaceBounds(
        events=Rate(settings.events_per_second, settings.events_burst),
        audio=Rate(settings.audio_per_second, settings.audio_burst),
    )
    return Allowances(
        guard.addresses,
        SessionLimits(shared, pace, guard.refusals, most_sessions=settings.max_sessions),
        guard.refusals,
        of=of,
        default=Allowance(settings.sessions_per_principal or None, settings.minutes_per_day or None),
    )


def warn_of_plain(settings: Settings) -> None:
    """Say at every start that nothing is encrypted, where that is so beyond this machine."""
    if settings.allow_plain and not settings.is_loopback and settings.tls_cert is None:
        _log.warning(
            "plain requests are served beyond this machine: credentials and speech can be read on the way",
            setting="LIVEAVATAR_ALLOW_PLAIN",
        )
