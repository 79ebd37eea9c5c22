import base64
import json
from typing import Any

import pytest

from server.cluster.base import Rate
from server.cluster.in_process import LocalRates
from server.security.pace import MIN_APPEND_S, AccountPace, ClientPace, PaceBounds
from server.security.refusals import RateLimited
from tests.clocks import Clock

BOUNDS = PaceBounds(events=Rate(10, 20), audio=Rate(2, 5))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> ClientPace:
    return ClientPace(BOUNDS, clock=clock)


def event(type_: str, **fields: Any) -> bytes:
    return json.dumps({"type": type_, **fields}).encode()


def append(seconds: float, bytes_per_s: int = 48_000) -> bytes:
    return event("input_audio_buffer.append", audio=base64.b64encode(bytes(int(seconds * bytes_per_s))).decode())


def admitted(pace: ClientPace, frame: bytes) -> bool:
    try:
        pace.check(frame)
    except RateLimited:
        return False
    return True


def test_events_faster_than_the_rate_are_refused_with_the_time_to_wait(pace: ClientPace) -> None:
    for _ in range(20):
        pace.check(event("response.cancel"))
    with pytest.raises(RateLimited) as caught:
        pace.check(event("response.cancel"))
    assert caught.value.code == "event_rate_limit"
    assert caught.value.retry_after_s == 1
    assert caught.value.reason.close_code() == 4429


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b"\xff\xfe", b'{"type":7}', b'{"type":"no.such.event"}', b"null"])
def test_what_is_no_event_counts_as_one(frame: bytes, pace: ClientPace) -> None:
    assert sum(admitted(pace, frame) for _ in range(100)) == 20


def test_a_large_event_counts_as_several_and_one_of_any_size_may_be_sent(pace: ClientPace, clock: Clock) -> None:
    assert admitted(pace, event("conversation.item.create", item="x" * 20 * 2**20))
    assert not admitted(pace, event("response.cancel"))
    clock.now += 100
    assert sum(admitted(pace, event("conversation.item.create", item="x" * 2**18)) for _ in range(20)) == 4


def test_speech_is_counted_by_its_length_and_not_among_the_events(pace: ClientPace, clock: Clock) -> None:
    said_s = 0.0
    for _ in range(3000):
        clock.now += 0.01
        said_s += 0.1 * admitted(pace, append(0.1))
    allowed = 2 * 30
    assert 0.95 * allowed <= said_s <= 1.05 * allowed + 5
    pace.check(event("response.create"))


def test_speech_at_the_speed_of_talking_is_never_refused(pace: ClientPace, clock: Clock) -> None:
    for _ in range(1000):
        clock.now += 0.02
        pace.check(append(0.02))


def test_control_events_flood_within_five_per_cent(pace: ClientPace, clock: Clock) -> None:
    count = 0
    for _ in range(30_000):
        clock.now += 0.001
        count += admitted(pace, event("response.cancel"))
    assert 0.95 * 300 <= count <= 1.05 * 300 + 20


def test_empty_appends_are_bounded_by_their_number(pace: ClientPace) -> None:
    assert sum(admitted(pace, append(0)) for _ in range(10_000)) <= 5 / MIN_APPEND_S + 1


def test_an_append_that_is_mostly_something_else_counts_by_its_bytes(pace: ClientPace) -> None:
    padded = event("input_audio_buffer.append", audio="AAAA", padding="x" * 48_000)
    assert sum(admitted(pace, padded) for _ in range(100)) <= 5


def test_an_append_without_sound_is_an_event(pace: ClientPace) -> None:
    assert sum(admitted(pace, event("input_audio_buffer.append")) for _ in range(100)) == 20


@pytest.mark.parametrize(
    "session",
    [
        {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
        {"input_audio_format": "g711_alaw"},
    ],
)
def test_speech_of_a_telephone_is_counted_in_its_own_format(session: dict[str, Any], clock: Clock) -> None:
    pace = ClientPace(BOUNDS, clock=clock)
    pace.check(event("session.update", session=session))
    assert sum(admitted(pace, append(1.0, 8_000)) for _ in range(20)) == 5


@pytest.mark.parametrize("session", [None, 7, [], {}, {"audio": None}, {"audio": {"input": {"format": 7}}}])
def test_an_update_that_makes_no_sense_changes_nothing(session: Any, pace: ClientPace) -> None:
    pace.check(event("session.update", session=session))
    assert sum(admitted(pace, append(1.0)) for _ in range(20)) == 5


def test_a_format_counts_when_it_holds_and_the_dearer_one_while_that_is_not_known(clock: Clock) -> None:
    pace, holds = ClientPace(PaceBounds(events=Rate(10, 20), audio=Rate(2, 300)), clock=clock), [48]
    pace.follow(lambda: holds[0])

    def costs() -> float:
        before = pace._audio.ahead_s(clock.now)
        pace.check(append(1.0, 8_000))
        return round((pace._audio.ahead_s(clock.now) - before) * 2, 3)

    pace._audio.take(1, clock.now)
    pace.check(event("session.update", session={"input_audio_format": "g711_ulaw"}))
    assert costs() == 1
    holds[0] = 8
    clock.now += 20
    pace._audio.take(1, clock.now)
    refused = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24_000}}}, "no_such_field": 1}
    pace.check(event("session.update", session=refused))
    assert costs() == 1, "what was asked for and is not in force makes nothing cheaper"
    clock.now += 20
    pace._audio.take(1, clock.now)
    holds[0] = 48
    assert costs() == pytest.approx(1 / 6, abs=0.01)


def test_what_exceeds_the_steady_rate_is_counted_on_the_accounts_too(clock: Clock) -> None:
    rates = LocalRates(clock=clock)

    def another() -> ClientPace:
        accounts = [AccountPace(rates, name, BOUNDS, sessions=2) for name in ("ticket", "site")]
        return ClientPace(BOUNDS, clock=clock, accounts=accounts)

    def sent() -> int:
        pace = another()
        return sum(admitted(pace, event("response.cancel")) for _ in range(30))

    steadily = another()
    # Two sessions' bursts are 40 events; ten of each session are no burst yet.
    assert [sent() for _ in range(6)] == [20, 20, 20, 20, 10, 10]
    for _ in range(100):
        assert admitted(steadily, event("response.cancel"))
        clock.now += 0.1


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,", " :")])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4800, 4801])
def test_plain_appends_are_counted_as_decoded_ones(separators: tuple[str, str], size: int) -> None:
    counted = []
    for more in ({}, {"event_id": "e"}):
        clock = Clock()
        pace = ClientPace(PaceBounds(events=Rate(1, 1), audio=Rate(1, 5)), clock=clock)
        sound = {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(size)).decode(), **more}
        frame = json.dumps(sound, separators=separators).encode()
        counted.append(sum(admitted(pace, frame) for _ in range(1200)))
    assert abs(counted[0] - counted[1]) <= 1


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"input_audio_buffer.append","audio":"AAAA","type":"response.cancel"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA","type":"x"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA"}}',
        b'{"type":"input_audio_buffer.append","audio":"AA\\"AA"}',
    ],
)
def test_what_only_looks_like_speech_counts_as_an_event(frame: bytes, pace: ClientPace) -> None:
    assert sum(admitted(pace, frame) for _ in range(2000)) <= 5 / MIN_APPEND_S + 1
    if b'type":"response' in frame:
        assert sum(admitted(pace, event("response.cancel")) for _ in range(100)) == 0
