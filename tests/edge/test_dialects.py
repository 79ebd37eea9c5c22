"""Beta clients over the whole server: who speaks which dialect, and what each sees; in virtual time."""

from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from protocol.conversation.limits import Limits
from tests.session.house import Caller, house
from tests.session.service import Json, Line, converse, sound

BETA_HEADER = {"OpenAI-Beta": "realtime=v1"}
BETA: list[dict[str, Any]] = [
    {"path": "/v1/realtime?model=gpt-realtime", "headers": BETA_HEADER},
    {"path": "/v1/realtime", "headers": {"OpenAI-Beta": "assistants=v2, realtime=v1"}},
    {"path": "/openai/v1/realtime", "subprotocols": ("realtime", "openai-beta.realtime-v1")},
    {"path": "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-4o-realtime-preview"},
    {"path": "/openai/realtime?model=gpt-realtime"},
    {"path": "/realtime"},
    {"init": {"type": "session.init", "dialect": "beta"}},
]
GA: list[dict[str, Any]] = [
    {"path": "/v1/realtime?model=gpt-realtime&api-version=2025-04-01-preview&novel=1"},
    {"path": "/openai/v1/realtime?deployment=x", "headers": {"OpenAI-Beta": "assistants=v2", "X-Novel": "1"}},
    {"init": {"type": "session.init", "dialect": "ga"}},
    {"init": {"type": "session.init", "dialect": None}},
]
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
GA_NAMES = ("response.output_text", "response.output_audio", "conversation.item.added", "conversation.item.done")
BETA_NAMES = ("response.text", "response.audio", "conversation.item.created", "conversation.created")


async def answers(line: Line, _: Json) -> None:
    await line.speak(f"resp_{len(line.received)}", "Hello.", ms=300)


async def searches(line: Line, _: Json) -> None:
    line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"opening hours"}'))


async def answers_what_was_found(line: Line, _: Json) -> None:
    item = {"id": "item_said", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    line.begin("resp_2")
    line.send("response.output_item.added", response_id="resp_2", output_index=0, item=item)
    line.send(
        "conversation.item.added", previous_item_id=line.of("conversation.item.create")[-1]["item"]["id"], item=item
    )
    said = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": "It opens at 10 am."}]}
    line.send("response.output_item.done", response_id="resp_2", output_index=0, item=said)
    line.finish("resp_2", said)


def foreign(caller: Caller, *names: str) -> list[str]:
    return [kind for kind in caller.types() if kind.startswith(names)]


@pytest.mark.parametrize("how", BETA, ids=str)
async def test_a_turn_of_a_beta_client(autojump_clock: trio.testing.MockClock, how: Json) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(**how)
        session = caller.of("session.created")[0]["session"]
        assert "type" not in session
        assert "audio" not in session
        assert session["turn_detection"]["type"] == "server_vad"
        await caller.until("conversation.created")
        caller.send("session.update", session={"voice": "sage", "modalities": ["text", "audio"], "temperature": 0.7})
        assert (await caller.until("session.updated"))["session"]["voice"] == "sage"
        update = home.line.of("session.update")[-1]["session"]
        assert update == {"type": "realtime", "audio": {"output": {"voice": "sage"}}} | (
            {} if "init" in how else {"output_modalities": ["audio"]}
        ), "over /ws without a key only some fields may be set, whatever the dialect"
        caller.ask("Hello?")
        created = await caller.until("conversation.item.created")
        assert created["item"]["object"] == "realtime.item"
        delta = await caller.until("response.audio.delta")
        assert delta["delta"] == sound(100)
        done = await caller.until("response.done")
        assert done["response"]["output"][0]["content"] == [{"type": "audio", "transcript": "Hello."}]
        assert foreign(caller, *GA_NAMES) == []
        assert len(caller.of("response.audio.delta")) == 3


@pytest.mark.parametrize("how", GA, ids=str)
async def test_a_turn_of_a_ga_client(autojump_clock: trio.testing.MockClock, how: Json) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(**how)
        assert caller.of("session.created")[0]["session"]["type"] == "realtime"
        caller.ask("Hello?")
        await caller.until("response.done")
        assert foreign(caller, *BETA_NAMES) == []
        assert len(caller.of("response.output_audio.delta")) == 3


@pytest.mark.parametrize("path", ["/openai/realtime?api-version=2024-10-01-preview&deployment=x", "/realtime"])
async def test_ga_on_a_path_of_the_beta_is_noticed_once(autojump_clock: trio.testing.MockClock, path: str) -> None:
    async with house(converse(answers, answers)) as home:
        caller = await home.opened(path=path)
        assert "type" not in caller.of("session.created")[0]["session"]
        caller.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "sage"}}})
        session = (await caller.until("session.updated"))["session"]
        assert session["type"] == "realtime"
        assert session["audio"]["output"]["voice"] == "sage"
        caller.ask("Hello?")
        await caller.until("response.done")
        assert foreign(caller, *BETA_NAMES) == ["conversation.created"], "which followed the greeting"
        assert caller.of("conversation.item.added")


async def test_an_explicit_beta_client_is_not_taken_for_ga(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/openai/realtime", headers=BETA_HEADER)
        caller.send("session.update", event_id="mine", session={"type": "realtime", "voice": "sage"})
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["param"], error["event_id"]) == ("unknown_parameter", "session.type", "mine")
        caller.ask("Hello?")
        await caller.until("response.done")
        assert len(home.line.of("session.update")) == 1, "nothing of it was done"
        assert caller.of("response.audio.delta")


async def test_every_refused_frame_has_its_answer_and_the_session_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/realtime")
        for number in range(50):
            caller.send("session.update", event_id=f"mine_{number}", session={"foo": 1})
        caller.say(b'{"type":"session.update","session":' + b"[" * 5000)
        caller.send("response.create", response={"modalities": ["audio"]})
        caller.ask("Hello?")
        await caller.until("response.done")
        errors = caller.of("error")
        assert [error["error"]["event_id"] for error in errors[:50]] == [f"mine_{number}" for number in range(50)]
        assert len({error["event_id"] for error in errors}) == 52
        assert sorted(error["error"]["code"] for error in errors[50:]) == ["invalid_json", "invalid_value"]


async def test_the_services_error_names_the_beta_path(autojump_clock: trio.testing.MockClock) -> None:
    async def refuses(line: Line) -> None:
        line.greet()
        line.confirm(await line.until("session.update"))
        update = await line.until("session.update")
        path = "session.audio.input.turn_detection.foo"
        error = {"type": "invalid_request_error", "code": "unknown_parameter", "param": path}
        line.send("error", error={**error, "message": f"Unknown parameter: '{path}'.", "event_id": update["event_id"]})
        await trio.sleep_forever()

    async with house(refuses) as home:
        caller = await home.opened(path="/realtime")
        caller.send("session.update", event_id="mine", session={"turn_detection": {"type": "server_vad", "foo": 1}})
        error = (await caller.until("error"))["error"]
        assert error["param"] == "session.turn_detection.foo"
        assert error["message"] == "Unknown parameter: 'session.turn_detection.foo'."
        assert error["event_id"] == "mine"


async def test_a_tool_of_a_beta_client(autojump_clock: trio.testing.MockClock) -> None:
    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "get_weather", '{"city":"Paris"}'))

    async with house(converse(calls, answers)) as home:
        caller = await home.opened(path="/realtime")
        caller.send("session.update", session={"tools": [TOOL], "tool_choice": "auto"})
        assert (await caller.until("session.updated"))["session"]["tools"] == [TOOL], "ours are not shown"
        names = [tool["name"] for tool in home.line.session["tools"]]
        assert names == ["search_knowledge_base", "get_weather"]
        caller.ask("How is the weather?")
        item = (await caller.until("response.output_item.done"))["item"]
        assert (item["object"], item["name"], item["call_id"]) == ("realtime.item", "get_weather", "call_1")
        await caller.until("response.done")
        output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
        caller.send("conversation.item.create", item=output)
        caller.send("response.create")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        created = [event["item"]["type"] for event in caller.of("conversation.item.created")]
        assert created == ["message", "function_call", "function_call_output"]


async def test_an_interrupted_answers_unsent_sound_is_taken_back(autojump_clock: trio.testing.MockClock) -> None:
    async def talks(line: Line, _: Json) -> None:
        line.begin("resp_1")
        for _number in range(100):
            line.audio("resp_1", "item_1", 100)
        line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_2")
        line.finish("resp_1", status="cancelled")

    async with house(converse(talks)) as home:
        caller = await home.opened(path="/realtime", capacity_bytes=16 * 1024)
        caller.ask("Tell me all.")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert len(caller.of("response.audio.delta")) < 100
        assert caller.types().index("input_audio_buffer.speech_started") < caller.types().index("response.done")


@pytest.mark.parametrize("path", ["/realtime", "/v1/realtime?extensions=voicerag", "/ws?extensions=voicerag"])
async def test_voicerags_page_gets_the_sources(autojump_clock: trio.testing.MockClock, path: str) -> None:
    async with house(converse(searches, answers_what_was_found)) as home:
        caller = await home.opened({"kb_id": "museum"} if path.startswith("/ws") else None, path=path)
        if path == "/realtime":
            caller.send("session.update", session={"turn_detection": {"type": "server_vad"}})
            await caller.until("session.updated")
        caller.ask("When does it open?")
        told = await caller.until("extension.middle_tier_tool_response")
        await caller.until("response.done")
        asked_in = next(
            event["item"]["id"]
            for event in caller.of("conversation.item.created" if path == "/realtime" else "conversation.item.added")
        )
        assert told["previous_item_id"] == asked_in
        assert told["tool_name"] == "search_knowledge_base"
        assert msgspec.json.decode(told["tool_result"]) == {
            "sources": [{"chunk_id": "museum/doc.md#1", "title": "Doc", "chunk": "It opens at 10 am."}]
        }
        assert len(caller.of("response.created")) == 1
        assert len(caller.of("extension.middle_tier_tool_response")) == 1
        assert [kind for kind in caller.types() if "function_call" in kind] == []


@pytest.mark.parametrize("path", ["/v1/realtime", "/openai/realtime", "/ws", "/v1/realtime?extensions=avatar"])
async def test_nobody_else_gets_them(autojump_clock: trio.testing.MockClock, path: str) -> None:
    async with house(converse(searches, answers_what_was_found)) as home:
        caller = await home.opened(path=path)
        caller.ask("When does it open?")
        await caller.until("response.done")
        assert foreign(caller, "extension.") == []
        assert bool(caller.of("avatar.citations")) == ("avatar" in path or path == "/ws")


async def test_a_beta_avatar_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers, answers), limits=Limits(resume_s=60)) as home:
        first = await home.opened({"dialect": "beta"})
        hello = first.of("avatar.session")[0]
        first.ask("Hello?")
        await first.until("response.created")
        last = first.of("response.created")[0]["event_id"]
        first.wire.close()
        await first.closed()
        resume = {"session_id": hello["session_id"], "token": hello["resume_token"], "last_event_id": last}
        second = await home.caller({"dialect": "beta", "resume": resume})
        assert (await second.until("avatar.session"))["recovered"] is True
        await second.until("response.done")
        assert foreign(second, *GA_NAMES) == []
        assert second.of("response.audio.delta")
        await trio.sleep(5)
        second.wire.close()
        await second.closed()
        token = second.of("avatar.session")[0]["resume_token"]
        third = await home.caller({"dialect": "beta", "resume": {**resume, "token": token, "last_event_id": "gone"}})
        snapshot = (await third.until("avatar.session"))["snapshot"]
        assert "audio" not in snapshot["session"]
        assert snapshot["items"][-1]["content"][0]["type"] == "audio"
