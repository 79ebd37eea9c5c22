"""What is set that should not be where strangers can reach the server. It warns; what cannot work at all is a problem.

Pure: it looks at the settings and at nothing else.
"""

from ipaddress import ip_network
from typing import Final

from server.settings import LOOPBACK_HOSTS, Settings

__all__ = ["unsafe"]

# "At least 128 bit" (OWASP ASVS 7.2.3): 22 characters of base64. The shortest that is accepted at all is guarded by
# limits; a key of this length needs none.
KEY_CHARS: Final = 22
# Fewer different characters than this are a word or a pattern, no random key of that length.
_DIFFERENT_CHARS: Final = 10
# Networks larger than these are not those of one's own proxies: a /8 is sixteen million, a /32 of IPv6 a provider's.
_PROXY_PREFIX_MIN: Final = {4: 8, 6: 32}
# Longer than anybody talks; a forgotten page is billed all that time.
_SESSION_MAX_S: Final = 24 * 3600.0


def unsafe(settings: Settings) -> list[str]:
    """A sentence for each setting, or for settings together, that weakens the server; each names its settings."""
    return [
        *_access(settings),
        *_wire(settings),
        *_limits(settings),
        *_contents(settings),
    ]


def _access(settings: Settings) -> list[str]:
    found = []
    if settings.open_access:
        found.append("LIVEAVATAR_OPEN is on: anybody may talk, at your expense")
    if settings.url_credentials:
        found.append("LIVEAVATAR_URL_CREDENTIALS is on: tickets and client secrets end up in logs of proxies")
    if settings.jwt_issuer is not None and settings.jwt_kb_claim is None:
        found.append("LIVEAVATAR_JWT_KB_CLAIM is not set: every token is for every knowledge base")
    key = settings.api_key
    if key is not None and key.is_resolved:
        text = key.reveal()
        if len(text) < KEY_CHARS or len(set(text)) < _DIFFERENT_CHARS:
            found.append(f"LIVEAVATAR_API_KEY is easily guessed: take {KEY_CHARS} or more random characters")
    if key is not None and key.reference is None and not settings.is_loopback:
        found.append(
            "LIVEAVATAR_API_KEY has every right and is given in the clear: make keys with `liveavatar keys`, or keep "
            "it in a Key Vault"
        )
    return found


def _wire(settings: Settings) -> list[str]:
    found = []
    if settings.allow_plain and not settings.is_loopback:
        found.append("LIVEAVATAR_ALLOW_PLAIN is on: whoever listens on the way reads credentials and speech")
    if settings.trusted_proxies and (wide := _wide(settings.trusted_proxies)):
        found.append(f"LIVEAVATAR_TRUSTED_PROXIES trusts {wide}: whoever is there says whose address a client has")
    if settings.trusted_hops > 1 and not settings.trusted_proxies:
        found.append("LIVEAVATAR_TRUSTED_HOPS has no effect without LIVEAVATAR_TRUSTED_PROXIES")
    origins = [origin.strip() for origin in (settings.allowed_origins or "").split(",")]
    found += [
        f"LIVEAVATAR_ALLOWED_ORIGINS holds {origin}: what is sent from there can be changed on its way"
        for origin in origins
        if origin.startswith("http://") and origin.removeprefix("http://").split(":")[0] not in LOOPBACK_HOSTS
    ]
    if any("*" in origin for origin in origins):
        found.append("LIVEAVATAR_ALLOWED_ORIGINS holds a *: pages that are not yours may connect")
    return found


def _limits(settings: Settings) -> list[str]:
    if settings.is_loopback:
        return []
    found = []
    if settings.sessions_per_principal == 0:
        found.append("LIVEAVATAR_SESSIONS_PER_PRINCIPAL is 0: one credential may take all sessions")
    if settings.minutes_per_day == 0:
        found.append("LIVEAVATAR_MINUTES_PER_DAY is 0: one credential may talk all day, at your expense")
    if settings.session_max == 0 or settings.session_max > _SESSION_MAX_S:
        found.append("LIVEAVATAR_SESSION_MAX is more than a day or 0: a forgotten page may talk, and cost, for ever")
    return found


def _contents(settings: Settings) -> list[str]:
    found = []
    if settings.log_level == "debug":
        found.append("LIVEAVATAR_LOG_LEVEL is debug: what people say is written to the log")
    if settings.is_guarded and settings.guard_fail == "open":
        found.append("LIVEAVATAR_GUARD_FAIL is open: what cannot be checked is answered")
    if settings.search_endpoint is not None and settings.search_filter_field == "none":
        found.append("LIVEAVATAR_SEARCH_FILTER_FIELD is none: every knowledge base on that index is the whole of it")
    return found


def _wide(proxies: str) -> str:
    """The first network that is too large to be one's own proxies'; "" if none is."""
    for text in proxies.split(","):
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            continue  # that is a problem, and said elsewhere
        if network.prefixlen < _PROXY_PREFIX_MIN[network.version]:
            return str(network)
    return ""
