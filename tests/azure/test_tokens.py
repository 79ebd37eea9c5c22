"""Tokens are there before they are needed, asked for once for all, and kept while they last; on a virtual clock."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from azure.core.credentials import TokenRequestOptions

from server.azure.base import AzureFault, Token
from server.azure.tokens import FRESH_S, MAX_PAUSE_S, MIN_INTERVAL_S, TokenSource
from server.secret import Secret

SCOPE = "https://cognitiveservices.azure.com/.default"
EPOCH_S = 1_800_000_000.0


def down(*, retryable: bool = True, retry_after_s: float | None = None) -> AzureFault:
    return AzureFault(
        "Down.", code="azure_identity_unreachable", settings=("X",), retryable=retryable, retry_after_s=retry_after_s
    )


class FakeIdentity:
    """Gives numbered tokens, or the faults it was given; an answer takes a moment of virtual time."""

    name = "fake"

    def __init__(self) -> None:
        self.lifetime_s = 3600.0
        self.refresh_in_s: float | None = None
        self.fault: AzureFault | None = None
        self.delay_s = 0.1
        self.asked_at: list[float] = []
        self.options: list[TokenRequestOptions | None] = []
        self.at_once = 0

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        assert scope == SCOPE
        assert self.at_once == 0, "one request at a time"
        self.at_once += 1
        number = len(self.asked_at)
        self.asked_at.append(trio.current_time())
        self.options.append(options)
        try:
            await trio.sleep(self.delay_s)
        finally:
            self.at_once -= 1
        if self.fault is not None:
            raise self.fault
        refresh_on = None if self.refresh_in_s is None else wall() + self.refresh_in_s
        return Token(Secret(f"token-{number}"), wall() + self.lifetime_s, refresh_on)


def wall() -> float:
    return EPOCH_S + trio.current_time()


@pytest.fixture
def identity() -> FakeIdentity:
    return FakeIdentity()


@asynccontextmanager
async def going(identity: FakeIdentity, *, now: Callable[[], float] = wall) -> AsyncIterator[TokenSource]:
    source = TokenSource(identity, SCOPE, now=now, chance=lambda: 0.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run)
        yield source
        nursery.cancel_scope.cancel()


async def test_it_is_got_before_anybody_asks(identity: FakeIdentity, autojump_clock: trio.testing.MockClock) -> None:
    async with going(identity) as source:
        await trio.sleep(1)
        before = trio.current_time()
        assert (await source.token()).reveal() == "token-0"
        assert trio.current_time() == before
        assert len(identity.asked_at) == 1


async def test_fifty_callers_share_one_request(identity: FakeIdentity, autojump_clock: trio.testing.MockClock) -> None:
    got: list[str] = []

    async def call(source: TokenSource) -> None:
        got.append((await source.token()).reveal())

    async with going(identity) as source:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(call, source)
        assert got == ["token-0"] * 50
        assert len(identity.asked_at) == 1


async def test_a_caller_that_is_cancelled_harms_nobody(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    async with going(identity) as source:
        with trio.move_on_after(0.05) as impatient:
            await source.token()
        assert impatient.cancelled_caught
        assert (await source.token()).reveal() == "token-0"
        assert len(identity.asked_at) == 1


async def test_a_caller_waits_no_longer_than_it_says(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.delay_s = 100
    async with going(identity) as source:
        with pytest.raises(AzureFault, match="within 2 seconds") as raised:
            await source.token(timeout_s=2)
        assert trio.current_time() == pytest.approx(2)
        assert raised.value.retryable


async def test_it_is_renewed_at_four_fifths_of_its_life(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    async with going(identity) as source:
        await trio.sleep(3600 * 10)
        assert len(identity.asked_at) == 13
        steps = [later - earlier for earlier, later in zip(identity.asked_at, identity.asked_at[1:], strict=False)]
        assert steps == pytest.approx([0.8 * 3600 + 0.1] * 12)
        assert (await source.token()).reveal() == "token-12"


async def test_the_issuer_may_say_when_to_renew(identity: FakeIdentity, autojump_clock: trio.testing.MockClock) -> None:
    identity.lifetime_s, identity.refresh_in_s = 86400, 43200
    async with going(identity):
        await trio.sleep(43201)
        assert identity.asked_at == pytest.approx([0, 43200.1])


async def test_nobody_ever_waits_while_it_is_renewed(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.delay_s = 5
    async with going(identity) as source:
        await trio.sleep(6)
        for _ in range(1000):
            await trio.sleep(11)
            before = trio.current_time()
            await source.token()
            assert trio.current_time() == before


async def test_an_old_one_is_used_while_the_identity_is_down(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    async with going(identity) as source:
        await trio.sleep(10)
        identity.fault = down()
        await trio.sleep(3580)
        assert len(identity.asked_at) > 5
        assert (await source.token()).reveal() == "token-0"
        await trio.sleep(20)
        with pytest.raises(AzureFault, match="Down") as raised:
            await source.token()
        assert raised.value.settings == ("X",)
        identity.fault = None
        await trio.sleep(MAX_PAUSE_S + 1)
        newest = len(identity.asked_at) - 1
        assert (await source.token()).reveal() == f"token-{newest}"


async def test_failures_are_followed_by_longer_and_longer_pauses(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.delay_s = 0
    async with going(identity):
        await trio.sleep(1)
        identity.fault = down()
        await trio.sleep(3000)
        steps = [later - earlier for earlier, later in zip(identity.asked_at[1:], identity.asked_at[2:], strict=False)]
        assert steps[:8] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30][: len(steps)])


async def test_what_will_not_pass_is_not_asked_often(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.fault = down(retryable=False)
    async with going(identity) as source:
        for _ in range(600):
            with pytest.raises(AzureFault):
                await source.token()
            await trio.sleep(1)
        assert len(identity.asked_at) < 30


async def test_who_asks_during_a_pause_is_told_at_once_and_when_to_come_back(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.fault = down(retry_after_s=30)
    async with going(identity) as source:
        await trio.sleep(10.1)
        before = trio.current_time()
        with pytest.raises(AzureFault) as raised:
            await source.token()
        assert trio.current_time() == before
        assert raised.value.retry_after_s == pytest.approx(20)
        assert len(identity.asked_at) == 1
        identity.fault = None
        await trio.sleep(20.2)
        assert (await source.token()).reveal() == "token-1"


async def test_each_caller_gets_a_fault_of_its_own(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.fault = down()
    faults: list[AzureFault] = []

    async def call(source: TokenSource) -> None:
        with pytest.raises(AzureFault) as raised:
            await source.token()
        faults.append(raised.value)

    async with going(identity) as source:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(call, source)
        assert len({id(fault) for fault in faults}) == 5
        assert {fault.message for fault in faults} == {"Down. Look at X."}
        assert len(identity.asked_at) == 1


async def test_an_issuer_that_gives_the_same_one_again_is_not_asked_all_the_time(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    ends = 200.0

    async def request(scope: str, options: TokenRequestOptions | None = None) -> Token:
        identity.asked_at.append(trio.current_time())
        nonlocal ends
        if ends - trio.current_time() < 5:
            ends += 200
        return Token(Secret(f"until-{ends:g}"), EPOCH_S + ends)

    identity.request = request  # type: ignore[method-assign]
    async with going(identity) as source:
        for _ in range(1990):
            await trio.sleep(0.1)
            await source.token()
        assert len(identity.asked_at) < 200 / MIN_INTERVAL_S + 3
        await trio.sleep(1.1)
        assert (await source.token()).reveal() == "until-400"


async def test_a_machine_that_slept_does_not_use_what_has_expired(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    asleep_s = 0.0
    async with going(identity, now=lambda: wall() + asleep_s) as source:
        await trio.sleep(10)
        asleep_s = 3600.0
        identity.lifetime_s += asleep_s
        assert (await source.token()).reveal() == "token-1"
        await trio.sleep(MIN_INTERVAL_S + 1)
        asleep_s += 3600 - MIN_INTERVAL_S - FRESH_S
        identity.lifetime_s += asleep_s
        assert (await source.token()).reveal() == "token-2"


async def test_a_token_that_has_expired_on_arrival_is_a_fault(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    identity.lifetime_s = -5
    async with going(identity) as source:
        with pytest.raises(AzureFault, match="clock"):
            await source.token()


async def test_a_claims_challenge_is_answered_with_a_token_of_its_own(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    async with going(identity) as source:
        assert (await source.request(SCOPE)).secret.reveal() == "token-0"
        assert (await source.request(SCOPE, {"claims": "{}", "enable_cae": True})).secret.reveal() == "token-1"
        assert identity.options == [None, {"claims": "{}", "enable_cae": True}]
        assert (await source.request(SCOPE)).secret.reveal() == "token-0"
        with pytest.raises(ValueError, match="other"):
            await source.request("https://other/.default")


async def test_a_change_is_logged_once_and_no_token_ever(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    with structlog.testing.capture_logs() as log:
        async with going(identity):
            await trio.sleep(10)
            identity.fault = down()
            await trio.sleep(3500)
            identity.fault = None
            await trio.sleep(3600)
    assert [entry["event"] for entry in log] == ["azure token not renewed", "azure token renewed again"]
    assert [entry["log_level"] for entry in log] == ["warning", "info"]
    assert "token-" not in str(log)


async def test_a_clock_that_is_set_back_keeps_no_token_alive(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    offset = 0.0
    async with going(identity, now=lambda: wall() + offset) as source:
        await source.token()
        offset = -7200.0
        await trio.sleep(identity.lifetime_s + 1)
        assert (await source.token()).reveal() != "token-0"
        assert len(identity.asked_at) == 2


async def test_a_token_that_a_service_refuses_is_replaced_but_not_one_that_was_just_given(
    identity: FakeIdentity, autojump_clock: trio.testing.MockClock
) -> None:
    async with going(identity) as source:
        first = await source.token()
        assert not source.refused(first)
        await trio.sleep(MIN_INTERVAL_S + 1)
        assert source.refused(first)
        second = await source.token()
        assert second.reveal() == "token-1"
        # Who was refused with the old one meanwhile only needs to ask again.
        assert source.refused(first)
        assert await source.token() is second
