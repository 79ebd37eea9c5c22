"""Another connection is told the conversation as it stands, and nobody's words are more than was heard of them."""

import base64
import copy
import json
from collections.abc import Container
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation import history as module
from protocol.conversation.history import History
from protocol.realtime.items import Item

Json = dict[str, Any]
WORDS = "We open at nine in the morning and close at six."


def item(item_id: str, role: str = "user", text: str = "", **fields: Any) -> Item:
    kind = {"user": "input_text", "system": "input_text", "assistant": "output_audio"}[role]
    words = "transcript" if role == "assistant" else "text"
    content = [{"type": kind, words: text}] if text else []
    raw = {"id": item_id, "type": "message", "role": role, "status": "completed", "content": content, **fields}
    return msgspec.convert(raw, Item)


def call(item_id: str, call_id: str, arguments: str = "{}", **fields: Any) -> Item:
    raw = {"id": item_id, "type": "function_call", "call_id": call_id, "name": "look", "arguments": arguments}
    return msgspec.convert({**raw, **fields}, Item)


def result(item_id: str, call_id: str, output: str = "found") -> Item:
    return msgspec.convert({"id": item_id, "type": "function_call_output", "call_id": call_id, "output": output}, Item)


def append(sound: bytes) -> bytes:
    """A frame of the person's speech."""
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()}).encode()


def talk(*items: Item) -> History:
    history = History()
    for one in items:
        history.placed(one, None)
    return history


def ids(history: History) -> list[str]:
    return [entry.id for entry in history]


class Model:
    """The service's list of items: what it is told, it does, by its own rules."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.items: dict[str, Json] = {}
        self.known: dict[str, int] = {}

    def told(self, history: History, avoid: Container[str] = ()) -> list[Json]:
        events = history.sync(self.known, avoid)
        for event in events:
            self.take(event)
        return events

    def take(self, event: Json) -> None:
        if event["type"] == "conversation.item.delete":
            assert event["item_id"] in self.items, "there is no such item to delete"
            self.order.remove(event["item_id"])
            del self.items[event["item_id"]]
            return
        assert event["type"] == "conversation.item.create"
        created = event["item"]
        assert created["id"] not in self.items, "a duplicate id"
        previous = event.get("previous_item_id")
        assert previous in (None, "root") or previous in self.items, "there is no such item to stand behind"
        place = len(self.order) if previous is None else 0 if previous == "root" else self.order.index(previous) + 1
        self.order.insert(place, created["id"])
        self.items[created["id"]] = created

    def contents(self) -> list[Json]:
        return [self.items[item_id] for item_id in self.order]


def whole(history: History, avoid: Container[str] = ()) -> list[Json]:
    """What a connection should hold."""
    return [history.creation(entry) for entry in history if entry.complete and entry.id not in avoid]


# Where items stand


def test_items_stand_in_the_services_order() -> None:
    history = talk(item("a"), item("b"))
    history.placed(item("c"), "a")
    history.placed(item("first"), None, first=True)
    history.placed(item("behind nobody known"), "gone")
    history.placed(item("a", text="again"), "b")
    assert ids(history) == ["first", "a", "c", "b", "behind nobody known"]
    assert "c" in history
    assert "d" not in history


def test_kinds_that_cannot_be_created_and_items_without_a_name_are_left_out() -> None:
    history = talk(msgspec.convert({"id": "m", "type": "mcp_list_tools"}, Item), item(""))
    history.finished(msgspec.convert({"type": "message"}, Item))
    assert ids(history) == []


def test_what_is_finished_and_was_never_placed_stands_last() -> None:
    history = talk(item("a"))
    history.finished(item("b", "assistant", WORDS))
    assert ids(history) == ["a", "b"]


def test_a_call_that_was_cut_short_cannot_be_answered_and_goes() -> None:
    history = talk(call("a", "call_1", status="in_progress"))
    history.finished(call("a", "call_1", status="incomplete"))
    assert ids(history) == []


def test_what_was_begun_and_not_finished_does_not_come_any_more() -> None:
    history = talk(item("a"), item("b", "assistant", status="in_progress"), item("c"))
    history.forget_unfinished()
    assert ids(history) == ["a", "c"]
    history.deleted("nobody")


# What items hold


def test_an_item_is_made_again_as_it_can_be_created() -> None:
    history = talk(
        item("a", "user", "When?"), call("b", "call_1", '{"q":1}'), result("c", "call_1"), item("d", "assistant", WORDS)
    )
    assert whole(history) == [
        {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "When?"}]},
        {"id": "b", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"q":1}'},
        {"id": "c", "type": "function_call_output", "call_id": "call_1", "output": "found"},
        {"id": "d", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": WORDS}]},
    ]


def test_an_output_that_is_no_text_is_empty() -> None:
    (created,) = whole(talk(msgspec.convert({"id": "c", "type": "function_call_output", "call_id": "1"}, Item)))
    assert created["output"] == ""


def test_arguments_that_come_later_are_kept() -> None:
    history = talk(call("a", "call_1", "", status="in_progress"))
    history.finished(call("a", "call_1", '{"q":1}'))
    assert whole(history)[0]["arguments"] == '{"q":1}'


def test_an_answers_words_grow_until_it_is_finished() -> None:
    history = talk(item("a", "assistant", status="in_progress"))
    history.grew("a", "We ")
    history.grew("a", "open")
    history.grew("nobody", "!")
    entry = history.get("a")
    assert entry is not None
    assert entry.text == "We open"
    history.finished(item("a", "assistant", WORDS))
    history.grew("a", "more")
    assert entry.text == WORDS


def test_sound_and_pictures_that_a_client_gave_are_kept() -> None:
    history = History()
    picture = {"type": "input_image", "image_url": "data:x"}
    sound = {"type": "input_audio", "audio": "AAAA"}
    history.given({"content": [{"type": "input_text", "text": "Look:"}, picture, sound]}, "a")
    history.given({"content": None}, "b")
    history.placed(item("a", "user", "Look:"), None)
    history.placed(item("b"), None)
    assert whole(history)[0]["content"] == [{"type": "input_text", "text": "Look:"}, picture, sound]
    history.transcribed("a", "Look: what is this?")
    assert whole(history)[0]["content"] == [{"type": "input_text", "text": "Look: what is this?"}, picture]


def test_speech_is_given_as_sound_until_its_words_are_known() -> None:
    history = History()
    history.spoken("a", [append(b"12"), b"no frame", b'{"audio":"=!"}', append(b"3456")])
    history.placed(item("a", content=[{"type": "input_audio", "transcript": None}]), None)
    assert whole(history)[0]["content"] == [{"type": "input_audio", "audio": base64.b64encode(b"123456").decode()}]
    history.transcribed("a", "When?")
    assert whole(history)[0]["content"] == [{"type": "input_text", "text": "When?"}]


def test_speech_that_was_committed_is_kept_even_if_its_item_never_comes() -> None:
    history = talk(item("before"))
    history.spoken("a", [append(b"12")])
    assert ids(history) == ["before", "a"]
    assert whole(history)[1]["content"][0]["type"] == "input_audio"


def test_speech_whose_item_came_first_is_kept_too() -> None:
    history = talk(item("a"))
    model = Model()
    model.told(history)
    history.spoken("a", [append(b"12")])
    model.told(history)
    assert model.contents()[0]["content"][0]["type"] == "input_audio"


def test_speech_that_is_known_in_words_needs_no_sound() -> None:
    history = talk(item("a", text="When?"))
    history.spoken("a", [append(b"12")])
    history.spoken("b", [])
    assert ids(history) == ["a"]
    assert whole(history)[0]["content"] == [{"type": "input_text", "text": "When?"}]


def test_of_speech_that_is_gone_a_note_is_left() -> None:
    (created,) = whole(talk(item("a")))
    assert created["content"] == [{"type": "input_text", "text": "[speech that was not transcribed]"}]


def test_a_transcript_of_nothing_known_changes_nothing() -> None:
    history = talk(item("a"))
    history.transcribed("b", "When?")
    assert ids(history) == ["a"]


# What was heard


@pytest.mark.parametrize(
    ("heard_ms", "sent_ms", "words"),
    [
        (0, 1000, ""),
        (-500, 1000, ""),
        (10, 1000, ""),
        (500, 1000, "We open at nine in the"),
        (999, 1000, "We open at nine in the morning and close at"),
        (1000, 1000, WORDS),
        (99999, 1000, WORDS),
    ],
)
def test_of_what_is_cut_off_whole_words_are_kept_as_far_as_they_were_heard(
    heard_ms: float, sent_ms: float, words: str
) -> None:
    history = talk(item("a", "assistant", WORDS))
    assert history.cut_off("a", heard_ms, sent_ms) == words
    assert whole(history)[0]["content"] == [{"type": "output_text", "text": words}]


def test_an_item_that_is_cut_twice_is_cut_by_its_sound_not_by_what_is_left() -> None:
    history = talk(item("a", "assistant", WORDS))
    half = history.cut_off("a", 500, 1000)
    assert history.cut_off("a", 500, 1000) == half
    assert history.cut_off("a", 900, 1000) == half
    quarter = history.cut_off("a", 250, 1000)
    assert len(WORDS) / 4 - 8 <= len(quarter) <= len(WORDS) / 4


def test_what_is_cut_off_does_not_grow_again() -> None:
    history = talk(item("a", "assistant", status="in_progress"))
    history.grew("a", "We open ")
    assert history.cut_off("a", 500, 1000) == "We"
    history.grew("a", "at nine.")
    history.placed(item("a", "assistant", WORDS), None)
    history.finished(item("a", "assistant", WORDS, status="incomplete"))
    assert whole(history)[0]["content"] == [{"type": "output_text", "text": "We"}]


def test_words_ahead_of_the_sound_are_not_heard_although_all_the_sound_was() -> None:
    history = talk(item("a", "assistant", status="in_progress"))
    history.grew("a", WORDS)
    assert history.cut_off("a", 500, 500) == "We open"


@pytest.mark.parametrize(("text", "heard"), [("我们每天早上九点开门晚上六点关门" * 4, 32), ("So\nlong\nfarewell", 7)])
def test_words_need_no_blanks_between_them(text: str, heard: int) -> None:
    history = talk(item("a", "assistant", text))
    assert history.cut_off("a", 500, 1000) == text[:heard].rstrip()


def test_what_was_written_is_not_cut_by_the_ear() -> None:
    history = talk(item("a", "assistant", WORDS))
    assert history.cut_off("a", 0, 0) == WORDS


def test_only_answers_are_cut_off() -> None:
    history = talk(item("a", "user", WORDS), call("b", "1"))
    for item_id in ("a", "b", "nobody"):
        assert history.cut_off(item_id, 0, 1000) == ""
    assert whole(history)[0]["content"] == [{"type": "input_text", "text": WORDS}]


@pytest.mark.parametrize(
    ("sent_ms", "words"),
    [(0, ""), (500, "We open"), (1000, "We open at nine in"), (9999, WORDS), (float("inf"), WORDS)],
)
def test_of_what_breaks_off_as_much_is_believed_as_there_was_time_to_say(sent_ms: float, words: str) -> None:
    history = talk(item("a", "assistant", status="in_progress"))
    history.grew("a", WORDS)
    assert history.broken_off("a", sent_ms) == words
    assert [created["content"][0]["text"] for created in whole(history)] == ([words] if words else [])


def test_what_was_cut_off_already_breaks_off_where_it_was_cut() -> None:
    history = talk(item("a", "assistant", status="in_progress"))
    history.grew("a", WORDS)
    cut = history.cut_off("a", 500, 1000)
    assert history.broken_off("a", 0) == cut


def test_a_call_that_breaks_off_is_forgotten() -> None:
    history = talk(call("a", "1", status="in_progress"))
    assert history.broken_off("a", float("inf")) == ""
    assert history.broken_off("a", float("inf")) == ""
    assert ids(history) == []


@given(
    st.text(st.sampled_from("ab c,é\n"), max_size=60),
    st.lists(st.tuples(st.floats(-10, 3000), st.booleans()), min_size=1, max_size=5),
    st.floats(1, 2000),
    st.booleans(),
)
def test_nobody_ever_hears_more_than_there_was(
    text: str, cuts: list[tuple[float, bool]], sent_ms: float, finished: bool
) -> None:
    history = talk(item("a", "assistant", status="in_progress"))
    history.grew("a", text)
    if finished:
        history.finished(item("a", "assistant", text))
    least = sent_ms
    for heard_ms, breaks in cuts:
        least = least if breaks else max(0.0, min(least, heard_ms))
        heard = history.broken_off("a", sent_ms) if breaks else history.cut_off("a", heard_ms, sent_ms)
        assert text.startswith(heard)
        assert len(heard) <= len(text) * least / sent_ms + 1e-6 or breaks
        rest = text[len(heard) :]
        broken = bool(heard and rest) and not (rest[0].isspace() or heard[-1].isspace())
        assert not broken or len(heard.split()[-1]) > 30, "whole words, where there are words"
        if "a" not in history:
            return


# What another connection is told


def test_a_new_connection_is_told_everything_in_order() -> None:
    history = talk(
        item("a", "user", "When?"), item("b", "assistant", WORDS), item("c", "assistant", status="in_progress")
    )
    model = Model()
    events = model.told(history)
    assert [event["type"] for event in events] == ["conversation.item.create"] * 2
    assert all("previous_item_id" not in event for event in events)
    assert model.contents() == whole(history)
    assert model.told(history) == [], "it is told nothing twice"


def test_what_is_on_its_way_already_is_not_told() -> None:
    history = talk(item("a"), item("b"), item("c"))
    model = Model()
    model.told(history, avoid={"b"})
    assert model.order == ["a", "c"]
    # When it has come by another connection it is told, in its place.
    model.told(history)
    assert model.order == ["a", "b", "c"]


OPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "first", "begin", "finish", "grow", "transcribe", "cut", "break", "delete", "speak"]),
        st.integers(0, 11),
        st.integers(-1, 11),
    ),
    max_size=30,
)


def happens(history: History, ops: list[tuple[str, int, int]]) -> None:
    for what, one, other in ops:
        item_id = f"i{one}"
        role = "assistant" if one % 3 == 0 else "user"
        before = f"i{other}" if other >= 0 else None
        match what:
            case "place" if one == 4:
                history.placed(call(item_id, "call_4"), before)
            case "place" if one == 5:
                history.placed(result(item_id, "call_4", "x" * other), before)
            case "place":
                history.placed(item(item_id, role, f"{WORDS[: one * 4]}"), before)
            case "first":
                history.placed(item(item_id, role, "first"), None, first=True)
            case "begin":
                history.placed(item(item_id, "assistant", status="in_progress"), before)
            case "finish" if item_id in history:
                history.finished(item(item_id, role, WORDS))
            case "grow":
                history.grew(item_id, "more ")
            case "transcribe":
                history.transcribed(item_id, f"said {other}")
            case "cut":
                history.cut_off(item_id, other * 100, 1000)
            case "break":
                history.broken_off(item_id, max(0, other) * 100)
            case "delete":
                history.deleted(item_id)
            case "speak":
                history.spoken(item_id, [append(bytes(one))])


@given(OPS, OPS, OPS, st.sets(st.integers(0, 11)))
def test_from_any_known_state_a_connection_is_brought_to_any_later_one(
    before: list[tuple[str, int, int]],
    between: list[tuple[str, int, int]],
    after: list[tuple[str, int, int]],
    avoided: set[int],
) -> None:
    history, model = History(), Model()
    happens(history, before)
    avoid = {f"i{number}" for number in avoided}
    model.told(history, avoid)
    assert model.contents() == whole(history, avoid)
    for ops in (between, after):
        happens(history, ops)
        told = copy.deepcopy(whole(history))
        model.told(history)
        assert model.contents() == told
        assert set(model.known) == set(model.order)
        assert model.told(history) == []


@given(OPS, st.integers(0, 11))
def test_an_item_that_is_made_again_stands_where_it_stood(before: list[tuple[str, int, int]], which: int) -> None:
    history, model = History(), Model()
    happens(history, before)
    history.forget_unfinished()
    model.told(history)
    item_id = f"i{which}"
    if item_id not in history:
        return
    history.cut_off(item_id, 300, 1000)
    for event in history.made_again(item_id):
        model.take(event)
    assert model.contents() == whole(history)


# The snapshot


def test_a_snapshot_shows_messages_with_their_words_and_nothing_hidden() -> None:
    history = talk(
        item("a", "system", "Secret."),
        item("b", "user", "When?"),
        item("c", "user"),
        call("d", "1"),
        result("e", "1"),
        item("hidden", "user", "A note."),
        item("f", "assistant", WORDS),
        item("g", "assistant", "Never heard."),
        item("h", "assistant", status="in_progress"),
    )
    history.cut_off("g", 0, 1000)
    history.grew("h", "We")
    assert history.snapshot({"hidden"}) == [
        {
            "id": "b",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": "When?"}],
        },
        {
            "id": "c",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_audio", "transcript": None}],
        },
        {
            "id": "f",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_audio", "transcript": WORDS}],
        },
        {
            "id": "h",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [{"type": "output_audio", "transcript": "We"}],
        },
    ]


# Bounds


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXT_MAX_BYTES", 1000)
    monkeypatch.setattr(module, "MEDIA_MAX_BYTES", 1000)


@pytest.mark.usefixtures("small")
def test_when_there_is_too_much_the_oldest_results_go_first() -> None:
    history = talk(
        item("a", "user", "x" * 100),
        call("b", "1"),
        result("c", "1", "y" * 400),
        call("d", "2"),
        result("e", "2", "z" * 400),
    )
    model = Model()
    model.told(history)
    history.placed(item("f", "user", "x" * 200), None)
    outputs = [created["output"] for created in whole(history) if "output" in created]
    assert "left out" in outputs[0]
    assert outputs[1] == "z" * 400
    assert len(model.told(history)) == 1, "a connection that has the whole keeps it"


@pytest.mark.usefixtures("small")
def test_then_the_oldest_items_go_and_a_call_goes_with_its_result() -> None:
    history = talk(
        call("a", "1", "x" * 300), item("between", "user", "!"), result("b", "1"), item("c", "user", "y" * 400)
    )
    history.placed(item("d", "user", "z" * 400), None)
    assert ids(history) == ["between", "c", "d"]


@pytest.mark.usefixtures("small")
def test_what_is_said_last_is_kept_however_long_it_is() -> None:
    history = talk(item("a", "user", "x"), item("b", "user", "y" * 2000))
    assert ids(history) == ["b"]


@pytest.mark.usefixtures("small")
def test_results_and_arguments_count_from_the_beginning() -> None:
    history = History()
    for number in range(30):
        history.placed(call(f"c{number}", str(number), "x" * 50), None)
        history.placed(result(f"r{number}", str(number), "y" * 50), None)
        calls = [entry.item["call_id"] for entry in history if entry.role is None and "name" in entry.item]
        results = [entry.item["call_id"] for entry in history if "output" in entry.item]
        assert calls == results
        assert sum(entry.size() for entry in history) <= 1000


@pytest.mark.usefixtures("small")
def test_of_sound_and_pictures_the_oldest_go_first_and_a_connection_that_has_them_keeps_them() -> None:
    history, model = History(), Model()
    for number in range(3):
        history.spoken(f"i{number}", [append(bytes(300))])
    model.told(history)
    kinds = [created["content"][0]["type"] for created in whole(history)]
    assert kinds == ["input_text", "input_audio", "input_audio"]
    history.spoken("i3", [append(bytes(300))])
    assert [event["item"]["id"] for event in model.told(history)] == ["i3"]
    history.transcribed("i2", "When?")
    history.deleted("i3")
    history.spoken("i4", [append(bytes(300)), append(bytes(300))])
    assert whole(history)[-1]["content"][0]["type"] == "input_audio"


@given(OPS)
def test_the_bounds_hold_whatever_happens(ops: list[tuple[str, int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TEXT_MAX_BYTES", 80)
        patch.setattr(module, "MEDIA_MAX_BYTES", 90)
        history = History()
        for op in ops:
            happens(history, [op])
            assert sum(entry.media_size() for entry in history) <= 90
            grows = sum(len(entry.text) for entry in history if not entry.complete)
            sizes = [entry.size() for entry in history]
            assert sum(sizes) - grows <= 80 + 60 or len(sizes) <= 1
