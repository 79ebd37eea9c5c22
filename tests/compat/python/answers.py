"""What every answer must be, whatever was asked: one response from its creation to its end, in order and consistent."""

from collections.abc import Sequence

from tests.compat.python.dialects import Dialect, Json
from tests.compat.python.reporting import expect
from tests.compat.python.talk import joined, names, sound_bytes

# Half a second: less is no answer.
SOUND_BYTES_MIN = 24_000


def spoken(events: Sequence[Json], dialect: Dialect) -> str:
    """The words of the one completed answer in sound among ``events``."""
    text = _words(events, dialect, dialect.transcript, dialect.audio_content, "transcript")
    heard = sound_bytes(events, dialect.audio)
    expect(heard >= SOUND_BYTES_MIN, "too little sound", heard)
    expect(heard % 2 == 0, "half a sample", heard)
    expect(f"{dialect.audio}.done" in names(events), "the end of the sound is missing", names(events))
    return text


def written(events: Sequence[Json], dialect: Dialect) -> str:
    """The words of the one completed answer in writing among ``events``."""
    text = _words(events, dialect, dialect.text, dialect.text_content, "text")
    expect(sound_bytes(events, dialect.audio) == 0, "sound in a written answer")
    return text


def end(events: Sequence[Json]) -> Json:
    """The one response that ends among ``events``."""
    done: list[Json] = [event["response"] for event in events if event["type"] == "response.done"]
    expect(len(done) == 1, "not one response.done", names(events))
    return done[0]


def _words(events: Sequence[Json], dialect: Dialect, kind: str, content: str, field: str) -> str:
    response = end(events)
    expect(response["status"] == "completed", "not completed", response)
    begun = [event["response"]["id"] for event in events if event["type"] == "response.created"]
    expect(begun == [response["id"]], "not one response.created, of the response that ends", begun, response["id"])
    own = [event for event in events if (event.get("response_id") or _id(event)) == response["id"]]
    _in_order(own, kind)
    text = joined(own, kind)
    expect(text, "no words", names(own))
    (finished,) = (event for event in own if event["type"] == f"{kind}.done")
    expect(finished[field] == text, "the words at the end are not those of the deltas", finished[field], text)
    (item,) = response["output"]
    expect(item["type"] == "message" and item["role"] == "assistant", "no message", item)
    (part,) = item["content"]
    expect(part["type"] == content, "the wrong type of content", part)
    expect(part[field] == text, "the words of the response are not those of the deltas", part, text)
    expect(response["usage"]["output_tokens"] > 0 and response["usage"]["input_tokens"] > 0, "no usage", response)
    _in_conversation(events, item["id"], dialect)
    return text


def _id(event: Json) -> str | None:
    return event["response"]["id"] if "response" in event else None


def _in_order(own: Sequence[Json], kind: str) -> None:
    types = [event["type"] for event in own]
    wanted = [
        "response.created", "response.output_item.added", "response.content_part.added", f"{kind}.delta",
        f"{kind}.done", "response.content_part.done", "response.output_item.done", "response.done",
    ]  # fmt: skip
    places = [types.index(name) if name in types else -1 for name in wanted]
    expect(-1 not in places and places == sorted(places), "not in order", names(own))
    expect(types[0] == wanted[0] and types[-1] == wanted[-1], "begins or ends wrongly", names(own))


def _in_conversation(events: Sequence[Json], item_id: str, dialect: Dialect) -> None:
    told = [event["type"] for event in events if event.get("item", {}).get("id") == item_id]
    told = [name for name in told if name.startswith("conversation.")]
    expect(told == list(dialect.item_begins), "the item is told wrongly in the conversation", told)


def check_dialect(events: Sequence[Json], dialect: Dialect) -> None:
    """Nothing of the other dialect, and nothing of this server's own."""
    own = dialect.foreign
    strange = {event["type"] for event in events if event["type"].startswith((*own, "avatar.", "extension."))}
    expect(not strange, f"not for a {dialect.name} client", sorted(strange))
    ids = [event["event_id"] for event in events]
    expect(all(ids) and len(set(ids)) == len(ids), "events without an id of their own")


def check_no_calls(events: Sequence[Json]) -> None:
    """No trace of a function call."""
    calls = [event for event in events if "function_call" in str(event.get("item")) or "function_call" in event["type"]]
    expect(not calls, "a server tool shows", calls[:2])
