"""What a client of the openai package does with a server, step by step, on one connection."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from tests.compat.python.answers import check_no_calls, end, spoken, written
from tests.compat.python.dialects import GA, SERVER_VAD, WEATHER, Json
from tests.compat.python.reporting import expect
from tests.compat.python.sound import silence, tone
from tests.compat.python.talk import Talk, names, sound_bytes

Facts = dict[str, Any]
QUESTION, FACT = "Who founded the museum?", "Ottilie Marsh"
LONG_SPEECH = "Say exactly: " + " ".join(f"This is sentence number {number} of a long speech." for number in range(40))
PLAYED_MS = 400


async def configure(talk: Talk) -> Facts:
    """The session takes what the client sets, and shows the client's tool only."""
    session = await talk.update(tools=[WEATHER])
    expect([tool["name"] for tool in session["tools"]] == ["get_weather"], "not the client's tools", session["tools"])
    settings = talk.dialect.settings(session)
    expect(settings.pop("turn_detection") is None, "turn detection is on", session)
    expect(settings == talk.dialect.effective, "the session is not what was set", settings, session)
    return {name: str(value) for name, value in settings.items()}


async def text_turn(talk: Talk) -> Facts:
    """A greeting in writing, answered in writing."""
    events = await talk.ask("Hello!", **talk.dialect.text_only())
    return {"said": written(events, talk.dialect)}


async def museum_question(talk: Talk) -> Facts:
    """A question that the server's own search answers, unseen."""
    events = await talk.ask(QUESTION)
    said = spoken(events, talk.dialect)
    expect(FACT in said, "the fact is not in the answer", said)
    check_no_calls(events)
    return {"said": said, "audio_bytes": sound_bytes(events, talk.dialect.audio)}


async def audio_turn(talk: Talk) -> Facts:
    """Speech, then silence: the server takes the turn."""
    session = await talk.update(tools=[WEATHER], turn_detection=SERVER_VAD)
    shown = talk.dialect.settings(session)["turn_detection"]
    expect(shown["type"] == "server_vad" and shown["silence_duration_ms"] == 300, "not the turn detection set", shown)
    expect(shown["create_response"] is True and shown["interrupt_response"] is True, "not its defaults", shown)
    await talk.speak(silence(300) + tone(800) + silence(900))
    events = await talk.until("response.done")
    item_id = _heard_speech(events, talk)
    said = spoken(events, talk.dialect)
    expect(FACT in said, "not what was asked for", said)
    check_no_calls(events)
    heard = await _transcribed(talk, events, item_id)
    return {"said": said, "heard": heard}


async def _transcribed(talk: Talk, events: list[Json], item_id: str) -> str:
    """The words of an item, whenever they come."""
    kind = "conversation.item.input_audio_transcription.completed"
    found = [event for event in events if event["type"] == kind] or await talk.until(kind)
    expect(found[-1]["item_id"] == item_id, "the words of another item", found[-1])
    expect(found[-1]["transcript"] == QUESTION, "not what was said", found[-1])
    words: str = found[-1]["transcript"]
    return words


def _heard_speech(events: list[Json], talk: Talk) -> str:
    steps = ("speech_started", "speech_stopped", "committed")
    heard = [event for event in events if event["type"].startswith("input_audio_buffer.")]
    expect(names(heard) == [f"input_audio_buffer.{step}" for step in steps], "not a turn", names(events))
    item_id: str = heard[0]["item_id"]
    expect({event["item_id"] for event in heard} == {item_id}, "not of one item", heard)
    expect(0 <= heard[0]["audio_start_ms"] < heard[1]["audio_end_ms"], "not in time", heard)
    told = [event for event in events if event.get("item", {}).get("id") == item_id]
    expect([event["type"] for event in told] == list(talk.dialect.item_begins), "the item is told wrongly", told)
    expect(told[0]["item"]["content"][0]["type"] == "input_audio", "not an item of sound", told[0])
    kinds = [event["type"] for event in events]
    places = [kinds.index(kind) for kind in ("input_audio_buffer.committed", told[0]["type"], "response.created")]
    expect(places == sorted(places), "not in order", names(events))
    return item_id


async def push_to_talk(talk: Talk) -> Facts:
    """Speech while a button is held; what was said before it is thrown away."""
    await talk.update(tools=[WEATHER])
    await talk.speak(tone(300))
    await talk.do(talk.connection.input_audio_buffer.clear)
    await talk.until("input_audio_buffer.cleared")
    await talk.speak(tone(800))
    await talk.do(talk.connection.input_audio_buffer.commit)
    committed = await talk.until(talk.dialect.item_begins[-1])
    wanted = ["input_audio_buffer.committed", *talk.dialect.item_begins]
    # Where transcription and rate limits come is nobody's promise.
    told = [name for name in names(committed) if "transcription" not in name and name != "rate_limits.updated"]
    expect(told == wanted, "no item", told)
    events = await talk.respond()
    expect("input_audio_buffer.speech_started" not in names(events), "speech was detected", names(events))
    said = spoken(events, talk.dialect)
    expect(FACT in said, "not what was asked for", said)
    heard = await _transcribed(talk, committed + events, committed[-1]["item"]["id"])
    return {"said": said, "heard": heard}


async def tool_call(talk: Talk) -> Facts:
    """A function of the client's own is called, answered, and its result spoken."""
    events = await talk.ask("What is the weather in Paris?")
    response = end(events)
    (call,) = response["output"]
    expect(call["type"] == "function_call" and call["name"] == "get_weather", "not the call", response)
    expect(call["arguments"].replace(" ", "") == '{"city":"Paris"}', "not the arguments", call)
    (done,) = (event for event in events if event["type"] == "response.function_call_arguments.done")
    expect(done["arguments"] == call["arguments"] and done["call_id"] == call["call_id"], "not its call", done, call)
    expect(("name" in done) == (talk.dialect is GA), "the name is there in GA only", done)
    typed = "".join(event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta")
    expect(typed == call["arguments"], "the deltas are not the arguments", typed, call)
    (item,) = (event["item"] for event in events if event["type"] == "response.output_item.done")
    expect(item["call_id"] == call["call_id"] and item["arguments"] == call["arguments"], "not its item", item)
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"message":"Sunny, 21 degrees."}'}
    await talk.create(output)
    said = spoken(await talk.respond(), talk.dialect)
    expect("21 degrees" in said, "the result is not spoken", said)
    return {"arguments": call["arguments"], "said": said}


async def cancelled_answer(talk: Talk) -> Facts:
    """An answer is stopped by the client, and the next one is given."""
    await talk.do(talk.connection.response.create, response={"instructions": LONG_SPEECH})
    await talk.until(f"{talk.dialect.audio}.delta")
    await talk.do(talk.connection.response.cancel)
    response = end(await talk.until("response.done"))
    expect(response["status"] == "cancelled", "not cancelled", response)
    expect(response["status_details"]["reason"] == "client_cancelled", "not by the client", response)
    return {"next": spoken(await talk.ask(QUESTION), talk.dialect)}


async def barge_in(talk: Talk) -> Facts:
    """The person speaks into an answer: it ends, the client says what was heard, and the next answer comes."""
    await talk.update(tools=[WEATHER], turn_detection=SERVER_VAD)
    await talk.do(talk.connection.response.create, response={"instructions": LONG_SPEECH})
    for _ in range(4):
        delta = (await talk.until(f"{talk.dialect.audio}.delta"))[-1]
    await talk.speak(tone(700))
    events = await talk.until("response.done")
    expect("input_audio_buffer.speech_started" in names(events), "no speech_started before the end", names(events))
    response = end(events)
    expect(response["status"] == "cancelled", "not cancelled", response)
    expect(response["status_details"]["reason"] == "turn_detected", "not by the person", response)
    expect(response["output"][0]["status"] == "incomplete", "the item is complete", response)
    where = {"item_id": delta["item_id"], "content_index": delta["content_index"], "audio_end_ms": PLAYED_MS}
    await talk.do(talk.connection.conversation.item.truncate, **where)
    truncated = (await talk.until("conversation.item.truncated"))[-1]
    expect({name: truncated[name] for name in where} == where, "not what was said", truncated)
    await talk.speak(silence(900))
    said = spoken(await talk.until("response.done"), talk.dialect)
    await talk.update(tools=[WEATHER])
    return {"said": said, "reason": response["status_details"]["reason"]}


async def items(talk: Talk) -> Facts:
    """An item under the client's own id is told, given out again, and deleted."""
    await talk.write("Remember the number 7.", id="item_of_the_client")
    await _retrieve(talk, "item_of_the_client")
    item = (await talk.until("conversation.item.retrieved"))[-1]["item"]
    expect(item["content"][0]["text"] == "Remember the number 7.", "not the item", item)
    await talk.do(talk.connection.conversation.item.delete, item_id="item_of_the_client")
    deleted = (await talk.until("conversation.item.deleted"))[-1]
    expect(deleted["item_id"] == "item_of_the_client", "not the item", deleted)
    await _retrieve(talk, "item_of_the_client")
    error = (await talk.until("error"))[-1]["error"]
    expect(error["code"] == "item_retrieve_invalid_item_id", "not the service's code", error)
    return {"code": error["code"]}


async def _retrieve(talk: Talk, item_id: str) -> None:
    item = talk.connection.conversation.item
    if hasattr(item, "retrieve"):
        await talk.do(item.retrieve, item_id=item_id)
    else:
        await talk.do(talk.connection.send, event={"type": "conversation.item.retrieve", "item_id": item_id})


async def refused_event(talk: Talk) -> Facts:
    """What the service refuses is an error event that names the client's, and no more."""
    # Silence that was left from a turn would make a commit good.
    await talk.do(talk.connection.input_audio_buffer.clear)
    await talk.until("input_audio_buffer.cleared")
    await talk.do(talk.connection.input_audio_buffer.commit, event_id="mine")
    error = (await talk.until("error"))[-1]["error"]
    expect(error["code"] == "input_audio_buffer_commit_empty", "not the service's code", error)
    expect(error["event_id"] == "mine", "not of the client's event", error)
    return {"code": error["code"], "said": spoken(await talk.ask("Thank you!"), talk.dialect)}


async def out_of_band(talk: Talk) -> Facts:
    """An answer beside the conversation, known by its metadata."""
    metadata = {"topic": "aside"}
    response = end(await talk.respond(conversation="none", metadata=metadata, **talk.dialect.text_only()))
    expect(response["metadata"] == metadata, "not its metadata", response)
    expect(response["conversation_id"] is None, "in the conversation", response)
    return {"status": response["status"]}


Step = Callable[[Talk], Awaitable[Facts]]
STEPS: dict[str, Step] = {
    step.__name__.replace("_", " "): step
    for step in (
        configure, text_turn, museum_question, audio_turn, push_to_talk, tool_call, cancelled_answer, barge_in, items,
        refused_event, out_of_band,
    )
}  # fmt: skip
assert all(inspect.iscoroutinefunction(step) for step in STEPS.values())
