"""Who is let in, by which endpoint, and what the others are told; over in-memory wires and in virtual time."""

import base64
import contextlib
import math
import os
import tracemalloc
from typing import Any

import pytest
import trio
import trio.testing

from protocol.endings import EndReason
from server.edge.head import read_head
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.transport.client import handshake
from server.transport.errors import ConnectFailed, HandshakeRefused, UpgradeInvalid, WireBroken, WireClosed
from server.transport.framing import text_frame
from server.transport.memory import memory_wire_pair
from server.transport.websocket import WebSocketOptions
from tests.session.house import BOUNDS, Caller, House, house
from tests.session.service import Json, Line, converse
from tests.transport.peers import BINARY, PING, TEXT, frame

KEY = "a-key-of-enough-characters"
Headers = dict[str, str]


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.", ms=100)


async def turned_away(caller: Caller) -> tuple[str, int | None]:
    """The code of the one error, and the close code behind it."""
    error = await caller.until("error")
    code = await caller.closed()
    assert caller.types() == ["error"], "before a client is let in nothing of a session happens"
    return error["error"]["code"], code


async def refused_with(home: House, **kwargs: Any) -> int:
    """The HTTP status of a refused handshake."""
    with pytest.raises(HandshakeRefused) as refusal:
        await home.caller(**kwargs)
    assert b'"error"' in refusal.value.body_prefix
    assert KEY.encode() not in refusal.value.body_prefix
    return refusal.value.status


# With a key


@pytest.mark.parametrize(
    "path",
    [
        "/v1/realtime",
        "/openai/v1/realtime",
        "/v1/realtime?model=gpt-realtime",
        "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-realtime",
        "/realtime",
    ],
)
@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ({"Authorization": f"Bearer {KEY}"}, ()),
        ({"api-key": KEY}, ()),
        ({}, ("realtime", f"openai-insecure-api-key.{KEY}")),
    ],
    ids=["bearer", "api-key", "subprotocol"],
)
async def test_the_right_key_opens_the_drop_in_endpoints(
    autojump_clock: trio.testing.MockClock, path: str, headers: Headers, subprotocols: tuple[str, ...]
) -> None:
    async with house(converse(answers), key=KEY) as home:
        caller = await home.opened(path=path, headers=headers, subprotocols=subprotocols)
        assert caller.websocket.subprotocol == ("realtime" if subprotocols else None)
        caller.ask("Hello?")
        await caller.until("response.done")
        assert not [kind for kind in caller.types() if kind.startswith("avatar")]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"api-key": KEY + "x"}, {"api-key": ""}])
async def test_no_key_or_a_wrong_one_is_401(autojump_clock: trio.testing.MockClock, headers: Headers) -> None:
    async with house(converse(), key=KEY) as home:
        assert await refused_with(home, path="/v1/realtime", headers=headers) == 401
        assert home.service.attempts == []


async def test_a_key_in_the_url_is_none(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), key=KEY) as home:
        for name in ("api-key", "api_key", "token", "key"):
            assert await refused_with(home, path=f"/v1/realtime?{name}={KEY}") == 401
            assert await refused_with(home, path=f"/openai/realtime?{name}={KEY}") == 401


async def test_a_page_with_a_wrong_key_is_told_in_the_services_manner(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), key=KEY) as home:
        caller = await home.caller(path="/v1/realtime", subprotocols=("realtime", "openai-insecure-api-key.wrong"))
        assert await turned_away(caller) == ("invalid_api_key", 3000)
        assert caller.of("error")[0]["error"]["type"] == "authentication_error"
        assert home.service.attempts == []


async def test_a_page_that_was_told_to_go_is_held_for_a_moment_and_nothing_it_says_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(), key=KEY) as home:
        near, far = memory_wire_pair(capacity_bytes=64 * 1024)
        left_after_s = math.inf

        async def serve() -> None:
            nonlocal left_after_s
            head = await read_head(near)
            assert head is not None
            request = UpgradeRequest(head, near.peer)
            began = trio.current_time()
            await home.admission.on_websocket(request, Upgrade(request, near, head.rest))
            left_after_s = trio.current_time() - began
            near.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            protocols = ("realtime", "openai-insecure-api-key.wrong")
            options = WebSocketOptions(ping_interval_s=1e9, close_timeout_s=1e9)
            websocket = await handshake(far, "ws://localhost/v1/realtime", subprotocols=protocols, options=options)
            # The rest of its 20 MiB never comes, and it does not answer the close either.
            big = text_frame(b"x" * (20 * 1024 * 1024), masked=True)
            tracemalloc.start()
            sent = 0
            with contextlib.suppress(WireBroken):
                while sent < len(big) - 1:
                    sent += far.try_send(big[sent : sent + 16 * 1024])
                    await trio.sleep(0.001)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            far.close()
            websocket.abort()
        assert left_after_s <= 1.5
        assert most < 1024 * 1024


@pytest.mark.parametrize(
    ("init", "headers"),
    [
        ({"type": "session.init", "token": KEY}, {}),
        ({"token": KEY, "kb_id": "museum"}, {}),
        ({"api_key": KEY}, {}),
        ({"type": "session.init"}, {"Authorization": f"Bearer {KEY}"}),
        ({"kb_id": "zoo"}, {"api-key": KEY}),
    ],
)
async def test_the_right_key_opens_the_avatar_endpoint(
    autojump_clock: trio.testing.MockClock, init: Json, headers: Headers
) -> None:
    async with house(converse(answers), key=KEY) as home:
        caller = await home.opened(init, headers=headers)
        assert caller.types()[0] == "avatar.session"
        assert caller.of("avatar.session")[0]["kb_id"] == init.get("kb_id", "museum")


@pytest.mark.parametrize(
    ("init", "code"),
    [
        ({"type": "session.init"}, "missing_api_key"),
        ({"token": ""}, "missing_api_key"),
        ({"token": None}, "missing_api_key"),
        ({"token": "wrong"}, "invalid_api_key"),
        ({"api_key": KEY + "x"}, "invalid_api_key"),
        ({"token": "wrong", "kb_id": "nowhere"}, "invalid_api_key"),
    ],
)
async def test_a_first_frame_without_the_key_is_4401(
    autojump_clock: trio.testing.MockClock, init: Json, code: str
) -> None:
    async with house(converse(), key=KEY) as home:
        assert await turned_away(await home.caller(init)) == (code, 4401)
        assert home.service.attempts == []


async def test_a_wrong_key_in_the_frame_is_not_healed_by_a_right_one_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(), key=KEY) as home:
        caller = await home.caller({"token": "wrong"}, headers={"api-key": KEY})
        assert await turned_away(caller) == ("invalid_api_key", 4401)


async def test_a_wrong_key_in_the_handshake_of_the_avatar_endpoint(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), key=KEY) as home:
        assert await refused_with(home, headers={"api-key": "wrong"}) == 401


async def test_nothing_is_done_before_the_key_was_seen(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), key=KEY) as home:
        caller = await home.caller({})
        caller.ask("Let me in!")
        assert await turned_away(caller) == ("invalid_value", 4000)
        assert home.service.attempts == []


# Without a key


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/ws", "/v1/realtime", "/realtime"])
async def test_without_a_key_only_this_machine_may_come(
    autojump_clock: trio.testing.MockClock, path: str, headers: Headers
) -> None:
    async with house(converse()) as home:
        assert await refused_with(home, path=path, headers=headers) == 403
        assert home.service.attempts == []


async def test_without_a_key_a_page_of_this_machine_may_come(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse()) as home:
        await home.opened(headers={"Origin": "http://localhost:3000"})


async def test_with_a_key_a_proxy_is_no_obstacle(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), key=KEY) as home:
        await home.opened({"token": KEY}, headers={"X-Forwarded-For": "10.0.0.1", "Origin": "https://shop.example"})


# The first frame


@pytest.mark.parametrize(
    ("first", "code", "close"),
    [
        (b"{", "invalid_json", 4000),
        (b"", "invalid_json", 4000),
        (b'"session.init"', "invalid_type", 4000),
        (b"[]", "invalid_type", 4000),
        (b'{"type":"response.create"}', "invalid_value", 4000),
        (b'{"kb_id":7}', "invalid_type", 4000),
        (b'{"token":["x"]}', "invalid_type", 4000),
        (b'{"dialect":"gamma"}', "unsupported_dialect", 4000),
        (b'{"kb_id":"nowhere"}', "unknown_knowledge_base", 4404),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "invalid_json", 4000),
    ],
)
async def test_a_wrong_first_frame(autojump_clock: trio.testing.MockClock, first: bytes, code: str, close: int) -> None:
    async with house(converse()) as home:
        caller = await home.caller({})
        caller.say(first)
        assert await turned_away(caller) == (code, close)
        assert home.service.attempts == []


async def test_a_binary_first_frame(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse()) as home:
        caller = await home.caller({})
        caller.wire.try_send(frame(BINARY, b"{}"))
        assert await turned_away(caller) == ("invalid_event", 1003)


async def test_no_first_frame(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse()) as home:
        caller = await home.caller({})
        began = trio.current_time()
        assert await turned_away(caller) == ("init_timeout", 4408)
        assert trio.current_time() - began == pytest.approx(BOUNDS.init_timeout_s, abs=0.1)


async def test_pings_are_no_first_frame(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse()) as home:
        caller = await home.caller({})
        began = trio.current_time()
        with trio.move_on_after(60):
            while caller.lost is None:
                caller.wire.try_send(frame(9, b"still here"))
                await trio.sleep(1)
        assert trio.current_time() - began < BOUNDS.init_timeout_s + 2
        assert caller.lost is not None
        assert caller.lost.code == 4408


@pytest.mark.parametrize(("size", "fits"), [(64 * 1024, True), (64 * 1024 + 1, False)])
async def test_the_first_frame_is_at_most_64_kib(autojump_clock: trio.testing.MockClock, size: int, fits: bool) -> None:
    async with house(converse()) as home:
        caller = await home.caller({})
        init = b'{"kb_id":"museum","pad":"%s"}'
        caller.say(init % (b"x" * (size - len(init) + 2)))
        if fits:
            await caller.until("session.created")
        else:
            assert await caller.closed() == 1009
            assert home.service.attempts == []


async def test_a_second_init_is_an_error_and_no_more(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        caller.send("session.init", kb_id="zoo", token="x")
        assert (await caller.until("error"))["error"]["code"] == "already_initialised"
        caller.ask("Hello?")
        await caller.until("response.done")
        assert len(caller.of("avatar.session")) == 1


async def test_a_session_that_cannot_be_resumed_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse()) as home:
        resume = {"session_id": "sess_la_1", "token": "x", "last_event_id": "event_1"}
        caller = await home.caller({"kb_id": "museum", "resume": resume})
        assert (await caller.until("error"))["error"]["code"] == "resume_refused"
        assert await caller.closed() == 4410


# Paths and what they say


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/realtime/", "/ws/", "/WS", "/openai/deployments", "/v2/realtime", "/realtime/"]
)
async def test_an_unknown_path_is_404(autojump_clock: trio.testing.MockClock, path: str) -> None:
    async with house(converse()) as home:
        assert await refused_with(home, path=path) == 404
        assert refusals(home) == {"unknown_path": 1}


def refusals(home: House) -> dict[str, int]:
    return home.admission._allowances.refusals.counts


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("protocol_error", frame(3, b"x")),
        ("bad_utf8", frame(TEXT, b"\xff\xfe")),
        ("too_big", b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4)),
        ("frame_rate_limit", frame(PING, b"") * 1000),
    ],
)
async def test_what_the_transport_ends_a_connection_for_is_counted(
    autojump_clock: trio.testing.MockClock, path: str, code: str, data: bytes
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path=path)
        await _say_bytes(caller, data)
        await caller.closed()
        if path == "/ws":
            stranger = await home.caller({})
            await _say_bytes(stranger, data)
            await stranger.closed()
        assert refusals(home) == {code: len(home.callers)}


async def _say_bytes(caller: Caller, data: bytes) -> None:
    for start in range(0, len(data), 1000):
        with contextlib.suppress(WireBroken, WireClosed):
            caller.wire.try_send(data[start : start + 1000])
        await trio.testing.wait_all_tasks_blocked()


async def test_a_session_that_ends_in_order_is_no_refusal(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        for path in ("/ws", "/v1/realtime"):
            caller = await home.opened(path=path)
            caller.leave()
        left = await home.opened()
        home.registry.stop(EndReason.GOING_AWAY, EndReason.GOING_AWAY.text)
        await left.closed()
        assert refusals(home) == {}


async def test_who_is_refused_for_want_of_room_costs_the_service_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(answers), max_sessions=1) as home:
        await home.opened()
        for _ in range(3):
            assert await refused_with(home, path="/v1/realtime") == 503
        assert len(home.service.attempts) == 1
        home.registry.stop(EndReason.GOING_AWAY, EndReason.GOING_AWAY.text)
        assert await refused_with(home, path="/v1/realtime") == 503


async def test_a_handshake_that_fails_gives_its_room_back(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), max_sessions=1) as home:
        for _ in range(3):
            near, far = memory_wire_pair()
            home.world.start_soon(home._serve, near)
            far.try_send(b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n")
            far.try_send(b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n")
            await trio.sleep(1)
        assert len(home.registry) == 0
        assert home.service.attempts == []
        assert all(isinstance(failure, UpgradeInvalid) for failure in home.failures)
        home.failures.clear()
        await home.opened(path="/v1/realtime")


@pytest.mark.parametrize(
    ("path", "headers", "subprotocols", "code"),
    [
        ("/realtime?extensions=avatars", {}, (), "unknown_extension"),
        ("/v1/realtime?extensions=avatars", {}, (), "unknown_extension"),
        ("/ws?extensions=avatars", {}, (), "unknown_extension"),
    ],
)
async def test_what_is_not_served_is_named(
    autojump_clock: trio.testing.MockClock,
    path: str,
    headers: Headers,
    subprotocols: tuple[str, ...],
    code: str,
) -> None:
    async with house(converse()) as home:
        caller = await home.caller(path=path, headers=headers, subprotocols=subprotocols)
        assert await turned_away(caller) == (code, 4000)


async def test_the_avatar_events_may_be_had_on_the_drop_in_endpoint(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime?extensions=avatar&kb_id=zoo")
        assert caller.of("avatar.session")[0]["kb_id"] == "zoo"


async def test_server_tools_may_be_shown(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime?extensions=tools")
        tools = caller.of("session.created")[0]["session"]["tools"]
        assert [tool["name"] for tool in tools] == ["search_knowledge_base"]


@pytest.mark.parametrize(
    ("path", "key", "applied"),
    [("/ws", None, False), ("/v1/realtime", None, True), ("/ws", KEY, True), ("/v1/realtime", KEY, True)],
)
async def test_open_local_access_may_not_change_the_persona(
    autojump_clock: trio.testing.MockClock, path: str, key: str | None, applied: bool
) -> None:
    async with house(converse(answers), key=key) as home:
        headers = {"api-key": key} if key else None
        caller = await home.opened(path=path, headers=headers)
        session = {"type": "realtime", "instructions": "Be rude.", "audio": {"output": {"voice": "verse"}}}
        caller.send("session.update", session=session)
        shown = (await caller.until("session.updated"))["session"]
        assert shown["instructions"] == ("Be rude." if applied else "Be kind.")
        assert shown["audio"]["output"]["voice"] == "verse"


async def test_a_fault_of_ours_while_furnishing_is_1011(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        home.excused.add("'of our making'")

        def breaks(_: str) -> None:
            raise KeyError("of our making")

        home.registry._furnish = breaks  # type: ignore[assignment]
        assert await turned_away(await home.caller()) == ("internal", 1011)
        with pytest.raises(ConnectFailed):  # unanswered: the door says 500
            await home.caller(path="/v1/realtime")
        await trio.sleep(1)
        assert len(home.failures) == 2, "the door gets to log it"


async def test_rubbish_never_opens_a_session(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), key=KEY) as home:
        for size in (1, 10, 100, 1000, 10_000):
            for _ in range(10):
                caller = await home.caller({})
                caller.say(base64.b85encode(os.urandom(size)))
                await caller.closed()
        assert home.service.attempts == []
        assert home.endings == []
