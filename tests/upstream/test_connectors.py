"""Where each service is, what it is shown, and how its refusals read; against a server by hand on a loopback port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from server.secret import Secret
from server.upstream.base import UpstreamLost, UpstreamRefused, UpstreamUnreachable
from server.upstream.connectors import (
    WebSocketConnector,
    azure_connector,
    embedded_connector,
    openai_connector,
)
from server.upstream.websocket import ConnectionBounds
from tests.simulator.driver import simulator
from tests.transport.peers import TEXT, close_frame, frame

BOUNDS = ConnectionBounds(
    send_timeout_s=10.0,
    attempt_timeout_s=2,
    ping_interval_s=20,
    pong_timeout_s=20,
    audio_backlog_ms=1000,
    close_timeout_s=1,
)
KEY = "sk-canary-0123456789"


def test_azure() -> None:
    connector = azure_connector("https://name.openai.azure.com/", "my deployment", Secret(KEY), BOUNDS)
    assert connector.url == "wss://name.openai.azure.com/openai/v1/realtime?model=my%20deployment"
    assert connector.name == "Azure OpenAI at name.openai.azure.com"
    assert connector.key_header == ("api-key", "")
    assert "api-version" not in connector.url


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=gpt-realtime"),
        ("https://api.openai.com/v1/", "wss://api.openai.com/v1/realtime?model=gpt-realtime"),
        ("http://127.0.0.1:9/a/v1", "ws://127.0.0.1:9/a/v1/realtime?model=gpt-realtime"),
        ("http://[::1]:9/v1", "ws://[::1]:9/v1/realtime?model=gpt-realtime"),
    ],
)
def test_openai(base_url: str, url: str) -> None:
    connector = openai_connector(base_url, "gpt-realtime", Secret(KEY), BOUNDS)
    assert connector.url == url
    assert connector.key_header == ("Authorization", "Bearer ")


def test_a_connector_does_not_show_its_key() -> None:
    for connector in (
        azure_connector("https://a.example", "d", Secret(KEY), BOUNDS),
        openai_connector("https://a.example/v1", "m", Secret(KEY), BOUNDS),
    ):
        assert KEY not in repr(connector)
        assert KEY not in connector.name
        assert KEY not in connector.url


async def test_the_embedded_simulator_is_reached_by_it() -> None:
    async with simulator() as running, trio.open_nursery() as nursery:
        connector = embedded_connector(running.addresses[0][1], "gpt-realtime", BOUNDS)
        connection = await connector.connect()
        nursery.start_soon(connection.run)
        with trio.fail_after(5):
            assert b"session.created" in await connection.receive()
            await connection.aclose()
            with pytest.raises(UpstreamLost):
                await connection.receive()
        nursery.cancel_scope.cancel()


Answers = Callable[[trio.SocketStream, bytes], Awaitable[None]]


@asynccontextmanager
async def answering(answers: Answers) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that hands each request head to ``answers``; yields its port and the heads."""
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await stream.receive_some()
            if not piece:
                return
            head += piece
        heads.append(head)
        await answers(stream, head)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1], heads
        nursery.cancel_scope.cancel()


def says(answer: bytes) -> Answers:
    async def answers(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(answer)

    return answers


def connector_to(port: int) -> WebSocketConnector:
    return openai_connector(f"http://127.0.0.1:{port}/v1", "gpt-realtime", Secret(KEY), BOUNDS)


async def refusal(answer: bytes) -> UpstreamRefused:
    async with answering(says(answer)) as (port, _):
        with pytest.raises(UpstreamRefused) as refused:
            await connector_to(port).connect()
    assert KEY not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        (400, False, ""),
        (401, False, "Look at OPENAI_API_KEY."),
        (403, False, "permissions"),
        (404, False, "LIVEAVATAR_MODEL"),
        (408, True, ""),
        (429, True, ""),
        (500, True, ""),
        (503, True, ""),
        (302, False, ""),
    ],
)
async def test_refusals(status: int, retryable: bool, hint: str) -> None:
    body = b'{"error":{"message":"Incorrect key sk-proj-ab**********yz, said the service."}}'
    fault = await refusal(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
    assert fault.retryable == retryable
    assert fault.code == f"upstream_http_{status}"
    assert f"HTTP {status}" in fault.message
    assert hint in fault.message
    # The service's words are for the log: it quotes the key in them.
    assert "said the service" not in fault.message
    assert fault.said == "Incorrect key ***, said the service."


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"2", 2.0),
        (b"0.5", 0.5),
        (b"-1", 0.0),
        (b"soon", None),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"nan", None),
        (b"inf", None),
    ],
)
async def test_retry_after(header: bytes, seconds: float | None) -> None:
    fault = await refusal(b"HTTP/1.1 429 X\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % header)
    assert fault.retry_after_s == seconds


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>no</html>", b'{"error":"text"}', b'{"error":{"message":7}}', b"[" * 4000, b"\xff\xfe", b"null"],
)
async def test_bodies_that_say_nothing(body: bytes) -> None:
    fault = await refusal(b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert fault.message == f"{fault.message.split(' refused')[0]} refused the connection with HTTP 503."


async def test_what_a_service_says_is_bounded_and_printable() -> None:
    body = b'{"error":{"message":"\\u001b[31m\\n%s"}}' % (b"x" * 3000)
    fault = await refusal(b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert len(fault.message) < 500
    assert fault.message.isprintable()


async def test_the_key_travels_in_its_header() -> None:
    async with answering(says(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")) as (port, heads):
        with pytest.raises(UpstreamRefused):
            await connector_to(port).connect()
        azure = azure_connector(f"http://127.0.0.1:{port}", "d", Secret(KEY), BOUNDS)
        with pytest.raises(UpstreamRefused):
            await azure.connect()
    assert f"Authorization: Bearer {KEY}\r\n".encode() in heads[0]
    assert f"api-key: {KEY}\r\n".encode() in heads[1]
    assert KEY.encode() not in heads[0].split(b"\r\n")[0]


async def test_nobody_there() -> None:
    async with answering(says(b"")) as (port, _):
        pass
    with pytest.raises(UpstreamUnreachable) as fault:
        await connector_to(port).connect()
    assert fault.value.retryable
    assert str(port) in fault.value.message


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 101 X\r\nUpgrade: nonsense\r\n\r\n"])
async def test_something_else_there(answer: bytes) -> None:
    async with answering(says(answer)) as (port, _):
        with pytest.raises(UpstreamUnreachable) as fault:
            await connector_to(port).connect()
    assert fault.value.retryable
    assert KEY not in str(fault.value)


def _accept(head: bytes) -> bytes:
    import base64
    import hashlib
    import re

    match = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
    assert match
    digest = hashlib.sha1(match[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("bytes_", "code", "text"),
    [
        (close_frame(1011, b"server error", mask=None), 1011, "ended the connection with code 1011 (server error)"),
        (close_frame(1000, mask=None), 1000, "ended the connection with code 1000."),
        (b"", None, "was lost"),
        (frame(TEXT, b"\xff", mask=None), 1007, "was lost"),
    ],
    ids=["error", "plain", "cut", "broken"],
)
async def test_losses(bytes_: bytes, code: int | None, text: str) -> None:
    async def accepts(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(_accept(head) + frame(2, b"binary", mask=None) + frame(TEXT, b"{}", mask=None) + bytes_)
        if bytes_:
            await trio.sleep(1)

    async with answering(accepts) as (port, _), trio.open_nursery() as nursery:
        connection = await connector_to(port).connect()
        nursery.start_soon(connection.run)
        with trio.fail_after(5):
            assert await connection.receive() == b"{}"  # binary frames are passed over
            for _ in range(2):
                with pytest.raises(UpstreamLost) as lost:
                    await connection.receive()
                assert lost.value.close_code == code
                assert text in lost.value.message
                assert "None" not in lost.value.message
            connection.send(b"{}")  # never raises
            await connection.aclose()
        nursery.cancel_scope.cancel()
