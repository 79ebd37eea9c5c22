import structlog
import trio
from trio.testing import MockClock

from server.security.refusals import ELSEWHERE, MAX_ADDRESSES, SUMMED_UP_S, Refusals


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_refusal_is_counted_by_its_code() -> None:
    refusals = Refusals(clock=Clock())
    for code in ("b", "a", "b"):
        refusals.note(code, "1.2.3.4")
    refusals.count("c")
    assert refusals.counts == {"a": 1, "b": 2, "c": 1}


def test_of_one_address_the_first_is_a_line_and_the_rest_one_a_minute() -> None:
    clock = Clock()
    refusals = Refusals(clock=clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(1000):
            refusals.note("slow_down", "1.2.3.4")
            clock.now += 0.01
        assert [line["event"] for line in lines] == ["refused"]
        clock.now = SUMMED_UP_S
        refusals.flush()
        assert lines[1]["event"] == "refused repeatedly"
        assert lines[1]["slow_down"] == 999
        refusals.note("slow_down", "1.2.3.4")
        assert len(lines) == 2, "an address that goes on gets no first line again"
        clock.now += SUMMED_UP_S
        refusals.flush()
        assert lines[2]["slow_down"] == 1
        clock.now += SUMMED_UP_S
        refusals.flush()
        assert len(lines) == 3, "and it is forgotten when it stops"
        refusals.note("slow_down", "1.2.3.4")
        assert lines[3]["event"] == "refused"


def test_a_hundred_thousand_addresses_are_a_few_hundred_lines() -> None:
    clock = Clock()
    refusals = Refusals(clock=clock)
    with structlog.testing.capture_logs() as lines:
        for number in range(100_000):
            refusals.note("slow_down", f"address {number}")
        clock.now = SUMMED_UP_S
        refusals.flush()
    assert len(lines) == MAX_ADDRESSES + 2
    assert lines[-1]["address"] == ELSEWHERE
    assert lines[-1]["slow_down"] == 100_000 - MAX_ADDRESSES - 1
    assert refusals.counts == {"slow_down": 100_000}


async def test_sums_are_said_without_another_refusal_and_at_the_end(autojump_clock: MockClock) -> None:
    refusals = Refusals()
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refusals.run)
            refusals.note("a", "1.2.3.4")
            refusals.note("a", "1.2.3.4")
            await trio.sleep(SUMMED_UP_S + 15)
            assert [line["event"] for line in lines] == ["refused", "refused repeatedly"]
            refusals.note("a", "1.2.3.4")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in lines] == ["refused", "refused repeatedly", "refused repeatedly"]
