"""Where each service is, what it is shown, and how its refusals read; against a server by hand on a loopback port."""

import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from server.secret import Secret
from server.upstream.base import NoCredential, UpstreamLost, UpstreamRefused, UpstreamUnreachable
from server.upstream.connectors import (
    SettingNames,
    WebSocketConnector,
    azure_connector,
    embedded_connector,
    openai_connector,
)
from server.upstream.credentials import KeyCredential, TokenCredential
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
AZURE_KEY = KeyCredential(Secret(KEY), name="api-key")
OPENAI_KEY = KeyCredential(Secret(KEY), name="Authorization", prefix="Bearer ")
AZURE_NAMES = SettingNames(
    endpoint="AZURE_OPENAI_ENDPOINT", deployment="AZURE_OPENAI_DEPLOYMENT", credential="AZURE_OPENAI_API_KEY"
)
OPENAI_NAMES = SettingNames(endpoint="OPENAI_BASE_URL", deployment="LIVEAVATAR_MODEL", credential="OPENAI_API_KEY")


def test_azure() -> None:
    connector = azure_connector("https://name.openai.azure.com/", "my deployment", AZURE_KEY, BOUNDS, AZURE_NAMES)
    assert connector.url == "wss://name.openai.azure.com/openai/v1/realtime?model=my%20deployment"
    assert connector.name == "Azure OpenAI at name.openai.azure.com"
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
    connector = openai_connector(base_url, "gpt-realtime", OPENAI_KEY, BOUNDS, OPENAI_NAMES)
    assert connector.url == url


def test_a_connector_does_not_show_its_key() -> None:
    for connector in (
        azure_connector("https://a.example", "d", AZURE_KEY, BOUNDS, AZURE_NAMES),
        openai_connector("https://a.example/v1", "m", OPENAI_KEY, BOUNDS, OPENAI_NAMES),
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
    return openai_connector(f"http://127.0.0.1:{port}/v1", "gpt-realtime", OPENAI_KEY, BOUNDS, OPENAI_NAMES)


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
        (429, True, "quota"),
        (410, False, ""),
        (418, False, ""),
        (599, True, ""),
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
        azure = azure_connector(f"http://127.0.0.1:{port}", "d", AZURE_KEY, BOUNDS, AZURE_NAMES)
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
        (close_frame(1011, b"server error", mask=None), 1011, "ended the connection with code 1011."),
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


# Who lets everybody in and says no afterwards


def error_event(error_type: str, code: str | None, message: str) -> bytes:
    error = {"type": error_type, "code": code, "message": message}
    return frame(TEXT, json.dumps({"type": "error", "event_id": "event_1", "error": error}).encode(), mask=None)


GREETING = frame(TEXT, b'{"type":"session.created","event_id":"event_1","session":{}}', mask=None)


@pytest.mark.parametrize(
    ("said", "code", "retryable", "hint"),
    [
        (
            error_event("invalid_request_error", "invalid_api_key", f"Wrong key {KEY}.")
            + close_frame(3000, b"invalid_request_error.invalid_api_key", mask=None),
            "upstream_invalid_api_key",
            False,
            "Look at OPENAI_API_KEY.",
        ),
        (
            error_event("invalid_request_error", "model_not_found", "No such model."),
            "upstream_model_not_found",
            False,
            "Look at LIVEAVATAR_MODEL.",
        ),
        (
            error_event("invalid_request_error", "insufficient_quota", "Pay."),
            "upstream_insufficient_quota",
            False,
            "billing",
        ),
        (error_event("rate_limit_error", "rate_limit_exceeded", "Slowly."), "upstream_rate_limit_exceeded", True, ""),
        (error_event("server_error", None, "Sorry."), "upstream_server_error", True, ""),
        (
            close_frame(3000, f"Incorrect API key {KEY}".encode(), mask=None),
            "upstream_invalid_api_key",
            False,
            "OPENAI_API_KEY",
        ),
        (close_frame(4004, mask=None), "upstream_model_not_found", False, "LIVEAVATAR_MODEL"),
        (close_frame(1013, mask=None), "upstream_lost", True, "1013"),
        (b"", "upstream_lost", True, "was lost"),
    ],
)
async def test_a_refusal_in_place_of_the_greeting(said: bytes, code: str, retryable: bool, hint: str) -> None:
    async def refuses(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(_accept(head) + said)

    async with answering(refuses) as (port, _):
        with trio.fail_after(5), pytest.raises(UpstreamRefused) as refused:
            await connector_to(port).connect()
    assert (refused.value.code, refused.value.retryable) == (code, retryable)
    assert hint in refused.value.message
    assert KEY not in refused.value.message + refused.value.said


async def test_a_greeting_that_never_comes_is_not_waited_for() -> None:
    async def is_silent(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(_accept(head))
        await stream.receive_some()

    bounds = dataclasses.replace(BOUNDS, attempt_timeout_s=0.1)
    async with answering(is_silent) as (port, _):
        connector = dataclasses.replace(connector_to(port), bounds=bounds)
        with trio.fail_after(5), pytest.raises(UpstreamUnreachable) as late:
            await connector.connect()
    assert late.value.code == "upstream_timeout"
    assert late.value.retryable


async def test_the_greeting_is_received_like_any_other_frame() -> None:
    async def greets(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(_accept(head) + GREETING + frame(TEXT, b"{}", mask=None))
        await stream.receive_some()

    async with answering(greets) as (port, _), trio.open_nursery() as nursery:
        connection = await connector_to(port).connect()
        nursery.start_soon(connection.run)
        with trio.fail_after(5):
            assert b"session.created" in await connection.receive()
            assert await connection.receive() == b"{}"
            await connection.aclose()
        nursery.cancel_scope.cancel()


# Credentials


class Renewed:
    """An identity that gets another token each time."""

    def __init__(self, fault: UpstreamRefused | None = None) -> None:
        self.count = 0
        self.invalid: list[str] = []
        self._fault = fault

    async def token(self, *, timeout_s: float) -> Secret:
        await trio.lowlevel.checkpoint()
        self.count += 1
        if self._fault is not None:
            raise self._fault
        return Secret(f"token-{self.count}")

    def refused(self, token: Secret) -> bool:
        self.invalid.append(token.reveal())
        return True


async def test_every_connection_gets_a_token_of_its_own() -> None:
    async with answering(says(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")) as (port, heads):
        azure = azure_connector(f"http://127.0.0.1:{port}", "d", TokenCredential(Renewed()), BOUNDS, AZURE_NAMES)
        for _ in range(2):
            with pytest.raises(UpstreamRefused):
                await azure.connect()
    assert [b"Authorization: Bearer token-%d\r\n" % number in head for number, head in enumerate(heads, 1)] == [
        True
    ] * 2


async def test_a_token_that_is_refused_is_replaced_once() -> None:
    async with answering(says(b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n")) as (port, heads):
        tokens = Renewed()
        azure = azure_connector(f"http://127.0.0.1:{port}", "d", TokenCredential(tokens), BOUNDS, AZURE_NAMES)
        with pytest.raises(UpstreamRefused, match="401"):
            await azure.connect()
    assert len(heads) == 2
    assert tokens.invalid == ["token-1"]


async def test_a_key_that_cannot_be_looked_up_yet_is_no_fault_of_the_service() -> None:
    key = KeyCredential(Secret.by_reference("keyvault:https://v.vault.azure.net/secrets/k"), name="api-key")
    azure = azure_connector("http://127.0.0.1:9", "d", key, BOUNDS, AZURE_NAMES)
    with pytest.raises(NoCredential, match="has not been looked up"):
        await azure.connect()


async def test_without_a_token_nobody_is_asked() -> None:
    fault = UpstreamRefused("There is no identity here.", code="upstream_identity")
    async with answering(says(b"")) as (port, heads):
        azure = azure_connector(f"http://127.0.0.1:{port}", "d", TokenCredential(Renewed(fault)), BOUNDS, AZURE_NAMES)
        with pytest.raises(NoCredential, match="no identity"):
            await azure.connect()
    assert heads == []
