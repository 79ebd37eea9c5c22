"""Who comes back gets all that it missed, in order and once, or is told that it cannot."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.replay import Replay, Sent

FRAME_BYTES = 60


def frame(event_id: str, size: int = FRAME_BYTES) -> bytes:
    """An event of so many bytes."""
    bare = json.dumps({"type": "x", "event_id": event_id, "pad": ""})
    return json.dumps({"type": "x", "event_id": event_id, "pad": "p" * (size - len(bare))}).encode()


def ring(*, control: int = 100, audio: int = 100, age_s: float = 1000.0) -> Replay:
    """A ring for so many frames."""
    return Replay(control_bytes=control * FRAME_BYTES, audio_bytes=audio * FRAME_BYTES, age_s=age_s)


def says(replay: Replay, *event_ids: str, now: float = 0.0) -> None:
    for event_id in event_ids:
        replay.add(frame(event_id), now, item_id=None, audio_ms=0.0, end_ms=0.0)


def speaks(replay: Replay, event_id: str, end_ms: float, item_id: str = "item", now: float = 0.0) -> None:
    replay.add(frame(event_id), now, item_id=item_id, audio_ms=100.0, end_ms=end_ms)


def everything(_: Sent) -> bool:
    return True


def missed(replay: Replay, last_event_id: str | None, wanted: Callable[[Sent], bool] = everything) -> list[str] | None:
    """What a client is sent that got this last; None if it cannot be told."""
    place = replay.place_of(last_event_id)
    if place is None:
        return None
    found = replay.since(place, wanted=wanted)
    return None if found is None else [json.loads(sent.frame)["event_id"] for sent in found]


def test_what_came_behind_the_last_event_is_missed_in_order_whatever_its_kind() -> None:
    replay = ring()
    says(replay, "a")
    speaks(replay, "b", 100)
    says(replay, "c")
    speaks(replay, "d", 200)
    assert missed(replay, "a") == ["b", "c", "d"]
    assert missed(replay, "b") == ["c", "d"]
    assert missed(replay, "d") == []
    assert replay.newest() == 4


@pytest.mark.parametrize("event_id", [None, "", "never_was"])
def test_a_place_that_is_not_known_is_none(event_id: str | None) -> None:
    replay = ring()
    says(replay, "a")
    assert replay.place_of(event_id) is None


def test_of_an_event_that_was_said_twice_running_the_newest_counts() -> None:
    replay = ring()
    says(replay, "a", "same")
    speaks(replay, "same", 100)
    says(replay, "c")
    assert missed(replay, "same") == ["c"]


def test_an_id_that_several_have_with_others_between_is_no_place() -> None:
    replay = ring()
    says(replay, "a", "same", "b")
    speaks(replay, "same", 100)
    says(replay, "c")
    assert missed(replay, "same") is None
    assert missed(replay, "b") == ["same", "c"]


def test_sound_that_is_not_wanted_is_left_out_and_events_never_are() -> None:
    replay = ring()
    says(replay, "a")
    speaks(replay, "b", 100)
    speaks(replay, "c", 200)
    says(replay, "d")
    assert missed(replay, "a", wanted=lambda sent: sent.end_ms > 100) == ["c", "d"]
    assert missed(replay, "a", wanted=lambda _: False) == ["d"]


def test_who_stands_before_what_was_dropped_cannot_be_told() -> None:
    replay = ring(control=2)
    says(replay, "a", "b", "c", "d")
    assert missed(replay, "a") is None
    assert missed(replay, "b") == ["c", "d"], "what was dropped last is a place: nothing behind it is missing"
    assert missed(replay, "c") == ["d"]


def test_sound_that_was_dropped_is_a_hole_too() -> None:
    replay = ring(audio=1)
    says(replay, "a")
    speaks(replay, "b", 100)
    says(replay, "c")
    speaks(replay, "d", 200)
    assert missed(replay, "a") is None
    assert missed(replay, "b") == ["c", "d"]
    assert missed(replay, "c") == ["d"]


def test_nothing_older_than_its_age_is_kept_but_the_last_is_a_place() -> None:
    replay = ring(age_s=10)
    says(replay, "a", now=0)
    says(replay, "b", now=5)
    says(replay, "c", now=15.1)
    assert missed(replay, "a") is None
    assert missed(replay, "b") == ["c"]
    says(replay, "d", now=100)
    assert missed(replay, "b") is None
    assert missed(replay, "c") == ["d"]


def test_a_frame_larger_than_the_ring_leaves_an_empty_ring_and_no_silent_hole() -> None:
    replay = ring(control=3)
    says(replay, "a", "b")
    replay.add(frame("large", 1000), 0, item_id=None, audio_ms=0, end_ms=0)
    assert missed(replay, "b") is None
    assert missed(replay, "large") == []
    says(replay, "c")
    assert missed(replay, "large") == ["c"]


def test_sound_that_was_played_makes_room_and_is_no_hole() -> None:
    replay = ring(audio=4)
    says(replay, "a")
    for number in range(1, 4):
        speaks(replay, f"s{number}", number * 100)
    replay.played("item", 250)
    for number in range(4, 6):
        speaks(replay, f"s{number}", number * 100)
    assert missed(replay, "a") == ["s3", "s4", "s5"]


def test_who_played_all_that_came_stands_behind_it() -> None:
    # The way down was stuck, the way up was not: what it acknowledged is the last that it got.
    replay = ring()
    for number in range(1, 6):
        speaks(replay, f"s{number}", number * 100)
    replay.played("item", 200)
    assert missed(replay, "s2") == ["s3", "s4", "s5"]
    replay.played("item", 500)
    assert missed(replay, "s5") == []


def test_sound_of_another_item_is_not_taken_for_played() -> None:
    replay = ring()
    says(replay, "a")
    speaks(replay, "one", 100, "item_1")
    speaks(replay, "two", 100, "item_2")
    replay.played("item_2", 100)
    assert missed(replay, "a") == ["one", "two"]


def test_a_greeting_stands_where_what_follows_it_begins() -> None:
    replay = ring()
    says(replay, "a", "b")
    replay.greeted("hello", 1)
    assert missed(replay, "hello") == ["b"]
    says(replay, "c")
    assert missed(replay, "hello") == ["b", "c"]


def test_a_greeting_is_no_way_around_a_hole() -> None:
    replay = ring(control=1)
    says(replay, "a")
    replay.greeted("hello", replay.newest())
    assert missed(replay, "hello") == []
    says(replay, "b", "c")
    assert missed(replay, "hello") is None


def test_only_the_last_greetings_are_remembered() -> None:
    replay = ring()
    for number in range(40):
        replay.greeted(f"hello_{number}", 0)
    assert replay.place_of("hello_0") is None
    assert replay.place_of("hello_39") == 0


def test_what_is_no_event_is_no_place() -> None:
    replay = ring()
    replay.add(b"not json", 0, item_id=None, audio_ms=0, end_ms=0)
    says(replay, "a")
    assert missed(replay, "a") == []
    assert replay.place_of("not json") is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["says", "speaks", "speaks", "plays", "waits", "greets", "cuts"]),
        st.integers(0, 7),
        st.sampled_from(["one", "two", "three"]),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8), st.integers(1, 8), st.integers(1, 30), st.sampled_from([12, 100]))
def test_it_is_exactly_what_was_missed_or_none_for_every_place(
    steps: list[tuple[str, int, str]], control: int, audio: int, age_s: int, names: int
) -> None:
    replay = ring(control=control, audio=audio, age_s=age_s)
    sent: list[tuple[str, str | None, float]] = []  # all there ever was: event id, item, end
    ends = {"one": 0.0, "two": 0.0, "three": 0.0}
    played = dict.fromkeys(ends, 0.0)
    cut: set[str] = set()
    greetings: dict[str, int] = {}
    now = 0.0

    def wanted(one: Sent) -> bool:
        return one.item_id not in cut and one.end_ms > played[str(one.item_id)]

    for number, (what, which, item_id) in enumerate(steps):
        event_id = f"e{number % names:03d}"
        match what:
            case "says":
                says(replay, event_id, now=now)
                sent.append((event_id, None, 0.0))
            case "speaks":
                ends[item_id] += 100
                speaks(replay, event_id, ends[item_id], item_id, now)
                sent.append((event_id, item_id, ends[item_id]))
            case "plays":
                played[item_id] = max(played[item_id], min(which * 50.0, ends[item_id]))
                replay.played(item_id, played[item_id])
            case "waits":
                now += which
            case "cuts":
                cut.add(item_id)
            case "greets":
                place = which % (len(sent) + 1)
                greetings[f"hello_{number}"] = place
                replay.greeted(f"hello_{number}", place)
    places = {event_id: place for place, (event_id, _, _) in enumerate(sent, start=1)}
    kept = dict(list(greetings.items())[-16:])
    for last, place in (places | kept).items():
        due = [
            event_id
            for event_id, item_id, end_ms in sent[place:]
            if item_id is None or (item_id not in cut and end_ms > played[item_id])
        ]
        assert missed(replay, last, wanted) in (due, None)
    if sent and (control, audio) == (8, 8) and len(sent) <= 8 and now <= age_s:
        assert missed(replay, sent[-1][0], wanted) is not None, "there is no reason to refuse it"


@given(st.integers(1, 20), st.integers(0, 19))
def test_what_is_within_the_bounds_is_always_kept(count: int, place: int) -> None:
    replay = ring(control=20, audio=20, age_s=100)
    for number in range(count):
        says(replay, f"e{number}", now=number)
        speaks(replay, f"s{number}", number * 100.0, now=number)
    found = missed(replay, f"e{place % count}")
    assert found is not None
    assert len(found) == 2 * (count - place % count) - 1
