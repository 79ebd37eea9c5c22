"""The guard at work, over real sockets: addresses, proxies, TLS, Host, Origin and CORS."""

import contextlib
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trio
import trio_websocket
import trustme

from server.cluster.base import Rate
from server.cluster.in_process import InProcessLimits
from server.edge.authority import read_hosts, read_origins
from server.edge.door import Door, DoorLimits, open_listeners
from server.edge.guard import Guard
from server.edge.limits import AddressBounds, AddressLimits
from server.edge.origin import OriginPolicy
from server.edge.proxies import TrustedProxies, parse_networks
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.security.refusals import Refusals
from server.transport.certificate import Certificate
from tests.edge.conftest import Open, Served, error_code_of, read_to_end, status_of, web
from tests.transport.peers import eventually

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
)
PROXIES = TrustedProxies(parse_networks("127.0.0.0/8"))
MUCH = Rate(1e6, 1e6)


async def tells(request: UpgradeRequest, upgrade: Upgrade) -> None:
    """Says whom it takes the client for, and stays until it leaves."""
    websocket = await upgrade.accept()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        websocket.send(msgspec.json.encode([request.client, request.scheme, request.host, request.is_loopback]))
        with contextlib.suppress(Exception):
            while True:
                await websocket.receive()
        await websocket.aclose(0.5)
        nursery.cancel_scope.cancel()


class Guarded(Served):
    """A door with a guard, and requests that are written by hand."""

    def __init__(self, door: Door, port: int, client: ssl.SSLContext | None) -> None:
        super().__init__(door, port)
        self._client = client

    async def stream(self) -> trio.abc.Stream:
        plain = await self.connect()
        if self._client is None:
            return plain
        secured = trio.SSLStream(plain, self._client, server_hostname="localhost", https_compatible=True)
        await secured.do_handshake()
        return secured

    async def ask(
        self, path: str = "/", *, method: str = "GET", ws: bool = False, **fields: str
    ) -> tuple[int, str, str]:
        """Status, head in lower case, body. Without ``Host`` it is the door's own."""
        named = {"Host": f"localhost:{self.port}", **{name.replace("_", "-"): text for name, text in fields.items()}}
        head = "".join(f"{name}: {text}\r\n" for name, text in named.items() if text)
        stream = await self.stream()
        async with stream:
            await stream.send_all(f"{method} {path} HTTP/1.1\r\n{head}{UPGRADE if ws else ''}\r\n".encode("latin-1"))
            with trio.fail_after(5):
                answer = bytes(await stream.receive_some()) if ws else b""
                while not ws and (piece := await stream.receive_some()):
                    answer += piece
        top, _, body = answer.partition(b"\r\n\r\n")
        return status_of(answer), top.decode("latin-1").lower(), body.decode("latin-1")


@contextlib.asynccontextmanager
async def guarded(
    guard: Guard, *, client: ssl.SSLContext | None = None, limits: DoorLimits | None = None, on_websocket: Any = tells
) -> Any:
    door = Door(on_websocket=on_websocket, app=web, limits=limits, guard=guard)
    listeners = await open_listeners("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(door.serve, listeners)
        yield Guarded(door, listeners[0].socket.getsockname()[1], client)
        nursery.cancel_scope.cancel()


def addressed(**bounds: Any) -> tuple[AddressLimits, Refusals]:
    refusals = Refusals()
    found = AddressBounds(**{"connections": 1000, "arrivals": MUCH, "sessions": MUCH, **bounds})
    return AddressLimits(InProcessLimits(), found, refusals), refusals


# Addresses


async def test_an_address_with_too_many_connections_is_told_so_and_others_are_not() -> None:
    addresses, refusals = addressed(connections=3)
    async with guarded(Guard(addresses=addresses, refusals=refusals)) as served:
        held = [await served.connect() for _ in range(3)]
        await eventually(lambda: served.door.connections == 3)
        answer = await served.says(b"")
        assert (status_of(answer), error_code_of(answer)) == (429, "address_connection_limit")
        assert b"\r\nRetry-After: 5\r\n" in answer
        elsewhere = await trio.open_tcp_stream("127.0.0.1", served.port, local_address="127.0.0.2")
        async with elsewhere:
            await elsewhere.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of(await read_to_end(elsewhere)) == 200
        await held[0].aclose()
        await eventually(lambda: served.door.connections == 2)
        assert (await served.ask())[0] == 200
        for stream in held:
            await stream.aclose()
    assert refusals.counts == {"address_connection_limit": 1}


async def test_an_address_that_comes_too_often_is_told_when_it_may_come_again() -> None:
    addresses, refusals = addressed(arrivals=Rate(0.5, 3))
    async with guarded(Guard(addresses=addresses, refusals=refusals)) as served:
        statuses = [(await served.ask())[0] for _ in range(6)]
        assert statuses == [200, 200, 200, 429, 429, 429]
        assert "retry-after: 2" in (await served.ask())[1]
    assert refusals.counts == {"address_rate_limit": 4}


async def test_a_flood_from_one_address_fills_neither_the_log_nor_the_door() -> None:
    addresses, refusals = addressed(connections=5)
    with structlog.testing.capture_logs() as lines:
        async with guarded(Guard(addresses=addresses, refusals=refusals)) as served:
            held = [await served.connect() for _ in range(300)]
            await eventually(lambda: served.door.connections <= 5)
            for stream in held:
                await stream.aclose()
            await eventually(lambda: served.door.connections == 0)
    said = [line for line in lines if line["log_level"] != "debug"]
    assert [line["event"] for line in said] == ["refused", "refused repeatedly"]
    assert said[1]["address_connection_limit"] == 294


async def test_behind_a_trusted_proxy_the_clients_address_is_counted_and_the_proxys_is_not() -> None:
    addresses, refusals = addressed(arrivals=Rate(0.01, 2))
    guard = Guard(addresses=addresses, refusals=refusals, proxies=PROXIES)
    async with guarded(guard) as served:
        for client in ("198.51.100.1", "198.51.100.2", "198.51.100.3"):
            statuses = [(await served.ask(X_Forwarded_For=f"127.0.0.1, {client}"))[0] for _ in range(3)]
            assert statuses == [200, 200, 429]


async def test_a_stranger_cannot_escape_its_limit_by_naming_others() -> None:
    addresses, refusals = addressed(arrivals=Rate(0.01, 2))
    async with guarded(Guard(addresses=addresses, refusals=refusals)) as served:
        statuses = [(await served.ask(X_Forwarded_For=f"198.51.100.{number}"))[0] for number in range(5)]
    assert statuses == [200, 200, 429, 429, 429]


# Proxies


async def test_handlers_see_the_client_and_not_the_proxy() -> None:
    fields = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "avatar.example"}
    async with guarded(Guard(proxies=PROXIES)) as served:
        assert (await served.ask(**fields))[2].count("GET / 0 from 198.51.100.7") == 1
        headers = [(name.encode(), text.encode()) for name, text in fields.items()]
        url = f"ws://127.0.0.1:{served.port}/ws"
        async with trio_websocket.open_websocket_url(url, extra_headers=headers) as websocket:
            assert msgspec.json.decode(await websocket.get_message()) == [
                "198.51.100.7", "https", "avatar.example", False,
            ]  # fmt: skip
    async with guarded(Guard()) as served:
        assert (await served.ask(**fields))[2].count("GET / 0 from 127.0.0.1") == 1


async def test_forwarding_fields_that_disagree_are_refused() -> None:
    async with guarded(Guard(proxies=PROXIES)) as served:
        status, _, body = await served.ask(X_Forwarded_For="198.51.100.7", Forwarded="for=127.0.0.1")
        assert (status, "ambiguous_forwarding" in body) == (400, True)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"X_Forwarded_Proto": "https"}, 200),
        ({"X_Forwarded_Proto": "http"}, 403),
        ({}, 403),
        ({"X_Forwarded_Proto": "http", "Authorization": "Bearer x"}, 403),
    ],
)
async def test_behind_a_proxy_plain_requests_are_refused(fields: dict[str, str], status: int) -> None:
    guard = Guard(proxies=PROXIES, requires_tls=True, probes=frozenset({"/health/live"}))
    async with guarded(guard) as served:
        for ws in (False, True):
            answer = await served.ask(
                "/api", method="GET" if ws else "POST", ws=ws, X_Forwarded_For="198.51.100.7", **fields
            )
            assert answer[0] == (101 if ws and status == 200 else status)
            assert status == 200 or "tls_required" in answer[2]
        assert (await served.ask("/health/live", X_Forwarded_For="198.51.100.7", **fields))[0] == 200


async def test_a_page_that_was_asked_for_in_the_clear_is_redirected() -> None:
    guard = Guard(proxies=PROXIES, requires_tls=True, origins=OriginPolicy(hosts=read_hosts("avatar.example")))
    plain = {"X_Forwarded_For": "198.51.100.7", "X_Forwarded_Proto": "http"}
    async with guarded(guard) as served:
        for method in ("GET", "HEAD"):
            status, head, _ = await served.ask("//evil.example/?a=b", method=method, Host="avatar.example:80", **plain)
            assert status == 308
            assert "location: https://avatar.example//evil.example/?a=b\r\n" in head
            assert "strict-transport-security" not in head
        assert (await served.ask("/", Host="evil.example", **plain))[0] == 403, "nor to wherever one likes"
        assert (await served.ask("/", Host="avatar.example", api_key="x", **plain))[0] == 403
        assert (await served.ask("/", X_Forwarded_Proto="http"))[0] == 308
        assert "strict-transport-security: max-age=31536000" in (
            await served.ask("/", Host="avatar.example", X_Forwarded_For="198.51.100.7", X_Forwarded_Proto="https")
        )[1]  # fmt: skip


async def test_a_plain_request_of_this_machine_itself_is_served_and_a_relayed_one_is_not() -> None:
    async with guarded(Guard(requires_tls=True)) as served:
        assert (await served.ask())[0] == 200
        assert (await served.ask(method="POST", X_Forwarded_For="198.51.100.7"))[0] == 403


# Host, Origin, CORS


POLICY = OriginPolicy(read_origins("https://shop.example.com"), read_hosts("avatar.example.com"))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, None),
        ({"Host": "avatar.example.com"}, None),
        ({"Origin": "https://shop.example.com"}, None),
        ({"Host": "evil.example"}, "host_not_allowed"),
        ({"Origin": "https://evil.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
    ],
)
async def test_host_and_origin_are_checked_for_both_sides(fields: dict[str, str], code: str | None) -> None:
    refusals = Refusals()
    async with guarded(Guard(origins=POLICY, probes=frozenset({"/health/live"}), refusals=refusals)) as served:
        for ws in (False, True):
            status, _, body = await served.ask("/ws" if ws else "/", ws=ws, **fields)
            assert status == (403 if code else 101 if ws else 200)
            assert code is None or f'"{code}"' in body
        assert (await served.ask("/health/live", **fields))[0] == 200
    assert refusals.counts == ({code: 2} if code else {})


async def test_pages_on_the_list_are_told_that_they_may() -> None:
    async with guarded(Guard(origins=POLICY)) as served:
        shop, asks = {"Origin": "https://shop.example.com"}, {"Access_Control_Request_Method": "POST"}
        for path in ("/", "/fail"):
            status, head, _ = await served.ask(path, **shop)
            assert status == (200 if path == "/" else 500)
            assert status == 500 or "access-control-allow-origin: https://shop.example.com" in head
            assert status == 500 or "vary: origin" in head
        status, head, body = await served.ask("/v1/anything", method="OPTIONS", **shop, **asks)
        assert (status, body) == (204, "")
        assert "access-control-allow-origin: https://shop.example.com" in head
        assert "access-control-allow-methods: get, head, post, delete" in head
        assert "access-control-allow-credentials" not in head
        assert "content-length" not in head
        status, head, _ = await served.ask("/v1/anything", method="OPTIONS", Origin="https://evil.example", **asks)
        assert status == 403
        assert "access-control-allow-origin" not in head
        assert "access-control" not in (await served.ask("/"))[1]


# TLS


class Authority:
    def __init__(self, folder: Path) -> None:
        issuer = trustme.CA()
        issued = issuer.issue_cert("localhost")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        for number, pem in enumerate(issued.cert_chain_pems):
            pem.write_to_path(folder / "chain.pem", append=number > 0)
        self.folder = folder
        self.client = ssl.create_default_context()
        issuer.configure_trust(self.client)

    def guard(self, **kwargs: Any) -> Guard:
        certificate = Certificate(self.folder / "chain.pem", self.folder / "key.pem", clock=trio.current_time)
        return Guard(certificate=certificate, requires_tls=True, **kwargs)


@pytest.fixture
async def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_pages_and_websockets_are_served_over_tls(authority: Authority) -> None:
    async with guarded(authority.guard(origins=POLICY), client=authority.client) as served:
        status, head, body = await served.ask()
        assert (status, body.count("GET / 0 from 127.0.0.1")) == (200, 1)
        assert "strict-transport-security" not in head, "it would hold for all of localhost"
        assert "strict-transport-security" in (await served.ask(Host="avatar.example.com"))[1]
        assert (await served.ask("/big"))[2].count("x") == 8_000_000
        url = f"wss://localhost:{served.port}/ws"
        headers = [(b"Origin", f"https://localhost:{served.port}".encode())]
        async with trio_websocket.open_websocket_url(url, authority.client, extra_headers=headers) as websocket:
            found = msgspec.json.decode(await websocket.get_message())
            assert found == ["127.0.0.1", "https", f"localhost:{served.port}", True]


async def test_a_plain_request_to_a_port_of_tls_is_told_so(authority: Authority) -> None:
    async with guarded(authority.guard()) as served:
        answer = await served.says(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (status_of(answer), error_code_of(answer)) == (400, "tls_required")


@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01\x02\x00"])
async def test_a_handshake_that_does_not_come_ends_in_time(first: bytes, authority: Authority) -> None:
    async with guarded(authority.guard(), limits=DoorLimits(head_s=0.3)) as served:
        began = trio.current_time()
        assert await served.says(first) == b""
        assert 0.2 < trio.current_time() - began < 1.5
        assert served.door._guard.refusals.counts == {"tls_timeout": 1}


async def test_rubbish_instead_of_a_handshake_ends_the_connection_only(authority: Authority) -> None:
    with structlog.testing.capture_logs() as lines:
        async with guarded(authority.guard(), client=authority.client) as served:
            for _ in range(20):
                with contextlib.suppress(trio.BrokenResourceError):
                    await served.says(b"\x16\x03\x01\x00\x05rubbish and more rubbish")
            assert (await served.ask())[0] == 200
    assert [line for line in lines if line["log_level"] != "debug"] == []


async def test_the_time_for_the_head_counts_from_before_the_handshake(authority: Authority) -> None:
    async with guarded(authority.guard(), client=authority.client, limits=DoorLimits(head_s=0.5)) as served:
        plain = await served.connect()
        await trio.sleep(0.3)
        stream = trio.SSLStream(plain, authority.client, server_hostname="localhost", https_compatible=True)
        async with stream:
            began = trio.current_time()
            answer = bytes(await stream.receive_some())
            assert status_of(answer) == 408
            assert trio.current_time() - began < 0.4


async def test_who_is_turned_away_over_tls_is_told_in_tls(authority: Authority) -> None:
    addresses, refusals = addressed(arrivals=Rate(0.01, 1))
    guard = authority.guard(addresses=addresses, refusals=refusals)
    async with guarded(guard, client=authority.client) as served:
        assert (await served.ask())[0] == 200
        status, head, _ = await served.ask()
        assert (status, "retry-after: 100" in head) == (429, True)


async def test_too_many_for_the_whole_server_are_counted_too(open_door: Open) -> None:
    async with open_door(DoorLimits(max_connections=1)) as served:
        async with await served.connect():
            await eventually(lambda: served.door.connections == 1)
            assert status_of(await served.says(b"")) == 503
        assert served.door._guard.refusals.counts == {"too_many_connections": 1}
