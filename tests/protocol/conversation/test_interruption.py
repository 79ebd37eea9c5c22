"""What is cut off is neither sent nor believed to have been heard; the record tells both; nobody sees how."""

import itertools
import json
from typing import Any

import msgspec
import pytest

from protocol.conversation.actions import Action, Heard, PurgeAudio, Record, ToUpstream
from protocol.conversation.configuration import Configuration
from protocol.conversation.history import History
from protocol.conversation.interruption import Interruption
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.succession import Succession
from protocol.conversation.visibility import HiddenItems
from protocol.realtime.items import Item

WORDS = "We open at nine in the morning and close at six."


class Scene:
    """A conversation in which things were said; the clock stands at 100."""

    def __init__(self, *, truncates: bool = True) -> None:
        numbers = itertools.count()
        self.outlet = Outlet(lambda: f"{next(numbers):04d}")
        self.outlet.now = 100.0
        self.playback, self.history = Playback(), History()
        self.succession = Succession(self.outlet, Configuration({}, []), self.history, HiddenItems(), Limits())
        self.succession.start()
        self.connects()
        self.interruption = Interruption(self.outlet, self.playback, self.history, self.succession, truncates=truncates)
        self.outlet.take()

    def connects(self) -> None:
        current = self.succession.current
        assert current is not None
        self.succession.opened(current, 0.0)
        self.succession.confirmed_own(current)

    def reconnects(self) -> None:
        self.succession.lost()
        self.connects()
        self.outlet.take()

    def says(self, item_id: str, ms: float, *, words: str = WORDS, done: bool = True) -> None:
        raw = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress"}
        self.history.placed(msgspec.convert(raw, Item), None)
        self.history.grew(item_id, words)
        if ms:
            self.playback.sent(item_id, 0, ms, self.outlet.now)
        if done:
            content = [{"type": "output_audio", "transcript": words}]
            self.history.finished(msgspec.convert({**raw, "status": "completed", "content": content}, Item))

    def after(self, seconds: float) -> None:
        self.outlet.now += seconds

    def told(self) -> list[dict[str, Any]]:
        """What the service was told now, without the ids of the events."""
        return [_bare(action) for action in self.taken() if isinstance(action, ToUpstream)]

    def taken(self) -> list[Action]:
        self.last = self.outlet.take()
        return self.last

    def record(self) -> list[Heard]:
        return [action.entry for action in self.last if isinstance(action, Record) and isinstance(action.entry, Heard)]

    def purged(self) -> list[str]:
        return [action.item_id for action in self.last if isinstance(action, PurgeAudio)]

    def text(self, item_id: str) -> str:
        entry = self.history.get(item_id)
        assert entry is not None
        return entry.text


def _bare(action: ToUpstream) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(action.frame)
    assert event.pop("event_id").startswith("event_la_")
    return event


def truncation(item_id: str, ms: int) -> dict[str, Any]:
    return {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": ms}


def test_an_answer_is_cut_where_it_was_heard() -> None:
    scene = Scene()
    scene.says("a", 2000)
    scene.after(1)
    scene.interruption.silence()
    assert scene.told() == [truncation("a", 1000)]
    assert scene.purged() == ["a"]
    assert scene.record() == [Heard("a", 1000, 2000, "We open at nine in the")]
    assert scene.text("a") == "We open at nine in the"


def test_what_waits_behind_it_is_cut_before_it_began() -> None:
    scene = Scene()
    scene.says("a", 2000)
    scene.says("b", 1000)
    scene.after(1)
    scene.interruption.silence()
    assert scene.told() == [truncation("a", 1000), truncation("b", 0)]
    assert scene.purged() == ["a", "b"]
    assert scene.text("b") == ""


def test_what_was_heard_to_its_end_is_left_whole() -> None:
    scene = Scene()
    scene.says("a", 2000)
    scene.after(2)
    scene.interruption.silence()
    assert scene.told() == []
    assert scene.record() == []
    assert scene.text("a") == WORDS


def test_what_was_heard_as_far_as_it_came_is_cut_there_for_more_is_on_its_way() -> None:
    scene = Scene()
    scene.says("a", 500, done=False)
    scene.after(3)
    scene.interruption.silence()
    assert scene.told() == [truncation("a", 500)]
    assert scene.record() == [Heard("a", 500, 500, "We open")], "words run ahead of the sound"
    assert scene.playback.sent("a", 0, 100, scene.outlet.now) is None


def test_nothing_is_cut_where_nothing_is_being_heard() -> None:
    scene = Scene()
    scene.interruption.silence()
    assert scene.taken() == []
    scene.says("a", 2000)
    scene.interruption.silence()
    scene.taken()
    scene.interruption.silence()
    assert scene.taken() == [], "it is cut once"


def test_clients_that_truncate_themselves_are_left_alone() -> None:
    scene = Scene(truncates=False)
    scene.says("a", 2000)
    scene.after(1)
    scene.interruption.silence()
    assert scene.told() == []
    assert scene.purged() == ["a"]
    assert scene.record() == []
    scene.interruption.abandon(None)
    assert scene.taken() == []


def test_an_item_that_this_connection_knows_as_text_is_made_again_with_what_was_heard() -> None:
    scene = Scene()
    scene.says("a", 2000)
    scene.reconnects()
    current = scene.succession.current
    assert current is not None
    current.echoes.clear()
    scene.after(1)
    scene.interruption.silence()
    content = [{"type": "output_text", "text": "We open at nine in the"}]
    assert scene.told() == [
        {"type": "conversation.item.delete", "item_id": "a"},
        {
            "type": "conversation.item.create",
            "item": {"id": "a", "type": "message", "role": "assistant", "content": content},
            "previous_item_id": "root",
        },
    ]
    assert (current.echoes, current.deletions) == ({"a"}, ["a"]), "so that nobody sees it"
    assert scene.record() == [Heard("a", 1000, 2000, "We open at nine in the")]


def test_without_a_connection_the_next_is_told_what_was_heard_to_begin_with() -> None:
    scene = Scene()
    scene.says("a", 2000)
    scene.succession.lost()
    scene.taken()
    scene.after(1)
    scene.interruption.silence()
    assert scene.told() == []
    scene.connects()
    texts = [event["item"]["content"][0]["text"] for event in scene.told() if "item" in event]
    assert texts[0] == "We open at nine in the"


def test_what_a_client_lost_is_taken_for_unheard_but_for_what_is_being_said() -> None:
    scene = Scene()
    scene.says("a", 2000)
    scene.says("b", 1000, done=False)
    scene.after(1)
    scene.interruption.abandon("b")
    assert scene.told() == [truncation("a", 1000)]
    assert scene.purged() == []
    assert scene.playback.sent("b", 0, 100, scene.outlet.now) == 1100
    assert scene.playback.sent("a", 0, 100, scene.outlet.now) is None


# The client cuts


@pytest.mark.parametrize(
    ("asked_ms", "heard"),
    [
        (1000, Heard("a", 1000, 2000, "We open at nine in the")),
        (2000, Heard("a", 2000, 2000, WORDS)),
        (99_999, Heard("a", 2000, 2000, WORDS)),
        (0, Heard("a", 0, 2000, "")),
        (-5, Heard("a", 0, 2000, "")),
    ],
)
def test_what_the_client_cuts_is_recorded_as_far_as_it_was_sent(asked_ms: int, heard: Heard) -> None:
    scene = Scene(truncates=False)
    scene.says("a", 2000)
    assert not scene.interruption.cut_by_client("a", asked_ms), "the service must be told"
    scene.taken()
    assert scene.record() == [heard]
    assert scene.purged() == ["a"]
    assert scene.playback.sent("a", 0, 100, scene.outlet.now) is None


@pytest.mark.parametrize("item_id", ["nobody", "mine"])
def test_what_was_not_spoken_is_for_the_service_to_refuse(item_id: str) -> None:
    scene = Scene()
    scene.history.placed(msgspec.convert({"id": "mine", "type": "message", "role": "user"}, Item), None)
    assert not scene.interruption.was_spoken(item_id)
    assert not scene.interruption.cut_by_client(item_id, 100)
    assert scene.taken() == []
    scene.reconnects()
    assert not scene.interruption.cut_by_client(item_id, 100)


def test_what_was_written_keeps_its_words() -> None:
    scene = Scene()
    scene.says("a", 0)
    scene.interruption.cut_by_client("a", 100)
    assert scene.text("a") == WORDS


def test_after_a_reconnect_the_client_that_cuts_is_answered_here() -> None:
    scene = Scene(truncates=False)
    scene.says("a", 2000)
    scene.reconnects()
    assert scene.interruption.cut_by_client("a", 1000)
    delete, create = scene.told()
    assert delete == {"type": "conversation.item.delete", "item_id": "a"}
    assert create["item"]["content"][0]["text"] == "We open at nine in the"


def test_without_a_connection_it_is_answered_here_too() -> None:
    scene = Scene(truncates=False)
    scene.says("a", 2000)
    scene.succession.lost()
    scene.taken()
    assert scene.interruption.cut_by_client("a", 1000)
    assert scene.told() == []
    assert scene.text("a") == "We open at nine in the"
