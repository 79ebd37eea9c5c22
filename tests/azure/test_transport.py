"""The transport over real sockets: cancelled, kept alive, bounded, and honest about what went wrong."""

import gc
import ssl
import threading

import pytest
import trio
from azure.core import AsyncPipelineClient
from azure.core.exceptions import (
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.policies import AsyncRedirectPolicy, AsyncRetryPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest

from server.azure import transport as transport_module
from server.azure.transport import HttpxTransport
from tests.azure.stand_ins.http import Answer, Request, Trust, json_answer, serve_http
from tests.azure.stand_ins.proxy import serve_proxy

# From the cancel to the moment at which the server sees the connection closed.
CLOSED_WITHIN_S = 0.05


def hello(request: Request) -> Answer:
    return json_answer(200, {"path": request.path}, (("Set-Cookie", "whose=canary; Path=/"),))


def opened(trust: Trust | None = None, *, max_connections: int = 20) -> HttpxTransport:
    return HttpxTransport(max_connections=max_connections, ssl_context=trust.client() if trust else None)


async def get(transport: HttpxTransport, url: str, **options: float) -> AsyncHttpResponse:
    return await transport.send(HttpRequest("GET", url), **options)


async def test_a_cancelled_request_closes_its_connection_at_once(trust: Trust) -> None:
    transport = opened(trust)
    async with serve_http(hello, trust) as server:
        server.faults.append("hang")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, transport, f"{server.url}/slow")
            await server.asked.wait()
            cancelled_at = trio.current_time()
            nursery.cancel_scope.cancel()
        with trio.fail_after(1):
            await server.closed.wait()
        assert server.closed_at[0] - cancelled_at < CLOSED_WITHIN_S
        assert (await get(transport, f"{server.url}/next")).json() == {"path": "/next"}
        await transport.aclose()


async def test_requests_one_after_the_other_use_one_connection(trust: Trust) -> None:
    transport = opened(trust)
    async with serve_http(hello, trust) as server:
        for number in range(5):
            assert (await get(transport, f"{server.url}/{number}")).json() == {"path": f"/{number}"}
        assert server.connections == 1
        assert {request.header("cookie") for request in server.requests} == {None}
        await transport.aclose()
        with trio.fail_after(1):
            await server.closed.wait()


async def test_twenty_at_once_need_twenty_connections_at_most_and_no_thread(trust: Trust) -> None:
    transport = opened(trust)
    threads = threading.active_count()
    most_threads = 0

    def slow(request: Request) -> Answer:
        nonlocal most_threads
        most_threads = max(most_threads, threading.active_count())
        return hello(request)

    async with serve_http(slow, trust) as server:
        server.delay_s = 0.02
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(get, transport, f"{server.url}/{number}")
        assert len(server.requests) == 60
        assert server.connections <= 20
        assert server.most_at_once <= 20
        assert most_threads == threads
        await transport.aclose()


async def test_more_requests_than_connections_wait_their_turn() -> None:
    transport = opened(max_connections=2)
    async with serve_http(hello) as server:
        server.delay_s = 0.01
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(get, transport, f"{server.url}/{number}")
        assert len(server.requests) == 8
        assert server.most_at_once <= 2
        await transport.aclose()


async def test_who_waits_in_vain_for_a_connection_was_not_sent() -> None:
    transport = opened(max_connections=1)
    async with serve_http(hello) as server, trio.open_nursery() as nursery:
        server.faults.append("hang")
        nursery.start_soon(get, transport, f"{server.url}/slow")
        await server.asked.wait()
        with pytest.raises(ServiceRequestTimeoutError):
            await get(transport, f"{server.url}/waits", read_timeout=0.02)
        nursery.cancel_scope.cancel()
    await transport.aclose()


async def test_an_answer_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_RESPONSE_BYTES", 1000)
    transport = opened()
    too_long = Answer(200, b"x" * 4_000_000)
    async with serve_http(lambda request: too_long if request.path == "/long" else Answer(200, b"x" * 1000)) as server:
        with pytest.raises(ServiceResponseError, match="longer than 1000 bytes"):
            await get(transport, f"{server.url}/long")
        with trio.fail_after(1):
            await server.closed.wait()
        assert len((await get(transport, f"{server.url}/as-long-as-may-be")).content) == 1000
    await transport.aclose()


async def test_nobody_there() -> None:
    transport = opened()
    async with serve_http() as server:
        url = server.url
    with pytest.raises(ServiceRequestError):
        await get(transport, url)
    await transport.aclose()


async def test_a_connection_that_is_cut() -> None:
    transport = opened()
    async with serve_http(hello) as server:
        server.faults.append("reset")
        with pytest.raises(ServiceResponseError):
            await get(transport, server.url)
        assert (await get(transport, server.url)).status_code == 200
    await transport.aclose()


async def test_a_server_that_closed_a_kept_connection_is_asked_on_another() -> None:
    transport = opened()
    async with serve_http(lambda _: Answer(200, headers=(("Connection", "close"),))) as server:
        for _ in range(3):
            assert (await get(transport, server.url)).status_code == 200
        assert server.connections == 3
    await transport.aclose()


async def test_a_certificate_that_nobody_vouches_for(trust: Trust) -> None:
    for transport in (opened(), opened(Trust())):
        async with serve_http(hello, trust) as server:
            with pytest.raises(ServiceRequestError, match="certificate"):
                await get(transport, server.url)
            assert not server.requests
        await transport.aclose()


async def test_a_certificate_for_another_name(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_http(hello, trust) as server, serve_proxy({"other.example": server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = opened(trust)
        with pytest.raises(ServiceRequestError, match="certificate"):
            await get(transport, "https://other.example/")
        await transport.aclose()


async def test_an_answer_that_does_not_come() -> None:
    transport = opened()
    async with serve_http(hello) as server:
        server.faults.append("hang")
        with pytest.raises(ServiceResponseTimeoutError):
            await get(transport, server.url, read_timeout=0.02)
    await transport.aclose()


async def test_what_is_no_http_address_was_not_sent() -> None:
    transport = opened()
    for url in (
        "ftp://127.0.0.1/",
        "http://[::1",
        "nonsense",
        "https://" + "a" * 64 + ".com/",
        "https://a..b/",
        "https://xn--/",
    ):
        with pytest.raises(ServiceRequestError):
            await get(transport, url)
    await transport.aclose()


async def test_the_environments_proxy_is_used(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_http(hello, trust) as server, serve_proxy({"museum.example": server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = opened(trust)
        assert (await get(transport, "https://museum.example/hall")).json() == {"path": "/hall"}
        assert proxy.asked == ["museum.example"]
        with pytest.raises(ServiceRequestError):
            await get(transport, "https://refused.example/")
        await transport.aclose()


async def test_but_not_for_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_http(hello) as server, serve_proxy({}) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        transport = opened()
        assert (await get(transport, server.url)).status_code == 200
        assert proxy.asked == []
        await transport.aclose()


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://169.254.169.254/metadata/identity/oauth2/token", True),
        ("http://169.254.129.5:8081/msi/token", True),
        ("http://[fe80::1]/", True),
        ("http://127.0.0.9:1/", True),
        ("https://localhost/", True),
        ("https://login.microsoftonline.com/", False),
        ("https://localhost.example/", False),
        ("https://10.0.0.1/", False),
    ],
)
async def test_what_this_host_is(url: str, is_local: bool) -> None:
    transport = opened()
    # Nothing is sent: on a machine in a cloud, something real would answer at the first of these.
    assert (transport._client_for(url) is transport._local) == is_local
    await transport.aclose()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_key_is_not_carried_along_a_redirect(status: int) -> None:
    transport = opened()
    async with serve_http(hello) as elsewhere:
        moved = Answer(status, headers=(("Location", f"{elsewhere.url}/"),))
        async with serve_http(lambda _: moved) as server:
            policies = [AsyncRedirectPolicy(), AsyncRetryPolicy(retry_total=0)]
            client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncPipelineClient(
                server.url, policies=policies, transport=transport
            )
            response = await client.send_request(HttpRequest("GET", server.url, headers={"api-key": "canary"}))
            assert response.status_code == status
            assert len(server.requests) == 1
        assert not elsewhere.requests
    await transport.aclose()


async def test_forms_and_bodies_arrive_as_they_were_given() -> None:
    transport = opened()
    async with serve_http(hello) as server:
        await transport.send(HttpRequest("POST", server.url, data={"a": "1 & 2", "b": "ß"}))
        await transport.send(HttpRequest("POST", server.url, json={"top": 3}))
        form, document = server.requests
        assert form.form == (("a", "1 & 2"), ("b", "ß"))
        assert form.header("content-type") == "application/x-www-form-urlencoded"
        assert document.body == b'{"top": 3}'
        assert document.header("content-type") == "application/json"
    await transport.aclose()


async def test_closing_a_client_leaves_the_transport_open_for_others(trust: Trust) -> None:
    transport = opened(trust)
    async with serve_http(hello, trust) as server:
        for _ in range(2):
            async with transport:
                assert (await get(transport, server.url)).status_code == 200
        assert server.connections == 1
        await transport.aclose()


async def test_nothing_is_left_open(trust: Trust) -> None:
    transport = opened(trust)
    async with serve_http(hello, trust) as server:
        await get(transport, server.url)
        await transport.aclose()
        with trio.fail_after(1):
            await server.closed.wait()
    del transport
    # A socket that was forgotten would warn here, and warnings are errors.
    gc.collect()


def test_whom_to_trust_is_what_the_system_does() -> None:
    transport = HttpxTransport(max_connections=1)
    context = transport._client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
