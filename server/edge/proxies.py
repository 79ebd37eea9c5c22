"""Where a request really comes from: the proxies that are believed, and what they say about it. It refuses nobody.

What a proxy says stands in header fields that anybody can send. They count only when the connection itself comes from
an address the operator named, and only from the right: the entry a trusted proxy appended, never those before it.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.edge.headers import Headers

__all__ = ["AmbiguousForwarding", "Network", "Provenance", "TrustedProxies", "parse_networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 7239, 4: elements are separated by commas, pairs by semicolons; either may stand in a quoted string.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_PAIR = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*")+')
_QUOTED_PAIR = re.compile(r"\\(.)")
# An address as proxies write it: bare, with a port, or in brackets.
_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[0-9a-fA-F:.]+)\](:[0-9]+)?")

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class AmbiguousForwarding(Exception):
    """The two families of forwarding fields name different clients: one of them was not written by the proxy."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a request comes from.

    Attributes:
        client: the address that limits and logs go by.
        scheme: `http` or `https`, as the client sees it.
        host: the authority that the client asked for; None where it is missing or there twice.
        is_relayed: a trusted proxy has handed it on.
    """

    client: str
    scheme: str
    host: str | None
    is_relayed: bool = False


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and CIDR ranges, separated by commas or blanks. Raises `ValueError`, whose text names the wrong one."""
    networks: list[Network] = []
    for part in text.replace(",", " ").split():
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError:
            raise ValueError(f"{part!r} is no address and no range such as 10.0.0.0/8.") from None
    return tuple(networks)


class TrustedProxies:
    """The proxies that are believed.

    Args:
        networks: the addresses they connect from; without any, nobody is believed.
        hops: how many of them a request may have come through, one behind the other.
    """

    __slots__ = ("_hops", "_networks")

    def __init__(self, networks: Iterable[Network] = (), *, hops: int = 1) -> None:
        self._networks = tuple(networks)
        self._hops = hops

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether a connection from this address is a trusted proxy's."""
        return bool(self._networks) and self._contains(_parse(address))

    def provenance(self, peer: str, headers: Headers, *, is_tls: bool) -> Provenance:
        """Where a request on a connection from `peer` comes from.

        Raises:
            AmbiguousForwarding: a trusted proxy's `Forwarded` and `X-Forwarded-For` disagree.
        """
        address = _parse(peer)
        own_scheme = "https" if is_tls else "http"
        hosts = headers.get_all("host")
        host = hosts[0].strip() if len(hosts) == 1 else None
        if address is None or not self._contains(address):
            return Provenance(str(address or peer), own_scheme, host)
        chain = headers.tokens("x-forwarded-for")
        elements = _forwarded(headers)
        client, hops = self._walk(address, chain)
        if elements:
            named, named_hops = self._walk(address, [element.get("for", "") for element in elements])
            if chain and named != client:
                raise AmbiguousForwarding
            client, hops = named, max(hops, named_hops)
        protos = headers.tokens("x-forwarded-proto") or _column(elements, "proto")
        hosts = headers.tokens("x-forwarded-host") or _column(elements, "host")
        # The nearest proxy's word, or that of the farthest that is believed.
        proto = _from_right(protos, hops)
        return Provenance(
            client=str(client),
            scheme=own_scheme if proto is None else _SCHEMES.get(proto.lower(), "http"),
            host=_from_right(hosts, hops) or host,
            is_relayed=True,
        )

    def _contains(self, address: _IPAddress | None) -> bool:
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )

    def _walk(self, peer: _IPAddress, chain: Sequence[str]) -> tuple[_IPAddress, int]:
        address, hops = peer, 0
        for entry in reversed(chain):
            if hops >= self._hops or not self._contains(address):
                break
            before = _parse(entry)
            if before is None:
                break  # the proxy hides it, or did not know: then it answers for it
            address, hops = before, hops + 1
        return address, hops


def _parse(text: str) -> _IPAddress | None:
    if match := _WITH_PORT.fullmatch(text):
        text = match["v4"] or match["v6"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _from_right(values: Sequence[str], hops: int) -> str | None:
    return values[-min(max(1, hops), len(values))] if values else None


def _column(elements: Sequence[dict[str, str]], name: str) -> list[str]:
    return [element[name] for element in elements if name in element]


def _forwarded(headers: Headers) -> list[dict[str, str]]:
    """The elements of `Forwarded`, in their order; what is malformed names nobody."""
    elements: list[dict[str, str]] = []
    for line in headers.get_all("forwarded"):
        for element in _ELEMENT.findall(line):
            pairs: dict[str, str] = {}
            for pair in _PAIR.findall(element):
                name, _, value = pair.strip().partition("=")
                if value[:1] == '"' and value[-1:] == '"' and len(value) > 1:
                    value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
                pairs.setdefault(name.strip().lower(), value)
            elements.append(pairs)
    return elements
