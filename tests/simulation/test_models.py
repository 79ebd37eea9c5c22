"""The models themselves: a model that is wrong would make wrong promises look kept."""

import base64
from typing import Any

import msgspec
import pytest
import trio

from tests.simulation import sound
from tests.simulation.mind import Item, decide
from tests.simulation.player import Player
from tests.simulation.realtime import Habits, ServiceSession
from tests.simulation.sound import SILENCE, SPEECH, Sound

Json = dict[str, Any]


class Ear:
    """A session of the model service, and what it says."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.said: list[Json] = []
        self.count = 0
        self.session = ServiceSession(
            say=self.said.append,
            reach=lambda _phase: None,
            new_id=self._id,
            utterances={1: "u1 say"},
            habits=Habits(),
            nursery=nursery,
            expires_at=3600,
        )

    def _id(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"

    def hear(self, event_type: str, **fields: Any) -> None:
        self.session.take(msgspec.json.encode({"type": event_type, **fields}))

    def types(self) -> list[str]:
        return [event["type"] for event in self.said]

    def errors(self) -> list[str]:
        return [event["error"]["code"] for event in self.said if event["type"] == "error"]

    def type(self, text: str, **more: Any) -> None:
        content = [{"type": "input_text", "text": text}]
        self.hear("conversation.item.create", item={"type": "message", "role": "user", "content": content, **more})


def words(text: str, role: str = "user") -> Item:
    return Item({"id": text, "type": "message", "role": role}, text)


async def test_a_typed_question_is_answered_aloud_and_metered(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ear = Ear(nursery)
        ear.type("u1 say")
        ear.hear("response.create")
        ear.hear("response.create", event_id="second")
        await trio.sleep(5)
    assert ear.errors() == ["conversation_already_has_active_response"]
    assert ear.types().count("response.output_audio.delta") == 4
    done = next(event["response"] for event in ear.said if event["type"] == "response.done")
    assert done["usage"]["total_tokens"] == ear.session.meter[done["id"]]
    assert [item.kind for item in ear.session.context] == ["user", "assistant"]


async def test_speech_interrupts_and_silence_ends_the_turn(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ear = Ear(nursery)
        ear.type("u0 long")
        ear.hear("response.create")
        await trio.sleep(0.6)
        for number in range(4):
            ear.hear("input_audio_buffer.append", audio=sound.encode(Sound(SPEECH, 1, number, 100)))
        for number in range(5):
            ear.hear("input_audio_buffer.append", audio=sound.encode(Sound(SILENCE, 1, 4 + number, 100)))
        await trio.sleep(5)
    ends = [event["response"]["status"] for event in ear.said if event["type"] == "response.done"]
    assert ends == ["cancelled", "completed"]
    assert ear.session.context[1].shown["status"] == "incomplete"
    assert [item.text for item in ear.session.context if item.kind == "user"] == ["u0 long", "u1 say"]


async def test_what_the_protocol_forbids_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ear = Ear(nursery)
        ear.type("u1 say", id="item_x")
        ear.type("u1 say", id="item_x")
        ear.hear("response.create")
        await trio.sleep(5)
        spoken = ear.session.context[-1]
        ear.hear("conversation.item.truncate", item_id=spoken.id, content_index=0, audio_end_ms=10_000)
        ear.hear("conversation.item.truncate", item_id=spoken.id, content_index=0, audio_end_ms=120)
        ear.hear("conversation.item.delete", item_id="item_none")
        ear.hear("response.cancel")
        ear.hear("session.update", session={"type": "realtime", "voice": "alloy"})
        ear.hear("session.update", session={})
        output = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
        ear.hear("conversation.item.create", item=output)
    assert ear.errors() == [
        "item_create_duplicate_item_id",
        "invalid_value",
        "item_delete_invalid_item_id",
        "response_cancel_not_active",
        "unknown_parameter",
        "missing_required_parameter",
        "invalid_tool_call_id",
    ]
    assert len(spoken.text.split()) == 2


def test_it_searches_once_and_then_answers() -> None:
    asked = words("u1 search")
    assert decide([asked], "a1", may_search=True).queries
    result = Item({"id": "o", "type": "function_call_output"}, "found")
    assert decide([asked, result], "a1", may_search=True).words
    assert decide([asked], "a1", may_search=False).words


def test_it_recalls_what_its_context_holds_and_nothing_else() -> None:
    context = [words("u1 remember k1 blue"), words("a1.0", "assistant"), words("u2 recall k1")]
    assert decide(context, "a2", may_search=True).words[-1] == "blue"
    assert decide(context[1:], "a2", may_search=True).words[-1] == "forgotten"


def test_labels_survive_being_put_together() -> None:
    pieces = [Sound(SPEECH, 3, 1, 100), Sound(SPEECH, 3, 2, 100), Sound(SILENCE, 3, 3, 100), Sound(SPEECH, 4, 4, 100)]
    assert [sound.decode(sound.encode(piece)) for piece in pieces] == pieces
    whole = b"".join(base64.b64decode(sound.encode(piece)) for piece in pieces)
    assert sound.utterances(base64.b64encode(whole).decode()) == [3, 4]


@pytest.mark.parametrize(("ms", "count"), [(0, 0), (1, 1), (100, 1), (101, 2), (250, 2), (251, 3), (600, 4)])
def test_words_are_counted_by_their_beginning(ms: float, count: int) -> None:
    assert sound.words_begun(ms) == count


def test_a_loudspeaker_plays_in_real_time_and_falls_silent_at_once() -> None:
    player = Player()
    player.take("a", 1000, 10.0)
    player.take("b", 500, 10.1)
    assert player.played(10.5) == {"a": pytest.approx(500)}
    assert player.played(11.2) == {"a": pytest.approx(1000), "b": pytest.approx(200)}
    player.stop(11.3)
    assert player.played(20.0)["b"] == pytest.approx(300)
    assert not player.is_playing(11.3)
