"""The ledger believes no more than can have been heard."""

import pytest
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


def unheard(playback: Playback, now: float) -> dict[str, float]:
    """What is still to be heard, and how much of it was."""
    return {item.item_id: round(playback.heard_ms(item, now), 6) for item in playback.unheard(now)}


def test_an_item_behind_one_that_is_still_played_has_not_begun_whatever_the_clock_says() -> None:
    playback = spoken(("a", 3000), ("b", 1000))
    playback.acknowledge("a", 500)
    assert unheard(playback, T + 60) == {"a": 500, "b": 0}
    playback.acknowledge("a", 2600)
    assert unheard(playback, T + 3.3) == {"b": 300}, "the last word on an item comes a little before its end"


def test_items_behind_an_item_that_was_cut_are_not_held_back_by_it() -> None:
    playback = spoken(("a", 3000))
    playback.acknowledge("a", 500)
    playback.interrupt(T + 1)
    playback.sent("b", 0, 1000, T + 2)
    playback.sent("c", 0, 1000, T + 2)
    assert unheard(playback, T + 2.4) == {"b": 400, "c": 0}
    cut = playback.interrupt(T + 2.4)
    assert [(item.item_id, round(item.heard_ms(T + 99))) for item in cut] == [("b", 400), ("c", 0)]


def test_what_is_cut_is_not_believed_heard_any_further_as_time_passes() -> None:
    playback = spoken(("a", 3000))
    (item,) = playback.unheard(T + 1)
    playback.cut([item], T + 1)
    assert playback.current is None
    assert item.heard_ms(T + 60) == 1000
    assert playback.acknowledge("a", 2000) == 1000


def test_while_the_client_is_away_nothing_is_heard() -> None:
    playback = spoken(("a", 3000), ("b", 1000))
    playback.pause(T + 1)
    playback.pause(T + 2)
    assert unheard(playback, T + 60) == {"a": 1000, "b": 0}
    playback.resume(T + 60)
    playback.resume(T + 99)
    assert unheard(playback, T + 61) == {"a": 2000, "b": 0}
    assert unheard(playback, T + 62.5) == {"b": 500}
    assert unheard(playback, T + 63) == {}


def test_what_is_said_while_the_client_is_away_is_heard_behind_what_it_missed() -> None:
    playback = spoken(("a", 3000))
    playback.pause(T + 1)
    playback.sent("a", 0, 1000, T + 10)
    playback.sent("b", 0, 1000, T + 10)
    playback.resume(T + 60)
    assert unheard(playback, T + 62) == {"a": 3000, "b": 0}
    assert unheard(playback, T + 63.5) == {"b": 500}


def test_coming_back_does_not_undo_a_cut() -> None:
    playback = spoken(("a", 3000))
    playback.interrupt(T + 1)
    playback.pause(T + 2)
    playback.resume(T + 60)
    assert unheard(playback, T + 60.5) == {}
    assert heard(playback, T + 61) == {}


def test_an_interruption_while_the_client_is_away_cuts_where_it_left() -> None:
    playback = spoken(("a", 3000))
    playback.pause(T + 1)
    (item,) = playback.interrupt(T + 2)
    assert item.heard_ms(T + 60) == 1000


@pytest.mark.parametrize(
    ("acknowledged", "now", "at"),
    [
        (None, T + 1, T + 4),
        (None, T + 4, T + 4),
        (None, T + 60, T + 4),
        (1000, T + 2, T + 5),
        (4000, T + 2, T + 2),
        (4000, T + 60, T + 4),
        (1000, T + 33, T + 34),  # it stopped acknowledging
        (1000, T + 60, T + 34),
    ],
)
def test_it_is_known_when_all_will_have_been_heard_or_was(acknowledged: float | None, now: float, at: float) -> None:
    playback = spoken(("a", 4000))
    if acknowledged is not None:
        playback.acknowledge("a", acknowledged)
    assert round(playback.heard_out_at(now), 6) == at


def test_where_nothing_was_said_it_was_heard_out_long_ago() -> None:
    assert Playback().heard_out_at(T) == 0
    playback = spoken(("a", 4000))
    playback.interrupt(T + 1)
    assert playback.heard_out_at(T + 9) == T + 1


@pytest.mark.parametrize(("end_ms", "wanted"), [(400, False), (500, False), (501, True), (3000, True)])
def test_sound_is_wanted_that_was_not_played(end_ms: float, wanted: bool) -> None:
    playback = spoken(("a", 3000))
    assert playback.is_wanted("a", end_ms)
    playback.acknowledge("a", 500)
    assert playback.is_wanted("a", end_ms) is wanted
    playback.interrupt(T + 1)
    assert not playback.is_wanted("a", end_ms)


def test_sound_of_an_item_that_is_forgotten_is_better_heard_twice_than_never() -> None:
    playback = spoken(*((f"item_{number}", 10) for number in range(100)))
    assert playback.is_wanted("item_0", 10)


def test_only_the_last_items_are_remembered() -> None:
    playback = spoken(*((f"item_{number}", 10) for number in range(100)))
    assert playback.acknowledge("item_0", 1) is None
    assert playback.acknowledge("item_99", 1) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "sent", "heard", "wait", "cut", "goes", "comes", "cuts itself"]),
            st.sampled_from("abcd"),
            st.integers(0, 3000),
        ),
        max_size=40,
    )
)
def test_nothing_is_believed_heard_beyond_what_was_sent_or_acknowledged(steps: list[tuple[str, str, int]]) -> None:
    playback, now = Playback(), T
    present_s, away = 0.0, False
    sent: dict[str, float] = {}
    told: dict[str, float] = {}
    was_cut: set[str] = set()
    for what, item_id, ms in steps:
        if what == "sent":
            end_ms = playback.sent(item_id, 0, ms, now)
            assert (end_ms is None) == (item_id in was_cut)
            if end_ms is not None:
                sent[item_id] = sent.get(item_id, 0) + ms
                assert end_ms == sent[item_id] == playback.sent_ms(item_id)
        elif what == "heard" and playback.acknowledge(item_id, ms) is not None and item_id not in was_cut:
            told[item_id] = max(told.get(item_id, 0), min(ms, sent[item_id]))
        elif what == "wait":
            now += ms / 1000
            present_s += 0 if away else ms / 1000
        elif what == "goes":
            away = True
            playback.pause(now)
        elif what == "comes":
            away = False
            playback.resume(now)
        elif what == "cuts itself":
            playback.truncate(item_id)
            was_cut |= {item_id} & set(sent)
        elif what == "cut":
            waiting = {item.item_id for item in playback.unheard(now)}
            for item in playback.interrupt(now):
                waiting.discard(item.item_id)
                was_cut.add(item.item_id)
                believed = item.heard_ms(now)
                assert 0 <= believed < sent[item.item_id]
                assert believed <= told.get(item.item_id, sent[item.item_id])
                assert believed <= present_s * 1000 + 1e-6 or item.item_id in told
                assert not playback.is_wanted(item.item_id, sent[item.item_id])
            assert not waiting
        for item in playback.unheard(now):
            assert not item.truncated
            assert playback.heard_ms(item, now) < item.sent_ms
        assert playback.heard_out_at(now) <= now or playback.unheard(now)
