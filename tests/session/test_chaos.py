"""Whole sessions under random trouble in virtual time: whatever happens, and whenever, the promises hold.

Nothing remains, every session ends once, every answer a client sees begin ends once and says nothing afterwards, and
every tool call is answered at most once.
"""

import contextlib
import os
from collections import Counter

import msgspec
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.conversation.actions import ToolResult
from protocol.endings import EndReason
from server.tools.registry import ToolFailed
from server.transport.errors import HandshakeRefused, WireBroken, WireClosed
from tests.session.house import Caller, House, house, tool
from tests.session.service import Json, Line, converse, sound
from tests.transport.peers import BINARY, TEXT, frame

FULL = bool(os.environ.get("TESTS_FULL"))
PATHS = ("/ws", "/v1/realtime", "/v1/realtime?extensions=avatar", "/v1/realtime?extensions=tools")

# What may happen, and to whom: the number picks one of the callers.
DEEDS = (
    "ask", "ask", "ask", "ask", "say", "cancel", "bare create", "out of band", "truncate", "clear", "bad json",
    "binary", "bad utf8", "update", "stall", "resume", "reset", "leave", "come",
    "service: interrupt", "service: interrupt", "service: reset", "service: close", "service: stall", "service: resume",
    "service: malformed", "service: repeat", "service: error", "service: unasked", "service: stray", "stop",
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.integers(0, 2), st.sampled_from((0.0, 0.0, 0.01, 0.3, 2.0, 15.0))), max_size=25
)


class Tally:
    """Numbers for ids."""

    count = 0

    def next(self) -> int:
        self.count += 1
        return self.count


def answers_in_turn(tally: Tally) -> list[object]:
    """Answers of every kind, for as long as a session may last."""

    async def searches(line: Line, _: Json) -> None:
        number = tally.next()
        line.call(f"resp_{number}", (f"call_{number}", "search_knowledge_base", '{"query":"x"}'))

    async def naps(line: Line, _: Json) -> None:
        number = tally.next()
        calls = [(f"call_{number}_{kind}", kind, "{}") for kind in ("nap", "crash", "refuse", "nothing_known")]
        line.call(f"resp_{number}", *calls)

    async def speaks(line: Line, event: Json) -> None:
        aside = (event.get("response") or {}).get("conversation") == "none"
        number = tally.next()
        await line.speak(f"resp_{number}", "Words.", ms=600, gap_s=0.1, **({"conversation": None} if aside else {}))

    async def breaks_off(line: Line, _: Json) -> None:
        number = tally.next()
        line.begin(f"resp_{number}")
        line.audio(f"resp_{number}", f"item_{number}", 100)

    async def refuses(line: Line, event: Json) -> None:
        detail = {"type": "invalid_request_error", "code": "conversation_already_has_active_response", "message": "No."}
        line.send("error", error={**detail, "event_id": event.get("event_id")})

    return [searches, speaks, naps, speaks, speaks, searches, breaks_off, speaks, refuses, searches, speaks] * 4


async def nap() -> ToolResult:
    await trio.sleep(1)
    return ToolResult("{}")


async def crash() -> ToolResult:
    raise KeyError("of our making")


async def refuse() -> ToolResult:
    raise ToolFailed("Not today.")


VAD = {"type": "server_vad", "interrupt_response": True}
SAID: dict[str, Json] = {
    "say": {"type": "input_audio_buffer.append", "audio": sound(200)},
    "cancel": {"type": "response.cancel"},
    "bare create": {"type": "response.create", "event_id": "mine"},
    "out of band": {"type": "response.create", "response": {"conversation": "none", "metadata": {"topic": "aside"}}},
    "truncate": {
        "type": "conversation.item.truncate",
        "item_id": "item_resp_2",
        "content_index": 0,
        "audio_end_ms": 10,
    },
    "clear": {"type": "input_audio_buffer.clear"},
    "update": {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": VAD}}}},
}
RAW = {"bad json": frame(TEXT, b'{"type":'), "binary": frame(BINARY, b"x"), "bad utf8": frame(TEXT, b"\xff")}


def client_does(deed: str, caller: Caller) -> None:
    if deed in SAID:
        caller.say(msgspec.json.encode(SAID[deed]))
    elif deed in RAW:
        with contextlib.suppress(WireBroken, WireClosed):
            caller.wire.try_send(RAW[deed])
    match deed:
        case "ask":
            caller.ask("What?")
        case "stall":
            caller.wire.stall()
        case "resume":
            caller.wire.resume()
        case "reset":
            caller.wire.reset()
        case "leave":
            caller.leave()


def service_does(deed: str, line: Line) -> None:
    match deed:
        case "interrupt":
            line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        case "reset":
            line.wire.reset()
        case "close":
            line.websocket.close(1011, "trouble")
        case "stall":
            line.wire.stall()
        case "resume":
            line.wire.resume()
        case "malformed":
            line.websocket.send(b'{"type":"response.done","response":[]}')
        case "repeat":
            for response_id in line.begun[:1]:
                line.finish(response_id)
        case "error":
            line.send("error", error={"type": "server_error", "code": "server_error", "message": "Oh."})
        case "unasked":
            line.begin(f"resp_unasked_{len(line.received)}_{id(line)}")
        case "stray":
            line.audio("resp_nobody_knows", "item_stray", 100)


async def play(home: House, steps: list[tuple[str, int, float]]) -> None:
    for number in range(2):
        await home.caller(path=PATHS[number])
    for deed, number, pause_s in steps:
        caller = home.callers[number % len(home.callers)]
        if deed == "come":
            if len(home.callers) < 6:
                with contextlib.suppress(HandshakeRefused):  # there is no room, or not any more
                    await home.caller(path=PATHS[len(home.callers) % len(PATHS)])
        elif deed == "stop":
            home.registry.stop(EndReason.GOING_AWAY, "Stopping.")
        elif deed.startswith("service: "):
            if home.service.lines:
                service_does(deed.removeprefix("service: "), home.service.lines[number % len(home.service.lines)])
        else:
            client_does(deed, caller)
        await trio.sleep(pause_s)
    await trio.sleep(1)
    for line in home.service.lines:
        line.wire.resume()
    for caller in home.callers:
        caller.wire.resume()


def check_answers(caller: Caller) -> None:
    """Each answer begins once, ends once, and says nothing before or afterwards."""
    begun: list[str] = []
    ended: list[str] = []
    for _, event in caller.events:
        if event["type"] == "response.created":
            begun.append(event["response"]["id"])
        elif event["type"] == "response.done":
            ended.append(event["response"]["id"])
        elif event["type"].startswith("response."):
            assert event["response_id"] in begun, event
            assert event["response_id"] not in ended, event
    assert len(set(begun)) == len(begun)
    assert len(set(ended)) == len(ended)
    assert set(ended) <= set(begun)


def check_calls(line: Line) -> None:
    """No call of a tool is answered twice."""
    items = [event["item"] for event in line.of("conversation.item.create")]
    answered = Counter(item["call_id"] for item in items if item["type"] == "function_call_output")
    assert not [call for call, times in answered.items() if times > 1]


@settings(max_examples=2000 if FULL else 150)
@given(STEPS)
def test_promises_hold_in_any_trouble(steps: list[tuple[str, int, float]]) -> None:
    async def main() -> None:
        script = converse(*answers_in_turn(Tally()))  # type: ignore[arg-type]
        tools = [tool("nap", nap), tool("crash", crash), tool("refuse", refuse)]
        async with house(script, tools=tools, max_sessions=4) as home:
            await play(home, steps)
            await home.emptied()
            sessions = sum(entry["event"] == "session started" for entry in home.log)
            assert len(home.endings) == sessions
            assert len(home.endings) == len(
                {entry["session_id"] for entry in home.log if entry["event"] == "session ended"}
            )
            assert "internal" not in home.endings, home.endings
            for caller in home.callers:
                check_answers(caller)
            for line in home.service.lines:
                check_calls(line)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
