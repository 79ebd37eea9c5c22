import trio
from trio.testing import MockClock

from bench.pace import keep_pace
from bench.stamps import Outgoing


async def test_a_late_frame_does_not_delay_the_next(autojump_clock: MockClock) -> None:
    begin = trio.current_time() + 1
    moments: list[float] = []
    sent = Outgoing()

    async def send(number: int) -> None:
        moments.append(round(trio.current_time() - begin, 6))
        if number == 1:
            await trio.sleep(0.15)

    await keep_pace(send, begin_at=begin, sent=sent, stopped=lambda: len(moments) == 5)
    assert moments == [0.0, 0.1, 0.25, 0.3, 0.4]
    assert sent.count == 5
    assert [round(ms) for ms in sent.lateness_ms] == [0, 0, 50, 0, 0]
