"""What is sent to the next connection is exactly what the last one did not settle, once and in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation import journal as module
from protocol.conversation.journal import UNHEARD_MS, Journal, Unsettled

APPEND = "input_audio_buffer.append"
COMMIT = "input_audio_buffer.commit"
CLEAR = "input_audio_buffer.clear"
CREATE = "conversation.item.create"
# Kinds with a reply, and some without.
ANSWERED = (
    "session.update",
    CREATE,
    "conversation.item.retrieve",
    "conversation.item.delete",
    "conversation.item.truncate",
    "response.create",
    COMMIT,
    CLEAR,
)
UNANSWERED = ("response.cancel", "output_audio_buffer.clear")


def opened(*, manual: bool = False) -> Journal:
    """A journal with a connection, to which nothing was said yet."""
    journal = Journal()
    journal.manual = manual
    assert journal.reopened() == []
    return journal


def says(journal: Journal, name: str, kind: str, key: str | None = None) -> None:
    assert journal.add(Unsettled(name.encode(), kind, name, key)) == 0


def hears(journal: Journal, *names: object, ms: float = 100) -> None:
    for name in names:
        journal.add(Unsettled(str(name).encode(), APPEND, audio_ms=ms))


def quiet(journal: Journal) -> bool:
    return journal.is_quiet


def speaking(journal: Journal) -> bool:
    return journal.is_speaking


def overfull(journal: Journal) -> bool:
    return journal.is_overfull


def kept(journal: Journal) -> list[str]:
    return [entry.frame.decode() for entry in journal]


def again(journal: Journal) -> list[str]:
    """What the next connection is sent."""
    journal.lost()
    return [entry.frame.decode() for entry in journal.reopened()]


# Control events


@pytest.mark.parametrize("kind", ANSWERED)
def test_what_has_a_reply_is_kept_until_it_comes(kind: str) -> None:
    journal = opened()
    says(journal, "a", kind)
    assert not quiet(journal)
    assert again(journal) == ["a"]
    assert again(journal) == ["a"], "the next connection has not settled it either"
    assert journal.take("a") is not None
    assert quiet(journal)
    assert again(journal) == []


@pytest.mark.parametrize("kind", UNANSWERED)
def test_what_has_no_reply_is_settled_by_being_sent(kind: str) -> None:
    journal = opened()
    says(journal, "a", kind)
    assert again(journal) == []
    journal.lost()
    says(journal, "b", kind)
    assert [entry.frame for entry in journal.reopened()] == [b"b"]
    assert quiet(journal)
    assert again(journal) == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("session.updated", "session.update"),
        ("conversation.item.retrieved", "conversation.item.retrieve"),
        ("conversation.item.deleted", "conversation.item.delete"),
        ("conversation.item.truncated", "conversation.item.truncate"),
    ],
)
def test_a_reply_settles_what_it_is_to_by_its_item_else_by_order(reply: str, kind: str) -> None:
    journal = opened()
    for name, key in [("a", "item_1"), ("b", "item_2"), ("c", "item_1")]:
        says(journal, name, kind, key)
    says(journal, "other", CREATE, "item_2")
    settled = journal.settle(reply, "item_2")
    assert settled is not None
    assert settled.frame == b"b"
    assert journal.settle(reply, "item_3") is None
    assert journal.settle(reply, "item_1") is not None
    assert kept(journal) == ["c", "other"]
    assert journal.settle(reply) is not None
    assert journal.settle(reply) is None
    assert kept(journal) == ["other"]


def test_an_item_without_an_id_of_its_own_is_matched_by_order() -> None:
    journal = opened()
    for name, key in [("a", None), ("b", "mine"), ("c", None)]:
        says(journal, name, CREATE, key)
    for item_id, frame in [("mine", b"b"), ("item_1", b"a"), ("item_2", b"c")]:
        found = journal.item_created(item_id)
        assert found is not None
        assert found.frame == frame
    assert journal.item_created("item_3") is None


def test_an_item_that_somebody_else_created_takes_nothing_named() -> None:
    journal = opened()
    says(journal, "a", CREATE, "mine")
    assert journal.item_created("item_of_the_service") is None
    assert kept(journal) == ["a"]


def test_nobody_takes_what_is_not_there() -> None:
    journal = opened()
    says(journal, "a", CREATE)
    assert journal.take(None) is None
    assert journal.take("b") is None
    assert kept(journal) == ["a"]


def test_a_service_that_never_replies_fills_nothing_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNANSWERED_MAX", 3)
    monkeypatch.setattr(module, "UNANSWERED_MAX_BYTES", 100)
    journal = opened()
    hears(journal, "x")
    for number in range(5):
        says(journal, str(number), CREATE)
    assert kept(journal) == ["x", "2", "3", "4"]
    says(journal, "y" * 99, CREATE)
    assert kept(journal) == ["x", "4", "y" * 99]


def test_what_waits_for_a_connection_has_a_bound_and_loses_nothing_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_CONTROL_MAX_BYTES", 10)
    monkeypatch.setattr(module, "UNANSWERED_MAX", 2)
    journal = opened()
    says(journal, "sent before, and it does not count", CREATE)
    journal.lost()
    for name in "abcde":
        says(journal, name * 2, CREATE)
    assert not overfull(journal)
    says(journal, "f", CREATE)
    assert overfull(journal)
    journal.reopened()
    assert not overfull(journal)


# Speech


def test_of_silence_only_the_last_ten_seconds_are_kept() -> None:
    journal = opened()
    hears(journal, *range(150))
    assert kept(journal) == [str(number) for number in range(50, 150)]


def test_speech_is_kept_from_where_the_service_heard_it_begin() -> None:
    journal = opened()
    hears(journal, *range(20))
    journal.speech_started(1450)
    assert speaking(journal)
    assert not quiet(journal)
    hears(journal, *range(20, 100))
    assert again(journal) == [str(number) for number in range(14, 100)]


def test_speech_that_began_before_what_is_kept_is_kept_as_far_as_it_is_there() -> None:
    journal = opened()
    hears(journal, *range(120))
    journal.speech_started(0)
    assert kept(journal) == [str(number) for number in range(20, 120)]


def test_what_is_said_behind_the_end_of_a_turn_stays_for_the_next() -> None:
    journal = opened()
    hears(journal, *range(10))
    journal.speech_started(200)
    hears(journal, *range(10, 20))
    journal.speech_stopped(1550)
    hears(journal, 20)
    frames, by_client = journal.committed()
    assert [int(frame) for frame in frames] == list(range(2, 16))
    assert not by_client
    assert not speaking(journal)
    assert kept(journal) == ["16", "17", "18", "19", "20"]


def test_without_an_end_all_that_was_heard_is_the_turn() -> None:
    journal = opened()
    hears(journal, *range(5))
    journal.speech_started(0)
    frames, by_client = journal.committed()
    assert (len(frames), by_client) == (5, False)
    assert kept(journal) == []


def test_the_clients_commit_takes_what_was_said_before_it() -> None:
    journal = opened(manual=True)
    hears(journal, *range(30))
    says(journal, "commit", COMMIT)
    hears(journal, "next")
    says(journal, "ask", "response.create")
    frames, by_client = journal.committed()
    assert ([int(frame) for frame in frames], by_client) == (list(range(30)), True)
    assert kept(journal) == ["next", "ask"]


def test_a_commit_of_the_client_within_speech_is_its_own_and_settled() -> None:
    journal = opened()
    hears(journal, *range(5))
    journal.speech_started(0)
    says(journal, "commit", COMMIT)
    hears(journal, "next")
    frames, by_client = journal.committed()
    assert (len(frames), by_client) == (5, True)
    assert not speaking(journal)
    assert kept(journal) == ["next"]


def test_a_turn_that_the_service_ended_is_not_the_commit_that_the_client_sends_meanwhile() -> None:
    journal = opened()
    hears(journal, *range(5))
    journal.speech_started(0)
    journal.speech_stopped(400)
    says(journal, "commit", COMMIT)
    frames, by_client = journal.committed()
    assert (len(frames), by_client) == (4, False)
    assert kept(journal) == ["4", "commit"]
    frames, by_client = journal.committed()
    assert (frames, by_client) == ([b"4"], True)
    assert quiet(journal)


def test_two_commits_are_answered_one_after_the_other() -> None:
    journal = opened(manual=True)
    hears(journal, "a")
    says(journal, "first", COMMIT)
    hears(journal, "b")
    says(journal, "second", COMMIT)
    assert journal.committed() == ([b"a"], True)
    assert journal.committed() == ([b"b"], True)
    assert kept(journal) == []


def test_who_takes_turns_by_hand_loses_nothing_of_a_long_one() -> None:
    journal = opened(manual=True)
    hears(journal, *range(100))
    assert again(journal) == [str(number) for number in range(100)]


def test_turns_that_are_taken_by_the_service_again_are_kept_as_such() -> None:
    journal = opened(manual=True)
    hears(journal, *range(100))
    journal.manual = False
    hears(journal, 100)
    assert len(kept(journal)) == UNHEARD_MS / 100


def test_what_was_cleared_is_not_said_again() -> None:
    journal = opened()
    hears(journal, "a")
    journal.speech_started(0)
    journal.speech_stopped(50)
    says(journal, "clear", CLEAR)
    hears(journal, "b")
    journal.cleared()
    assert kept(journal) == ["b"]
    assert quiet(journal)
    # Nor is the end of what was cleared the end of what is said next.
    journal.speech_started(100)
    hears(journal, "c")
    assert journal.committed()[0] == [b"b", b"c"]


def test_a_clearing_that_nobody_asked_for_throws_nothing_away() -> None:
    journal = opened()
    hears(journal, "a")
    journal.cleared()
    assert kept(journal) == ["a"]


def test_the_services_clock_stands_while_sound_is_dropped_on_the_way() -> None:
    journal = opened()
    hears(journal, *range(10))
    journal.not_taken(300)
    journal.speech_started(200)  # by its own clock, which is behind by 300 ms
    assert kept(journal) == [str(number) for number in range(5, 10)]
    journal.speech_stopped(600)
    assert [int(frame) for frame in journal.committed()[0]] == [5, 6, 7, 8]


def test_another_connection_counts_from_what_it_is_sent_first() -> None:
    journal = opened()
    hears(journal, *range(150))
    assert again(journal) == [str(number) for number in range(50, 150)]
    hears(journal, *range(150, 155))
    journal.speech_started(10_100)
    assert kept(journal) == ["151", "152", "153", "154"]
    journal.speech_stopped(10_300)
    assert journal.committed()[0] == [b"151", b"152"]


def test_speech_said_again_survives_a_connection_that_is_lost_before_it_heard_it() -> None:
    journal = opened()
    hears(journal, *range(5))
    journal.speech_started(0)
    hears(journal, *range(5, 50))
    assert len(again(journal)) == 50
    hears(journal, 50)  # the new connection has said nothing yet
    assert not speaking(journal)
    assert again(journal) == [str(number) for number in range(51)]


def test_a_connection_that_hears_nothing_in_what_it_was_sent_again_makes_it_silence() -> None:
    journal = opened()
    journal.lost()
    hears(journal, *range(150))
    journal.reopened()
    hears(journal, *range(150, 249))
    assert len(kept(journal)) == 249
    hears(journal, 249, 250)
    assert kept(journal) == [str(number) for number in range(151, 251)]


def test_speech_that_waits_is_bounded_by_time_and_the_oldest_is_lost_first() -> None:
    journal = opened()
    journal.lost()
    lost = [journal.add(Unsettled(b"x", APPEND, audio_ms=1000)) for _ in range(65)]
    assert sum(lost) == 5000
    assert len(kept(journal)) == 60
    assert len(journal.reopened()) == 60


def test_speech_is_bounded_by_bytes_too_and_a_service_that_has_it_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITING_AUDIO_MAX_BYTES", 10)
    journal = opened(manual=True)
    lost = [journal.add(Unsettled(b"xxx", APPEND, audio_ms=100)) for _ in range(5)]
    assert lost == [0] * 5, "it was sent: only another connection could miss it"
    assert len(kept(journal)) == 3


def test_events_stand_where_they_stood_between_the_sounds() -> None:
    journal = opened()
    hears(journal, *range(8))
    says(journal, "item", CREATE, "mine")
    hears(journal, *range(8, 12))
    journal.lost()
    hears(journal, 12)
    says(journal, "ask", "response.create")
    says(journal, "cancel", "response.cancel")
    assert again(journal) == [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "item",
        "8",
        "9",
        "10",
        "11",
        "12",
        "ask",
        "cancel",
    ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("says"), st.sampled_from([*ANSWERED[:-2], *UNANSWERED])),
        st.tuples(st.just("hears"), st.integers(1, 900)),
        st.tuples(st.just("answers"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["lost", "reopened", "starts", "stops"]), st.none()),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
def test_whatever_happens_what_is_said_again_is_what_was_not_settled_once_and_in_order(
    steps: list[tuple[str, object]], manual: bool
) -> None:
    journal = opened(manual=manual)
    is_open = True
    said: list[str] = []  # all, in order
    controls: dict[str, str] = {}  # not answered yet, by kind
    new_ms: dict[str, int] = {}  # sound no connection has had
    turns: list[bytes] = []
    for number, (what, which) in enumerate(steps):
        name = f"{number}"
        if what == "says":
            said.append(name)
            says(journal, name, str(which))
            if which in ANSWERED or not is_open:
                controls[name] = str(which)
        elif what == "hears":
            said.append(name)
            assert isinstance(which, int)
            assert journal.add(Unsettled(name.encode(), APPEND, audio_ms=which)) == 0
            if not is_open:
                new_ms[name] = which
        elif what == "answers" and controls:
            assert isinstance(which, int)
            answered = list(controls)[which % len(controls)]
            taken = journal.take(answered)
            assert taken is not None
            assert taken.frame == answered.encode()
            del controls[answered]
        elif what == "lost":
            is_open = False
            journal.lost()
        elif what == "reopened":
            again_ = [entry.frame.decode() for entry in journal.reopened()]
            assert len(again_) == len(set(again_))
            assert again_ == [one for one in said if one in set(again_)], "in order"
            heard = {one for one in again_ if one not in controls}
            assert set(again_) - heard == set(controls)
            assert not heard & {turn.decode() for turn in turns}
            assert set(new_ms) <= heard
            is_open, new_ms = True, {}
            controls = {name: kind for name, kind in controls.items() if kind in ANSWERED}
        elif what == "starts" and is_open:
            journal.speech_started(0)
        elif what == "stops" and is_open and speaking(journal):
            frames, _ = journal.committed()
            turns += frames
    assert quiet(journal) == (not controls and not speaking(journal))
    assert len(turns) == len(set(turns))
