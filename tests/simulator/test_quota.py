"""A sliding minute of handshakes."""

from hypothesis import given
from hypothesis import strategies as st

from server.simulator.quota import WINDOW_SECONDS, Quota


def test_so_many_a_minute_and_then_the_time_to_wait() -> None:
    quota = Quota(2)
    assert [quota.take(now) for now in (0.0, 10.0, 20.0, 59.5)] == [None, None, 40, 1]
    assert quota.take(60.0) is None
    assert quota.take(60.0) == 10


def test_without_a_limit_nothing_is_counted() -> None:
    quota = Quota(0)
    assert {quota.take(0.0) for _ in range(1000)} == {None}


@given(st.integers(1, 5), st.lists(st.floats(0, 20), max_size=40))
def test_no_minute_holds_more_than_its_share_and_who_waits_gets_in(limit: int, pauses: list[float]) -> None:
    quota, now, taken = Quota(limit), 0.0, []
    for pause in pauses:
        now += pause
        wait = quota.take(now)
        if wait is None:
            taken.append(now)
        else:
            assert 1 <= wait <= WINDOW_SECONDS
    assert all(later - earlier > WINDOW_SECONDS - 1e-6 for earlier, later in zip(taken, taken[limit:], strict=False))
