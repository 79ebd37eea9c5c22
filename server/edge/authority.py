"""Hosts and origins as header fields and settings write them; which of them may do what is decided elsewhere."""

import re
from dataclasses import dataclass

__all__ = [
    "Authority",
    "Origin",
    "is_local_name",
    "parse_authority",
    "parse_origin",
    "read_hosts",
    "read_origins",
    "with_port",
]

# Host is a name or address with an optional port. Only ASCII: browsers send names in their encoded form (xn--).
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
# An origin as browsers write it (RFC 6454, 6.2): scheme and authority, and nothing behind.
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#@\\\s,]+)")
_LOOPBACK_V4 = re.compile(r"127(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Authority:
    """A name or address in lower case, and a port; None stands for any, or for the scheme's own."""

    host: str
    port: int | None = None


Origin = tuple[str, Authority]
"""A scheme, and an authority with its port spelled out."""


def parse_authority(text: str) -> Authority | None:
    """The parts of a `Host`; None for what is none, with a user before it for instance."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    return None if port is not None and port > 65535 else Authority(match["host"].lower(), port)


def parse_origin(text: str) -> Origin | None:
    """An origin's scheme and authority, with the port spelled out; None for `null` and whatever is no web origin."""
    match = _ORIGIN.fullmatch(text)
    authority = parse_authority(match["authority"]) if match else None
    if match is None or authority is None:
        return None
    return match["scheme"], with_port(authority, match["scheme"])


def read_origins(text: str) -> tuple[Origin, ...]:
    """A list of origins, separated by commas or blanks. Raises `ValueError`, whose text names the wrong one."""
    found = []
    for part in text.replace(",", " ").split():
        origin = parse_origin(part)
        if origin is None:
            example = "https://shop.example.com, without a path; names beyond ASCII are written as xn--"
            raise ValueError(f"{part!r} is no origin such as {example}.")
        found.append(origin)
    return tuple(found)


def read_hosts(text: str) -> tuple[Authority, ...]:
    """A list of hosts, separated by commas or blanks: a name with any port, or with the one it names.

    Raises `ValueError`, whose text names the wrong one.
    """
    found = []
    for part in text.replace(",", " ").split():
        authority = parse_authority(part)
        if authority is None:
            raise ValueError(f"{part!r} is no host such as avatar.example.com; names beyond ASCII are written as xn--.")
        found.append(authority)
    return tuple(found)


def is_local_name(host: str) -> bool:
    """Whether a name or address in lower case means the machine it is used on."""
    return host in {"localhost", "[::1]"} or _LOOPBACK_V4.fullmatch(host) is not None


def with_port(authority: Authority, scheme: str) -> Authority:
    """The same with the scheme's own port where it names none."""
    return authority if authority.port is not None else Authority(authority.host, _DEFAULT_PORTS[scheme])
