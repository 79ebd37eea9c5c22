"""What is set that should not be where strangers can reach the server. It warns; what cannot work at all is a problem.

`unsafe` looks at the settings and at nothing else, `exposed` at the files that they name.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.edge.authority import is_local_name, read_origins
from server.edge.proxies import parse_networks
from server.security.key_file import KEYS_FILE
from server.settings import TABLE, Settings, read_env_file

__all__ = ["exposed", "unsafe"]

# "At least 128 bit" (OWASP ASVS 7.2.3): 22 characters of base64. The shortest that is accepted at all is guarded by
# limits; a key of this length needs none.
KEY_CHARS: Final = 22
# Fewer different characters than this are a word or a pattern, no random key of that length.
_DIFFERENT_CHARS: Final = 10
# Networks larger than these are not those of one's own proxies: a /8 is sixteen million, a /32 of IPv6 a provider's.
_PROXY_PREFIX_MIN: Final = {4: 8, 6: 32}
# Longer than anybody talks; a forgotten page is billed all that time.
_SESSION_MAX_S: Final = 24 * 3600.0
# More than any client or address needs that means well: then it is no limit.
_EVENTS_PER_S: Final = 1_000
_AUDIO_PER_S: Final = 20
_PER_ADDRESS_PER_S: Final = 1_000
# Others on this machine, or their group, may write; others may read.
_OPEN_TO_OTHERS: Final = stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def unsafe(settings: Settings) -> list[str]:
    """A sentence for each setting, or for settings together, that weakens the server; each names its settings."""
    return [
        *_access(settings),
        *_wire(settings),
        *_limits(settings),
        *_contents(settings),
    ]


def exposed(settings: Settings, env_file: Path) -> list[str]:
    """A sentence for each file with secrets or keys that others on this machine may read or change."""
    found = []
    for path, what in _sensitive(settings, env_file):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # that it is not there is said elsewhere, where it has to be
        if stat.S_ISDIR(mode):
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                found.append(f"{path} can be written by anybody on this machine, {what}: chmod o-w {path}")
        elif mode & _OPEN_TO_OTHERS:
            found.append(f"{path} is open to others on this machine, {what}: chmod 600 {path}")
    return found


def _sensitive(settings: Settings, env_file: Path) -> Iterator[tuple[Path, str]]:
    yield settings.data_dir, "who may put keys of their own there"
    yield settings.data_dir / KEYS_FILE, "who may let themselves in"
    if settings.tls_key is not None:
        yield settings.tls_key, "who may pass themselves off as this server (LIVEAVATAR_TLS_KEY)"
    secrets = {row.name for row in TABLE if row.type == "secret"} | {spec.key_name for spec in settings.deployments}
    if secrets & {name for name, value in read_env_file(env_file, []).items() if value}:
        yield env_file, "who may read the secrets in it"


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
    try:
        origins = read_origins(settings.allowed_origins or "")
    except ValueError:
        origins = ()  # that is a problem, and said elsewhere
    found += [
        f"LIVEAVATAR_ALLOWED_ORIGINS holds http://{authority.host}: what is sent from there can be changed on its way"
        for scheme, authority in origins
        if scheme == "http" and not is_local_name(authority.host)
    ]
    return found


def _limits(settings: Settings) -> list[str]:
    if settings.is_loopback:
        return []
    found = []
    if settings.connections_per_address >= settings.max_connections:
        found.append(
            "LIVEAVATAR_CONNECTIONS_PER_ADDRESS is not less than LIVEAVATAR_MAX_CONNECTIONS: one address may keep "
            "everybody else out"
        )
    for name, per_s, most in (
        ("LIVEAVATAR_CONNECTIONS_PER_SECOND", settings.arrivals_per_address, _PER_ADDRESS_PER_S),
        ("LIVEAVATAR_HANDSHAKES_PER_SECOND", settings.handshakes_per_address, _PER_ADDRESS_PER_S),
        ("LIVEAVATAR_EVENTS_PER_SECOND", settings.events_per_second, _EVENTS_PER_S),
        ("LIVEAVATAR_AUDIO_PER_SECOND", settings.audio_per_second, _AUDIO_PER_S),
    ):
        if per_s > most:
            found.append(f"{name} is more than {most}: that limits nobody who means harm")
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
    try:
        networks = parse_networks(proxies)
    except ValueError:
        return ""  # that is a problem, and said elsewhere
    return next(
        (str(network) for network in networks if network.prefixlen < _PROXY_PREFIX_MIN[network.version]),
        "",
    )
