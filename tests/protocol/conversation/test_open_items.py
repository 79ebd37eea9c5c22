"""What was begun before the client's eyes is ended there, each part once, in the service's own order."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.open_items import OpenItems
from protocol.realtime.codec import read_head

Json = dict[str, Any]


def sees(items: OpenItems, event_type: str, **fields: Any) -> str | None:
    """The client sees an event of a response."""
    frame = json.dumps({"type": event_type, "event_id": "e", **fields}).encode()
    return items.saw(frame, read_head(frame))


def place(item_id: str = "item", index: int = 0, response_id: str = "resp") -> Json:
    return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": index}


def begun(*kinds: str) -> OpenItems:
    """A message with parts of these kinds under way."""
    items = OpenItems()
    items.added("resp", 0, {"id": "item", "type": "message", "role": "assistant", "status": "in_progress"})
    items.placed("item", ended=False)
    for index, kind in enumerate(kinds):
        sees(items, "response.content_part.added", **place(index=index), part={"type": kind})
    return items


def types(events: list[Json]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_spoken_part_ends_with_its_sound_its_words_and_itself() -> None:
    items = begun("audio")
    assert sees(items, "response.output_audio_transcript.delta", **place(), delta="We ") == "We "
    assert sees(items, "response.output_audio_transcript.delta", **place(), delta="open") == "open"
    sees(items, "response.output_audio.delta", **place(), delta="AAAA")
    events = items.wind_down("resp")
    assert types(events) == [
        "output_audio.done",
        "output_audio_transcript.done",
        "content_part.done",
        "conversation.item.done",
        "output_item.done",
    ]
    assert all(event[key] == value for event in events[:3] for key, value in place().items())
    assert events[1]["transcript"] == "We open"
    assert events[2]["part"] == {"type": "audio", "transcript": "We open"}
    whole = {
        "id": "item",
        "type": "message",
        "role": "assistant",
        "status": "incomplete",
        "content": [{"type": "output_audio", "transcript": "We open"}],
    }
    assert events[3]["item"] == events[4]["item"] == whole
    assert (events[4]["response_id"], events[4]["output_index"]) == ("resp", 0)


def test_a_written_part_ends_with_its_text() -> None:
    items = begun("text")
    assert sees(items, "response.output_text.delta", **place(), delta="At nine.") == "At nine."
    assert items.of("resp")["item"].is_written
    events = items.wind_down("resp")
    assert types(events)[:2] == ["output_text.done", "content_part.done"]
    assert events[0]["text"] == "At nine."
    assert events[-1]["item"]["content"] == [{"type": "output_text", "text": "At nine."}]


def test_what_has_ended_does_not_end_again() -> None:
    items = begun("audio", "text")
    sees(items, "response.content_part.done", **place(), part={"type": "audio"})
    events = items.wind_down("resp")
    assert types(events) == ["output_text.done", "content_part.done", "conversation.item.done", "output_item.done"]
    assert {event["content_index"] for event in events[:2]} == {1}
    assert [part["type"] for part in events[-1]["item"]["content"]] == ["output_audio", "output_text"]
    assert items.wind_down("resp") == []
    assert items.was_wound_down("item")
    assert not items.was_wound_down("other")
    assert not items.was_wound_down(None)


def test_the_ends_of_a_part_that_came_before_its_own_are_not_repeated() -> None:
    items = begun("audio")
    sees(items, "response.output_audio.done", **place())
    assert types(items.wind_down("resp"))[:2] == ["output_audio_transcript.done", "content_part.done"]
    items = begun("audio")
    sees(items, "response.output_audio.done", **place())
    sees(items, "response.output_audio_transcript.done", **place(), transcript="")
    assert types(items.wind_down("resp"))[0] == "content_part.done"


def test_an_item_whose_end_was_seen_is_not_open() -> None:
    items = begun("audio")
    assert items.response_of("item") == "resp"
    items.done("item")
    items.done("item")
    items.done(None)
    assert items.response_of("item") is None
    assert items.response_of(None) is None
    assert items.wind_down("resp") == []
    assert not items.was_wound_down("item")


def test_items_of_other_responses_go_on() -> None:
    items = begun("audio")
    items.added("other", 3, {"id": "item_2", "type": "message"})
    items.placed("item_2", ended=False)
    assert list(items.of("other")) == ["item_2"]
    (_, end) = items.wind_down("other")
    assert end["output_index"] == 3
    assert items.response_of("item") == "resp"


def test_a_call_of_the_client_ends_as_incomplete_without_contents() -> None:
    items = OpenItems()
    items.added("resp", 1, {"id": "item", "type": "function_call", "name": "wave", "call_id": "c", "arguments": ""})
    items.placed("item", ended=False)
    events = items.wind_down("resp")
    assert types(events) == ["conversation.item.done", "output_item.done"]
    assert events[0]["item"]["status"] == "incomplete"
    assert "content" not in events[0]["item"]


def test_what_does_not_fit_is_passed_over() -> None:
    items = OpenItems()
    items.added("resp", 0, {"type": "message"})
    assert items.of("resp") == {}
    assert sees(items, "response.output_text.delta", **place(), delta="words of nobody known") is not None
    items = begun()
    assert sees(items, "response.content_part.added", **place(), part=1) is None
    assert sees(items, "response.content_part.done", **place(index=7), part={"type": "audio"}) is None
    assert sees(items, "response.output_text.delta", **place(), delta=5) == ""
    assert sees(items, "response.output_text.delta", **place(index=9), delta="lost") == "lost"
    assert types(items.wind_down("resp")) == ["conversation.item.done", "output_item.done"]


def test_only_the_last_that_were_ended_here_are_remembered() -> None:
    items = OpenItems()
    for number in range(40):
        items.added(f"resp_{number}", 0, {"id": f"item_{number}", "type": "message"})
        items.wind_down(f"resp_{number}")
    assert not items.was_wound_down("item_0")
    assert items.was_wound_down("item_39")


def script(kinds: list[str]) -> list[tuple[str, Json]]:
    """All events of a message, as a service sends them."""
    events: list[tuple[str, Json]] = []
    for index, kind in enumerate(kinds):
        where = place(index=index)
        events.append(("response.content_part.added", {**where, "part": {"type": kind}}))
        if kind == "audio":
            events += [("response.output_audio_transcript.delta", {**where, "delta": word}) for word in ("a ", "b")]
            events.append(("response.output_audio.done", where))
            events.append(("response.output_audio_transcript.done", {**where, "transcript": "a b"}))
        else:
            events.append(("response.output_text.delta", {**where, "delta": "a b"}))
            events.append(("response.output_text.done", {**where, "text": "a b"}))
        events.append(("response.content_part.done", {**where, "part": {"type": kind}}))
    return events


@given(st.lists(st.sampled_from(["audio", "text"]), max_size=3), st.integers(0, 20))
def test_wherever_it_breaks_off_what_began_ends_once_and_in_order(kinds: list[str], seen: int) -> None:
    items = begun()
    events = script(kinds)
    for event_type, fields in events[:seen]:
        sees(items, event_type, **fields)
    ended = [(event["type"], event.get("content_index")) for event in items.wind_down("resp")]
    came = [(event_type, fields["content_index"]) for event_type, fields in events[:seen]]
    due = [
        (event_type, fields["content_index"])
        for event_type, fields in events
        if event_type.endswith(".done") and ("response.content_part.added", fields["content_index"]) in came
    ]
    ends = [one for one in came if one[0].endswith(".done")]
    assert ends + ended[:-2] == due
    assert [event_type for event_type, _ in ended[-2:]] == ["conversation.item.done", "response.output_item.done"]


def test_what_was_not_placed_in_the_conversation_does_not_end_there() -> None:
    items = OpenItems()
    items.added("resp", 0, {"id": "item", "type": "message"})
    assert types(items.wind_down("resp")) == ["output_item.done"]


def test_what_has_ended_in_the_conversation_does_not_end_there_again() -> None:
    items = begun()
    items.placed("item", ended=True)
    assert types(items.wind_down("resp")) == ["output_item.done"]
