"""Everything a client can do wrong, over real sockets: each gets its error, and nobody else notices."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from tests.running import INIT, PATIENCE_S, Running, handshake_bytes, serving, to_end
from tests.simulator.driver import Client
from tests.transport.peers import BINARY, CONT, PING, TEXT, frame, parse_frames

pytestmark = pytest.mark.slow

APPEND = {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(4800)).decode()}


@asynccontextmanager
async def beside_a_bystander(data_dir: Path, **settings: float) -> AsyncIterator[Running]:
    """A server with one session that goes on all the time: it sends sound, asks, and must be answered without error."""
    async with serving(data_dir, **settings) as server, server.opened("/v1/realtime") as bystander:
        turns = 0

        async def go_on() -> None:
            nonlocal turns
            await bystander.update(audio={"input": {"turn_detection": None}})
            while True:
                await bystander.send_text(msgspec.json.encode(APPEND).decode())
                response = await bystander.respond(None, output_modalities=["text"], instructions="Say hello.")
                assert response["status"] == "completed"
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_on)
            yield server
            before = turns
            with trio.fail_after(PATIENCE_S):
                while turns < before + 2:  # noqa: ASYNC110 - a count sets no event
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert bystander.of("error") == []


ANSWERED: list[tuple[str | bytes, str]] = [
    ("{", "invalid_json"),
    ("", "invalid_json"),
    ("[1]", "invalid_event"),
    ("{}", "missing_required_parameter"),
    ('{"type":7}', "invalid_type"),
    (b"\x00\x01\x02", "invalid_event"),
    ('{"type":"session.created"}', "invalid_value"),
    ('{"type":"response.output_audio.delta","delta":"AAAA"}', "invalid_value"),
    ('{"type":"conversation.item.create"}', "missing_required_parameter"),
    ('{"type":"conversation.item.create","item":{"type":"message","role":3}}', "invalid_type"),
    ('{"type":"conversation.item.truncate","item_id":"x","content_index":"a","audio_end_ms":1}', "invalid_type"),
    ('{"type":"conversation.item.delete","item_id":"nothing"}', "item_delete_invalid_item_id"),
    ('{"type":"input_audio_buffer.append","audio":7}', "invalid_type"),
    ('{"type":"input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
    ('{"type":"response.cancel"}', "response_cancel_not_active"),
    ('{"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":9}}}}', "invalid_type"),
    ('{"a":' * 2000 + "1" + "}" * 2000, "invalid_json"),
]


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
async def test_wrong_events_are_answered_and_the_session_goes_on(data_dir: Path, path: str) -> None:
    async with beside_a_bystander(data_dir) as server, server.opened(path) as client:
        for wrong, code in ANSWERED:
            await client.websocket.send_message(wrong)
            error = await client.until("error")
            assert error["error"]["code"] == code, (wrong[:80], error)
        if path == "/ws":
            await client.send_text(msgspec.json.encode(INIT).decode())
            assert (await client.until("error"))["error"]["code"] == "already_initialised"
        response = await client.respond("Who founded the museum?")
        assert response["status"] == "completed"


async def closed_with(client: Client) -> tuple[list[str], int]:
    """The codes of the errors that came before the end, and the close code."""
    code, _ = await client.closed()
    return [event["error"]["code"] for event in client.of("error")], code


@pytest.mark.parametrize(
    ("first", "codes", "close"),
    [
        ("{", ["invalid_json"], 4000),
        ('{"type":"response.create"}', ["invalid_value"], 4000),
        ('{"kb_id":7}', ["invalid_type"], 4000),
        ('{"kb_id":"nowhere"}', ["unknown_knowledge_base"], 4404),
        (b"{}", ["invalid_event"], 1003),
        ('{"pad":"' + "x" * 65536 + '"}', [], 1009),
        ("", ["invalid_json"], 4000),
    ],
    ids=["malformed", "no init", "wrong type", "unknown kb", "binary", "over 64 KiB", "empty"],
)
async def test_a_wrong_first_frame(data_dir: Path, first: str | bytes, codes: list[str], close: int) -> None:
    async with serving(data_dir) as server, server.client(init={}) as client:
        await client.websocket.send_message(first)
        assert await closed_with(client) == (codes, close)


async def test_no_first_frame(data_dir: Path) -> None:
    async with beside_a_bystander(data_dir, init_timeout=0.3) as server, server.client(init={}) as client:
        assert await closed_with(client) == (["init_timeout"], 4408)


@pytest.mark.parametrize(("path", "limit"), [("/ws", 1024 * 1024), ("/v1/realtime", 21 * 1024 * 1024)])
async def test_frames_that_are_too_big(data_dir: Path, path: str, limit: int) -> None:
    async with beside_a_bystander(data_dir) as server, server.opened(path) as client:
        event = '{"type":"input_audio_buffer.clear","pad":"%s"}'
        await client.send_text(event % ("x" * (limit - len(event) + 2)))
        error = await client.until("error", PATIENCE_S)
        assert error["error"]["code"] == "unknown_parameter", "it was read, and by the service"
        await client.send_text(event % ("x" * (limit - len(event) + 3)))
        assert await closed_with(client) == (["unknown_parameter"], 1009)


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
    b"\x00" * 100,
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"get / http/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: x\r\n\r\n",
    b"GET / HTTP/3.0\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n",
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: \xff\xfe\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
]


async def test_garbage_instead_of_http(data_dir: Path) -> None:
    async with beside_a_bystander(data_dir) as server:
        for garbage in NO_HTTP:
            async with await server.raw(garbage) as stream:
                answer = await to_end(stream)
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")), (garbage[:40], answer[:80])


async def test_half_a_request_and_then_silence(data_dir: Path) -> None:
    async with beside_a_bystander(data_dir, head_timeout=0.3) as server:
        halves = (b"", b"G", b"GET /ws HTTP/1.1\r\nHost: local", handshake_bytes("/ws", server.port)[:-2])
        for half in halves:
            async with await server.raw(half) as stream:
                assert (await to_end(stream)).startswith(b"HTTP/1.1 408 "), half


async def test_silence_after_half_a_frame(data_dir: Path) -> None:
    async with beside_a_bystander(data_dir, init_timeout=0.3, close_timeout=0.3) as server:
        whole = frame(TEXT, msgspec.json.encode(INIT))
        async with await server.raw(handshake_bytes("/ws", server.port) + whole[:10]) as stream:
            answer = await to_end(stream)
        assert b" 101 " in answer
        frames = parse_frames(answer.partition(b"\r\n\r\n")[2])
        assert b"init_timeout" in frames[0][1]
        assert int.from_bytes(frames[1][1][:2], "big") == 4408


@pytest.mark.parametrize(
    ("bytes_", "close"),
    [
        (frame(TEXT, b'{"type":"\xff\xfe"}'), 1007),
        (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
        (frame(3, b"?"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(TEXT, b"{}", mask=None), 1002),
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 5000, 4429),
        (frame(BINARY, b"x" * 70_000), 1009),
    ],
    ids=["utf-8", "interleaved", "opcode", "long ping", "unmasked", "reserved bit", "fragments", "big binary"],
)
async def test_broken_frames(data_dir: Path, bytes_: bytes, close: int) -> None:
    async with beside_a_bystander(data_dir) as server:
        stream = await server.raw(handshake_bytes("/ws", server.port))
        async with stream:
            await stream.receive_some()
            await stream.send_all(bytes_)
            frames = parse_frames(await to_end(stream))
    assert frames[-1][0] == 8
    assert int.from_bytes(frames[-1][1][:2], "big") == close


async def test_everything_glued_into_one_segment(data_dir: Path) -> None:
    """Handshake and first frames in one piece: a stock server dies of it."""
    async with serving(data_dir) as server:
        glued = handshake_bytes("/ws", server.port) + frame(TEXT, msgspec.json.encode(INIT)) + frame(TEXT, b"{")
        async with await server.raw(glued) as stream:
            seen = b""
            with trio.fail_after(PATIENCE_S):
                while b"invalid_json" not in seen:
                    seen += await stream.receive_some()
        assert b"avatar.session" in seen


async def test_connections_cut_at_any_moment(data_dir: Path) -> None:
    async with beside_a_bystander(data_dir) as server:
        whole = handshake_bytes("/ws", server.port) + frame(TEXT, msgspec.json.encode(INIT)) + frame(TEXT, b"{}")
        for length in range(0, len(whole), 7):
            stream = await server.raw(whole[:length])
            if length % 2:
                await stream.aclose()
            else:
                stream.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset
                await stream.aclose()
