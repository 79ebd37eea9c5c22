"""The item list: order, ids, retrieve, delete, truncate."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.realtime.items import ContentPart, Item
from server.simulator import conversation as module
from server.simulator.conversation import Conversation, Entry, audio_entry, read_item, shown
from server.simulator.identifiers import seeded_ids
from server.simulator.item_shape import ITEM
from server.simulator.refusal import Refusal

IDS = seeded_ids("items")


def message(item_id: str, text: str = "Hello.") -> Entry:
    part = ContentPart(type="input_text", text=text)
    return Entry(Item(id=item_id, type="message", role="user", status="completed", content=[part]))


def spoken(item_id: str, transcript: str, audio_ms: float, words: list[tuple[float, int]] | None = None) -> Entry:
    part = ContentPart(type="output_audio", transcript=transcript)
    item = Item(id=item_id, type="message", role="assistant", status="completed", content=[part])
    return Entry(item, audio_ms=audio_ms, words=words or [])


def order(conversation: Conversation) -> list[str]:
    return [entry.id for entry in conversation.entries]


def test_items_go_to_the_end_to_the_front_or_behind_another() -> None:
    conversation = Conversation("conv_1")
    assert conversation.insert(message("a")) is None
    assert conversation.insert(message("b")) == "a"
    assert conversation.insert(message("c"), "root") is None
    assert conversation.insert(message("d"), "a") == "a"
    assert order(conversation) == ["c", "a", "d", "b"]


def refusal_of(call: Any, *args: Any) -> tuple[str | None, str]:
    with pytest.raises(Refusal) as refused:
        call(*args)
    return refused.value.detail.code, refused.value.detail.message


def test_each_bad_id_has_its_own_code() -> None:
    conversation = Conversation("conv_1")
    conversation.insert(message("a"))
    assert refusal_of(conversation.insert, message("a"))[0] == "item_create_duplicate_item_id"
    assert refusal_of(conversation.insert, message("b"), "nowhere")[0] == "invalid_value"
    assert refusal_of(conversation.retrieve, "b")[0] == "item_retrieve_invalid_item_id"
    assert refusal_of(conversation.delete, "b")[0] == "item_delete_invalid_item_id"
    assert refusal_of(conversation.truncate, "b", 0, 0)[0] == "item_truncate_invalid_item_id"
    assert order(conversation) == ["a"]


def test_a_deleted_id_can_be_used_again() -> None:
    conversation = Conversation("conv_1")
    conversation.insert(message("a"))
    conversation.delete("a")
    conversation.insert(message("a"))
    assert order(conversation) == ["a"]


def test_a_cut_drops_the_words_that_had_not_begun() -> None:
    conversation = Conversation("conv_1")
    conversation.insert(spoken("a", "It opens at ten.", 1000.0, [(0.0, 0), (250.0, 2), (500.0, 8), (750.0, 11)]))
    conversation.truncate("a", 0, 600)
    entry = conversation.retrieve("a")
    assert entry.item.spoken_text() == "It opens at"
    assert entry.audio_ms == 600
    conversation.truncate("a", 0, 0)
    assert entry.item.spoken_text() == ""


def test_without_times_of_words_a_cut_drops_a_share() -> None:
    conversation = Conversation("conv_1")
    conversation.insert(spoken("a", "0123456789", 1000.0))
    conversation.truncate("a", 0, 500)
    assert conversation.retrieve("a").item.spoken_text() == "01234"


def test_a_cut_past_the_end_is_refused_with_both_lengths() -> None:
    conversation = Conversation("conv_1")
    conversation.insert(spoken("a", "Yes.", 800.0))
    code, text = refusal_of(conversation.truncate, "a", 0, 900)
    assert code == "invalid_value"
    assert text == "Audio content of 800ms is already shorter than 900ms"


def test_only_assistant_audio_is_cut() -> None:
    conversation = Conversation("conv_1")
    conversation.insert(message("a"))
    assert refusal_of(conversation.truncate, "a", 0, 0)[0] == "invalid_value"
    conversation.insert(spoken("b", "Yes.", 800.0))
    assert refusal_of(conversation.truncate, "b", 1, 0)[0] == "invalid_value"
    assert refusal_of(conversation.truncate, "b", 0, -1)[0] == "invalid_value"


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_two_cuts_leave_what_the_shorter_leaves(first: int, second: int) -> None:
    words = [(0.0, 0), (250.0, 2), (500.0, 8), (750.0, 11)]
    twice, once = Conversation("conv_1"), Conversation("conv_2")
    twice.insert(spoken("a", "It opens at ten.", 1000.0, list(words)))
    once.insert(spoken("a", "It opens at ten.", 1000.0, list(words)))
    twice.truncate("a", 0, max(first, second))
    twice.truncate("a", 0, min(first, second))
    once.truncate("a", 0, min(first, second))
    assert shown(twice.retrieve("a")) == shown(once.retrieve("a"))


def test_a_full_conversation_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONTENT_MAX_BYTES", 1000)
    conversation = Conversation("conv_1")
    conversation.insert(audio_entry("a", bytes(800), 16.0))
    assert refusal_of(conversation.insert, audio_entry("b", bytes(800), 16.0))[0] == "invalid_value"
    conversation.delete("a")
    conversation.insert(audio_entry("b", bytes(800), 16.0))


def test_audio_is_shown_only_where_asked_for() -> None:
    entry = audio_entry("a", b"\x01\x02", 0.04)
    part = (shown(entry).content or [])[0]
    assert not part.audio
    assert part.transcript is None
    assert (shown(entry, with_audio=True).content or [])[0].audio == "AQI="


REFUSED: list[tuple[Any, str, str]] = [
    ({}, "missing_required_parameter", "item.type"),
    ({"type": "poem"}, "invalid_value", "item.type"),
    ({"type": "mcp_call"}, "invalid_value", "item.type"),
    ({"type": "message"}, "missing_required_parameter", "item.role"),
    ({"type": "message", "role": "tool"}, "invalid_value", "item.role"),
    ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
    ({"type": "message", "role": "user", "content": []}, "invalid_value", "item.content"),
    ({"type": "message", "role": "user", "content": "hi"}, "invalid_type", "item.content"),
    ({"type": "message", "role": "user", "content": [{"text": "hi"}]}, "missing_required_parameter",
     "item.content[0].type"),
    ({"type": "message", "role": "user", "content": [{"type": "text", "text": "hi"}]}, "invalid_value",
     "item.content[0].type"),
    ({"type": "message", "role": "user", "content": [{"type": "input_text"}]}, "missing_required_parameter",
     "item.content[0].text"),
    ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi", "x": 1}]},
     "unknown_parameter", "item.content[0].x"),
    ({"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]},
     "invalid_value", "item.content[0].image_url"),
    ({"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "x"}]},
     "invalid_value", "item.content[0].type"),
    ({"type": "message", "role": "system", "content": [{"type": "input_audio", "audio": ""}]}, "invalid_value",
     "item.content[0].type"),
    ({"type": "function_call", "name": "x"}, "missing_required_parameter", "item.arguments"),
    ({"type": "function_call_output", "output": "x"}, "missing_required_parameter", "item.call_id"),
    ({"type": "function_call_output", "call_id": "c", "output": {"a": 1}}, "invalid_type", "item.output"),
    ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}], "colour": "red"},
     "unknown_parameter", "item.colour"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "code", "param"), REFUSED)
def test_an_item_must_fit_its_type_and_role(item: Any, code: str, param: str) -> None:
    with pytest.raises(Refusal) as refused:
        ITEM(item, "item")
    assert (refused.value.detail.code, refused.value.detail.param) == (code, param)


def test_a_read_item_has_an_id_a_status_and_the_length_of_its_audio() -> None:
    value = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA" * 160}]}
    ITEM(value, "item")
    entry = read_item(value, 48, "item", IDS)
    assert entry.id.startswith("item_")
    assert entry.item.status == "completed"
    assert entry.audio_ms == 10
    assert entry.is_unheard_audio()


def test_audio_that_is_no_base64_is_refused() -> None:
    value = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "?"}]}
    assert refusal_of(read_item, value, 48, "item", IDS)[0] == "invalid_value"
