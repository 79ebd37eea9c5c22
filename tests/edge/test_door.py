import errno
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest
import structlog
import trio
import trio_websocket

from server.edge.door import CannotListen, Door, DoorLimits, open_listeners
from server.edge.http import HttpLimits
from server.transport.client import connect_websocket
from server.transport.errors import ConnectionLost, HandshakeRefused
from tests.edge.conftest import Open, echo, error_code_of, read_to_end, status_of, web
from tests.transport.peers import TEXT, eventually, frame, parse_frames

UPGRADE = (
    b"GET /ws?kb=museum HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


# WebSockets


async def test_a_websocket_is_opened_and_echoed(open_door: Open) -> None:
    async with open_door() as served:
        url = f"ws://127.0.0.1:{served.port}/ws"
        async with trio_websocket.open_websocket_url(url, subprotocols=["realtime"]) as theirs:
            assert theirs.subprotocol == "realtime"
            await theirs.send_message("hello")
            assert await theirs.get_message() == "hello"


async def test_the_key_subprotocol_is_never_echoed(open_door: Open) -> None:
    async with open_door() as served:
        for offered in (b"openai-insecure-api-key.sk-1, realtime", b"openai-insecure-api-key.sk-1"):
            async with await served.connect() as stream:
                await stream.send_all(UPGRADE + b"Sec-WebSocket-Protocol: " + offered + b"\r\n\r\n")
                answer = bytes(await stream.receive_some())
                assert answer.startswith(b"HTTP/1.1 101 ")
                assert b"sk-1" not in answer
                assert (b"Sec-WebSocket-Protocol: realtime\r\n" in answer) == (b"realtime" in offered)


async def test_a_frame_glued_behind_the_head_is_the_first_message(open_door: Open) -> None:
    async with open_door() as served, await served.connect() as stream:
        await stream.send_all(UPGRADE + b"\r\n" + frame(TEXT, b"glued"))
        answer = b""
        with trio.fail_after(3):
            while b"glued" not in answer:
                answer += await stream.receive_some()
        assert parse_frames(answer.split(b"\r\n\r\n", 1)[1]) == [(TEXT, b'{"kb":"museum"}'), (TEXT, b"glued")]


async def test_a_handler_may_refuse_before_the_upgrade(open_door: Open) -> None:
    async with open_door() as served:
        with pytest.raises(HandshakeRefused) as caught:
            await connect_websocket(f"ws://127.0.0.1:{served.port}/refuse")
    assert caught.value.status == 429
    assert caught.value.headers["retry-after"] == "7"
    assert caught.value.body_prefix == b'{"error":{"code":"slow_down"}}'


@pytest.mark.parametrize("path", ["/fail", "/ignore"])
async def test_a_handler_that_answers_nothing_is_answered_for(path: str, open_door: Open) -> None:
    async with open_door() as served:
        with pytest.raises(HandshakeRefused) as caught:
            await connect_websocket(f"ws://127.0.0.1:{served.port}{path}")
        assert caught.value.status == 500
        assert b"swordfish" not in caught.value.body_prefix


async def test_a_handler_that_fails_ends_its_own_connection_only(open_door: Open) -> None:
    async with open_door() as served:
        url = f"ws://127.0.0.1:{served.port}"
        honest = await connect_websocket(f"{url}/ws")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(honest.run)
            with structlog.testing.capture_logs() as lines:
                doomed = await connect_websocket(f"{url}/fail-open")
                with pytest.raises(ConnectionLost):
                    await doomed.receive()
                await doomed.aclose()
            honest.send("still here")
            assert (await honest.receive()).data == b"still here"
            await honest.aclose()
    [line] = [line for line in lines if line["log_level"] != "debug"]
    assert line["errors"] == "ValueError"
    assert "swordfish" not in str(line)


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"") + b"\r\n",
        UPGRADE.replace(b"Version: 13", b"Version: 8") + b"\r\n",
        UPGRADE + b"Content-Length: 3\r\n\r\nabc",
        UPGRADE.replace(b"GET", b"POST") + b"\r\n",
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        UPGRADE.replace(b"Connection: Upgrade", b"Connection: close") + b"\r\n",
    ],
)
async def test_a_wrong_handshake_is_answered_with_an_error(head: bytes, open_door: Open) -> None:
    async with open_door() as served:
        assert status_of(await served.says(head)) in {400, 405, 426}


# HTTP


async def test_a_field_that_is_too_long_for_a_websocket_is_told_in_our_words(open_door: Open) -> None:
    head = (
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer " + b"x" * 10_000 + b"\r\n\r\n"
    )
    async with open_door() as served:
        answer = await served.says(head)
        assert (status_of(answer), error_code_of(answer)) == (431, "malformed_upgrade")
        assert b"8 KiB is the most" in answer
        assert b"expected" not in answer
        assert served.door._guard.refusals.counts == {"malformed_upgrade": 1}


async def test_a_page_goes_through_hypercorn(open_door: Open) -> None:
    async with open_door() as served:
        answer = await served.says(GET)
        assert status_of(answer) == 200
        assert b"connection: close" in answer
        assert b"GET / 0 from 127.0.0.1" in answer
        assert b"hypercorn" not in answer


@pytest.mark.parametrize("pause_s", [0, 0.01])
async def test_a_body_is_handed_on_in_one_piece_or_many(pause_s: float, open_door: Open) -> None:
    async with open_door() as served:
        plain = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30_000
        chunks = b"".join(b"a\r\n0123456789\r\n" for _ in range(50))
        chunked = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        for data, size in ((plain, 30_000), (chunked, 500)):
            async with await served.connect() as stream:
                step = 5_000 if pause_s else len(data)
                for at in range(0, len(data), step):
                    await stream.send_all(data[at : at + step])
                    await trio.sleep(pause_s)
                with trio.fail_after(3):
                    assert b"POST /p %d from" % size in await read_to_end(stream)


async def test_a_streamed_answer_arrives_whole(open_door: Open) -> None:
    async with open_door() as served:
        answer = await served.says(b"GET /stream HTTP/1.0\r\n\r\n")
        assert answer.endswith(b"tick tick tick end")


async def test_an_application_that_fails_gives_500_and_one_line(open_door: Open) -> None:
    async with open_door() as served:
        with structlog.testing.capture_logs() as lines:
            assert status_of(await served.says(b"GET /fail HTTP/1.1\r\nHost: a\r\n\r\n")) == 500
        assert len([line for line in lines if line["log_level"] != "debug"]) == 1
        assert status_of(await served.says(GET)) == 200


async def test_a_pipelined_second_request_is_not_answered(open_door: Open) -> None:
    async with open_door() as served:
        for second in (
            GET,
            UPGRADE + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        ):
            answer = await served.says(GET + second)
            assert answer.count(b"HTTP/1.1") == 1
            assert status_of(answer) == 200


async def test_a_body_beyond_the_limit_is_refused(open_door: Open) -> None:
    limits = DoorLimits(http=HttpLimits(max_body_bytes=1000))
    async with open_door(limits) as served:
        declared = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"
        assert status_of(await served.says(declared)) == 413
        assert status_of(await served.says(declared + b"x" * 1001)) == 413
        chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk
        assert status_of(await served.says(chunked)) == 413
        allowed = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
        assert status_of(await served.says(allowed)) == 200


async def test_a_body_that_does_not_come_is_given_up(open_door: Open) -> None:
    limits = DoorLimits(http=HttpLimits(body_s=0.2))
    async with open_door(limits) as served:
        answer = await served.says(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        assert error_code_of(answer) == "request_timeout"


async def test_a_malformed_chunk_is_refused(open_door: Open) -> None:
    async with open_door() as served:
        answer = await served.says(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n")
        assert status_of(answer) == 400


async def test_a_client_that_does_not_read_cannot_hold_the_server(open_door: Open) -> None:
    limits = DoorLimits(http=HttpLimits(send_stall_s=0.3))
    async with open_door(limits) as served, await served.connect() as stream:
        await stream.send_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: served.door.connections == 1)
        await eventually(lambda: served.door.connections == 0)


async def test_a_client_that_does_not_read_cannot_hold_the_shutdown(open_door: Open) -> None:
    async with open_door() as served:
        stream = await served.connect()
        await stream.send_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: served.door.connections == 1)
        await trio.sleep(0.1)
        began = trio.current_time()
    assert trio.current_time() - began < 1.0
    await stream.aclose()


# What is neither


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"garbage", 400, "not_http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "not_http"),
        (b"\x00" * 100, 400, "not_http"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "not_http"),
        (b"A" * 100, 400, "not_http"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400, "malformed_request"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
        (b"GET /\r\nHost: a\r\n\r\n", 400, "malformed_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "malformed_request"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "malformed_request",
        ),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_target"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_target"),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not_implemented"),
        (b"GET /?" + b"a&" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_target"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, "too_many_headers"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /" + b"y" * 17_000, 431, "head_too_large"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version"),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http_version"),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "http_version"),
        (GET[:-2] + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n", 400, "unsupported_upgrade"),
        (GET[:-2] + b"Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n", 400, "unsupported_upgrade"),
        (GET[:-2] + b"Upgrade: TLS/1.0\r\n\r\n", 400, "unsupported_upgrade"),
        (GET[:-2] + b"Upgrade:\r\n\r\n", 400, "unsupported_upgrade"),
    ],
)
async def test_what_is_no_request_for_here_is_refused_by_name(
    data: bytes, status: int, code: str, open_door: Open
) -> None:
    async with open_door() as served:
        answer = await served.says(data)
        assert (status_of(answer), error_code_of(answer)) == (status, code)
        assert status_of(await served.says(GET)) == 200


@pytest.mark.parametrize("path", [b"/", b"/ws"])
@pytest.mark.parametrize("name", [b"X-Name", b"Host", b"Origin", b"Authorization", b"Sec-WebSocket-Protocol"])
async def test_headers_beyond_ascii_crash_nothing(path: bytes, name: bytes, open_door: Open) -> None:
    async with open_door() as served:
        head = (UPGRADE if path == b"/ws" else GET[:-2]).replace(b"Host: localhost", b"Host: h\xc3\xb6st")
        with structlog.testing.capture_logs() as lines:
            async with await served.connect() as stream:
                await stream.send_all(head + (b"" if name == b"Host" else name + b": \xff\xe4\x80\r\n") + b"\r\n")
                with trio.fail_after(3):
                    assert status_of(bytes(await stream.receive_some())) in {101, 200, 400}
        assert [line for line in lines if line["log_level"] != "debug"] == []
        assert status_of(await served.says(GET)) == 200


async def test_half_a_request_and_silence_is_408(open_door: Open) -> None:
    async with open_door(DoorLimits(head_s=0.2)) as served:
        for half in (b"GET / HTTP/1.1\r\nHos", b"", b"GET"):
            assert error_code_of(await served.says(half)) == "request_timeout"


async def test_a_head_that_trickles_in_is_cut_off_too(open_door: Open) -> None:
    async with open_door(DoorLimits(head_s=0.3)) as served, await served.connect() as stream:
        with trio.move_on_after(3) as scope:
            for byte in b"GET / HTTP/1.1\r\nX: " + b"y" * 1000:
                try:
                    await stream.send_all(bytes([byte]))
                except trio.BrokenResourceError:
                    break
                await trio.sleep(0.02)
        assert not scope.cancelled_caught


async def test_a_head_in_single_bytes_is_read(open_door: Open) -> None:
    async with open_door() as served, await served.connect() as stream:
        for byte in GET:
            await stream.send_all(bytes([byte]))
            await trio.lowlevel.checkpoint()
        with trio.fail_after(3):
            assert status_of(await read_to_end(stream)) == 200


async def test_a_port_probe_leaves_no_trace(open_door: Open) -> None:
    async with open_door() as served:
        with structlog.testing.capture_logs() as lines:
            for _ in range(10):
                await (await served.connect()).aclose()
            await eventually(lambda: served.door.connections == 0)
        assert [line for line in lines if line["log_level"] != "debug"] == []


# Limits and life


async def test_connections_beyond_the_cap_are_told_so(open_door: Open) -> None:
    async with open_door(DoorLimits(max_connections=2)) as served:
        held = [await served.connect() for _ in range(2)]
        await eventually(lambda: served.door.connections == 2)
        answer = await served.says(GET)
        assert status_of(answer) == 503
        assert b"Retry-After: " in answer
        for stream in held:
            await stream.aclose()
        await eventually(lambda: served.door.connections == 0)
        assert status_of(await served.says(GET)) == 200


async def test_stopping_lets_open_connections_finish() -> None:
    door = Door(on_websocket=echo, app=web)
    listeners = await open_listeners("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(door.serve, listeners)
            websocket = await connect_websocket(f"ws://127.0.0.1:{port}/ws")
            nursery.start_soon(websocket.run)
            door.stop_accepting()
            await trio.sleep(0.05)
            with pytest.raises(OSError, match=f"127.0.0.1:{port}|connect"):
                await trio.open_tcp_stream("127.0.0.1", port)
            websocket.send("still served")
            assert (await websocket.receive()).data == b"still served"
            await websocket.aclose()


async def test_running_out_of_descriptors_is_survived_and_logged_once(
    open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 3
    real = socket.socket.accept

    def accept(self: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    with structlog.testing.capture_logs() as lines:
        async with open_door() as served:
            assert status_of(await served.says(GET)) == 200
    assert [line["error"] for line in lines if line["log_level"] == "error"] == ["EMFILE"]


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        await trio.lowlevel.checkpoint()
        with pytest.raises(CannotListen, match=str(port)):
            await open_listeners("127.0.0.1", port)


async def test_five_hundred_senseless_connections_leave_nothing_behind(
    open_door: Open, open_descriptors: Callable[[], int]
) -> None:
    chance = random.Random(20_251_122)
    seeds: list[bytes] = [
        GET,
        UPGRADE + b"\r\n",
        UPGRADE + b"\r\n" + frame(TEXT, b"hi"),
        b"POST / HTTP/1.1\r\nHost: a\r\n",
    ]

    def senseless() -> bytes:
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(200))
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(6)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        return bytes(data[: chance.randrange(1, len(data) + 1)])

    async with open_door(DoorLimits(head_s=0.5)) as served:
        assert status_of(await served.says(GET)) == 200
        before, tasks = open_descriptors(), trio.lowlevel.current_statistics().tasks_living

        async def visit(data: bytes, how: int) -> None:
            stream = await served.connect()
            try:
                await stream.send_all(data)
                if how == 0:
                    await stream.send_eof()
                    await stream.receive_some()
                elif how == 1:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                else:
                    with trio.move_on_after(0.05):
                        await stream.receive_some()
            except trio.BrokenResourceError:
                pass
            finally:
                await trio.aclose_forcefully(stream)

        with structlog.testing.capture_logs() as lines:
            for _ in range(10):
                async with trio.open_nursery() as nursery:
                    for _ in range(50):
                        nursery.start_soon(visit, senseless(), chance.randrange(3))
            await eventually(lambda: served.door.connections == 0)
            await eventually(lambda: open_descriptors() <= before)
            await eventually(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks)
        assert [line for line in lines if line["log_level"] != "debug"] == []
        assert status_of(await served.says(GET)) == 200


async def test_quart_trio_is_served_and_its_connections_end(open_door: Open) -> None:
    from quart_trio import QuartTrio

    app = QuartTrio("tests.edge")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"status": "ok"}

    async with open_door(app=app) as served:
        answer = await served.says(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status_of(answer) == 200
        assert b'"ok"' in answer
        assert status_of(await served.says(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")) == 404
        await eventually(lambda: served.door.connections == 0)
