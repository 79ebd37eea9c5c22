"""The ledger believes no more than can have been heard."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.playback import Playback

T = 50.0


def spoken(*items: tuple[str, float]) -> Playback:
    """A ledger in which these items were sent at ``T``, all at once."""
    playback = Playback()
    for item_id, ms in items:
        assert playback.sent(item_id, 0, ms, T)
    return playback


def heard(playback: Playback, now: float) -> dict[str, float]:
    """What an interruption cuts off, and where."""
    return {item.item_id: round(item.heard_ms(now), 6) for item in playback.interrupt(now)}


def test_without_word_from_the_client_the_clock_tells_what_was_heard_at_most() -> None:
    assert heard(spoken(("a", 3000)), T + 1.5) == {"a": 1500}


def test_what_was_played_to_the_end_is_not_cut() -> None:
    assert heard(spoken(("a", 3000)), T + 3) == {}


def test_an_item_sent_behind_another_begins_when_that_one_ends() -> None:
    assert heard(spoken(("a", 3000), ("b", 1000)), T + 3.25) == {"b": 250}


def test_what_waits_behind_the_item_being_heard_is_cut_with_it() -> None:
    assert heard(spoken(("a", 3000), ("b", 1000), ("c", 1000)), T + 2) == {"a": 2000, "b": 0, "c": 0}


def test_what_was_cut_takes_no_more_sound_and_is_cut_once() -> None:
    playback = spoken(("a", 3000))
    assert heard(playback, T + 1) == {"a": 1000}
    assert not playback.sent("a", 0, 100, T + 1)
    assert heard(playback, T + 2) == {}
    assert playback.current is None


def test_after_an_interruption_new_sound_is_heard_at_once() -> None:
    playback = spoken(("a", 9000))
    playback.interrupt(T + 1)
    playback.sent("b", 0, 1000, T + 2)
    assert heard(playback, T + 2.5) == {"b": 500}


def test_an_acknowledgement_counts_more_than_the_clock() -> None:
    playback = spoken(("a", 3000))
    playback.acknowledge("a", 200)
    assert heard(playback, T + 60) == {"a": 200}


def test_an_acknowledgement_never_goes_back_nor_beyond_what_was_sent() -> None:
    playback = spoken(("a", 1000))
    for ms in (500, 100):
        playback.acknowledge("a", ms)
    assert heard(playback, T) == {"a": 500}
    playback = spoken(("a", 1000))
    playback.acknowledge("a", 99999)
    playback.sent("a", 0, 1000, T)
    assert heard(playback, T) == {"a": 1000}


def test_an_acknowledgement_after_the_cut_changes_nothing() -> None:
    playback = spoken(("a", 1000))
    (cut,) = playback.interrupt(T + 0.1)
    assert playback.acknowledge("a", 900) is not None
    assert round(cut.heard_ms(T + 0.1)) == 100


def test_an_item_long_over_is_not_cut_for_its_last_unacknowledged_moment() -> None:
    playback = spoken(("old", 1000))
    playback.acknowledge("old", 980)
    playback.sent("new", 0, 1000, T + 60)
    assert heard(playback, T + 60.4) == {"new": 400}


def test_nobody_acknowledges_what_was_never_spoken() -> None:
    assert Playback().acknowledge("a", 1) is None


def test_the_client_may_cut_an_item_itself() -> None:
    playback = spoken(("a", 1000))
    playback.truncate("a")
    playback.truncate("unknown")
    assert playback.current is None
    assert not playback.sent("a", 0, 1, T)
    assert heard(playback, T) == {}


def test_only_the_last_items_are_remembered() -> None:
    playback = spoken(*((f"item_{number}", 10) for number in range(100)))
    assert playback.acknowledge("item_0", 1) is None
    assert playback.acknowledge("item_99", 1) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["sent", "heard", "wait", "cut"]), st.sampled_from("abc"), st.integers(0, 3000)),
        max_size=40,
    )
)
def test_nothing_is_believed_heard_beyond_what_was_sent_or_acknowledged(steps: list[tuple[str, str, int]]) -> None:
    playback, now = Playback(), T
    sent: dict[str, float] = {}
    told: dict[str, float] = {}
    for what, item_id, ms in steps:
        if what == "sent" and playback.sent(item_id, 0, ms, now):
            sent[item_id] = sent.get(item_id, 0) + ms
        elif what == "heard" and playback.acknowledge(item_id, ms) is not None:
            told[item_id] = max(told.get(item_id, 0), min(ms, sent[item_id]))
        elif what == "wait":
            now += ms / 1000
        elif what == "cut":
            for item in playback.interrupt(now):
                assert 0 <= item.heard_ms(now) < sent[item.item_id]
                assert item.heard_ms(now) <= told.get(item.item_id, sent[item.item_id])
                assert item.heard_ms(now) <= (now - T) * 1000 or item.item_id in told
