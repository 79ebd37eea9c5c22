"""Limits as clients meet them: how often one may come, how much one may have at once, how fast one may speak."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.conversation.limits import Limits
from server.cluster.base import Rate
from server.edge.allowances import Allowances
from server.security.pace import PaceBounds
from server.security.principal import PUBLIC, Allowance, Principal
from server.security.refusals import RateLimited
from server.transport.errors import HandshakeRefused
from tests.edge.roomy import roomy_allowances
from tests.session.house import Caller, House, house
from tests.session.service import Json, Line, converse

KEY = "a-key-of-enough-characters"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PACE = PaceBounds(events=Rate(10, 20), audio=Rate(2, 10))
PLACES = ("/ws", "/v1/realtime")


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.", ms=100)


async def opened(home: House, path: str, **kwargs: Any) -> Caller:
    if path == "/ws":
        return await home.opened({"type": "session.init", "token": KEY}, **kwargs)
    return await home.opened(path=path, headers=HEADERS, **kwargs)


async def refusal(caller: Caller) -> tuple[str, int | None, float | None]:
    error = (await caller.until("error"))["error"]
    return error["code"], await caller.closed(), error.get("retry_after")


async def refused(home: House, path: str) -> tuple[str, float]:
    """The code and the wait of a refusal: an HTTP status where all is known before the WebSocket is opened."""
    if path == "/ws":
        code, close, retry_after = await refusal(await home.caller({"type": "session.init", "token": KEY}))
        assert (close, retry_after is None) == (4429, False)
        return code, retry_after or 0
    with pytest.raises(HandshakeRefused) as caught:
        await home.caller(path=path, headers=HEADERS)
    assert caught.value.status == 429
    return msgspec.json.decode(caught.value.body_prefix)["error"]["code"], float(caught.value.headers["retry-after"])


def speech(seconds: float) -> dict[str, str]:
    return {"audio": base64.b64encode(bytes(int(48_000 * seconds))).decode()}


@pytest.mark.parametrize("path", PLACES)
async def test_who_sends_too_many_events_is_told_and_the_session_ends(autojump_clock: MockClock, path: str) -> None:
    allowances = roomy_allowances(pace=PACE)
    async with house(converse(answers), key=KEY, allowances=allowances, limits=Limits(resume_s=120)) as home:
        fast, slow = await opened(home, path), await opened(home, path)
        for _ in range(30):
            fast.send("response.cancel")
        code, close, retry_after = await refusal_of_rate(fast)
        assert (code, close) == ("event_rate_limit", 4429)
        assert retry_after == 1
        await trio.sleep(1)
        assert len(home.registry) == 1, "it does not wait for whoever broke the rule"
        slow.ask("Hello?")
        await slow.until("response.done")
    assert allowances.refusals.counts == {"event_rate_limit": 1}


async def refusal_of_rate(caller: Caller) -> tuple[str, int | None, float | None]:
    while True:
        error = (await caller.until("error"))["error"]
        if error["type"] == "rate_limit_error":
            return error["code"], await caller.closed(), error.get("retry_after")


@pytest.mark.parametrize("path", PLACES)
async def test_speech_faster_than_it_may_be_ends_the_session_and_at_its_speed_does_not(
    autojump_clock: MockClock, path: str
) -> None:
    async with house(converse(answers), key=KEY, allowances=roomy_allowances(pace=PACE)) as home:
        honest = await opened(home, path)
        for _ in range(200):
            honest.send("input_audio_buffer.append", **speech(0.1))
            await trio.sleep(0.1)
        assert honest.lost is None
        hasty = await opened(home, path)
        for _ in range(120):
            hasty.send("input_audio_buffer.append", **speech(0.1))
        code, close, retry_after = await refusal_of_rate(hasty)
        assert (code, close) == ("audio_rate_limit", 4429)
        assert retry_after is not None


async def taken(caller: Caller, seconds: int) -> int:
    """Of so many seconds of speech, how many were taken before the connection ended."""
    for number in range(seconds):
        caller.send("input_audio_buffer.append", **speech(1))
        await trio.testing.wait_all_tasks_blocked()
        if caller.lost is not None:
            return number
    return seconds


async def test_who_comes_back_to_its_session_has_no_other_burst(autojump_clock: MockClock) -> None:
    allowances = roomy_allowances(pace=PACE)
    async with house(converse(answers), key=KEY, allowances=allowances, limits=Limits(resume_s=120)) as home:
        caller = await opened(home, "/ws")
        began = trio.current_time()
        sent = 0
        for _ in range(40):
            sent += await taken(caller, 3)
            if caller.lost is not None:
                break
            session = caller.of("avatar.session")[-1]
            claim = {"session_id": session["session_id"], "token": session["resume_token"], "last_event_id": ""}
            caller.wire.close()
            await caller.gone.wait()
            await trio.sleep(0.1)
            caller = await home.caller({"type": "session.init", "token": KEY, "resume": claim})
            await caller.until("avatar.session")
        assert (await refusal_of_rate(caller))[:2] == ("audio_rate_limit", 4429)
        assert sent <= 1.05 * (10 + 2 * (trio.current_time() - began)) + 1


@pytest.mark.parametrize("path", PLACES)
async def test_who_begins_one_session_after_the_other_does_not_have_a_burst_with_each(
    autojump_clock: MockClock, path: str
) -> None:
    allowances = roomy_allowances(pace=PACE, default=Allowance(sessions=2))
    async with house(converse(answers), key=KEY, allowances=allowances) as home:
        sent, began = 0, trio.current_time()
        for _ in range(20):
            caller = await opened(home, path)
            sent += await taken(caller, 8)
            caller.leave()
            await caller.gone.wait()
            await trio.sleep(0.1)
        # Two at once, so two bursts and twice the rate; what is at most a second ahead is counted on nobody else.
        assert sent <= 1.05 * 2 * (10 + 2 * (trio.current_time() - began)) + 20 * 2
        assert allowances.refusals.counts["audio_rate_limit"] >= 10
        talking = await opened(home, path)
        for _ in range(100):  # who keeps to the speed of talking is let be, whoever else has sent too much
            talking.send("input_audio_buffer.append", **speech(0.1))
            await trio.sleep(0.1)
        assert talking.lost is None


async def test_new_sessions_of_an_address_have_a_rate_and_those_that_resume_do_not(autojump_clock: MockClock) -> None:
    allowances = roomy_allowances(sessions=Rate(0.1, 2))
    async with house(converse(answers), key=KEY, allowances=allowances, limits=Limits(resume_s=120)) as home:
        first = await opened(home, "/ws")
        session = first.of("avatar.session")[0]
        await opened(home, "/ws")
        late = await home.caller({"type": "session.init", "token": KEY})
        assert await refusal(late) == ("session_rate_limit", 4429, 10)
        with pytest.raises(HandshakeRefused) as caught:
            await home.caller(None, path="/v1/realtime", headers=HEADERS)
        assert caught.value.status == 429
        assert int(caught.value.headers["retry-after"]) <= 10
        claim = {"session_id": session["session_id"], "token": session["resume_token"], "last_event_id": ""}
        for _ in range(3):
            first.wire.close()
            await trio.sleep(0.1)
            first = await home.caller({"type": "session.init", "token": KEY, "resume": claim})
            claim["token"] = (await first.until("avatar.session"))["resume_token"]
            first.send("response.cancel")
            await trio.sleep(0.1)
        await trio.sleep(10)
        await opened(home, "/ws")


@pytest.mark.parametrize("path", PLACES)
async def test_an_account_has_so_many_sessions_at_once_waiting_ones_too(autojump_clock: MockClock, path: str) -> None:
    allowances = roomy_allowances(default=Allowance(sessions=2))
    async with house(converse(answers), key=KEY, allowances=allowances, limits=Limits(resume_s=30)) as home:
        first, second = await opened(home, path), await opened(home, path)
        assert (await refused(home, path))[0] == "session_limit"
        first.wire.close()
        await trio.sleep(1)
        if path == "/ws":  # its session waits for it
            assert (await refused(home, path))[0] == "session_limit"
        await trio.sleep(35)
        (await opened(home, path)).leave()
        second.leave()


@pytest.mark.parametrize("path", PLACES)
async def test_a_session_ends_with_the_minutes_of_the_day(autojump_clock: MockClock, path: str) -> None:
    allowances = roomy_allowances(default=Allowance(minutes_per_day=2))
    async with house(converse(answers), key=KEY, allowances=allowances, limits=Limits(resume_s=60)) as home:
        began = trio.current_time()
        caller = await opened(home, path)
        with trio.fail_after(200):
            await caller.gone.wait()
        assert 90 <= trio.current_time() - began <= 121
        (error,) = caller.of("error")
        assert caller.lost is not None
        assert caller.lost.code == 4429
        assert error["error"]["retry_after"] > 60
        code, retry_after = await refused(home, path)
        assert code == "daily_minutes_limit"
        assert retry_after > 60


async def _enter(allowances: Allowances, principal: Principal, address: str = "1.2.3.4") -> Any:
    room = allowances.room(principal, address)(lambda _fault: None)
    await room.__aenter__()
    return room


def principal(name: str, minted_by: str | None = None, sessions: int | None = None) -> Principal:
    kind: Any = "ticket" if minted_by else "key"
    return Principal(name, name, kind, frozenset({"talk"}), allowance=Allowance(sessions), minted_by=minted_by)


async def test_what_was_minted_is_counted_on_itself_and_on_its_minter(autojump_clock: MockClock) -> None:
    minter = principal("key:1", sessions=2)

    def of(who: Principal) -> Mapping[str, Allowance]:
        found = {who.id: who.allowance}
        return {**found, "key:1": minter.allowance} if who.minted_by else found

    allowances = roomy_allowances(of=of)
    one, other = principal("t1", "key:1", sessions=1), principal("t2", "key:1")
    room = await _enter(allowances, one)
    with pytest.raises(RateLimited):
        await _enter(allowances, one)
    rooms = [room, await _enter(allowances, other)]
    with pytest.raises(RateLimited):
        await _enter(allowances, minter)
    for taken in rooms:
        await taken.__aexit__(None, None, None)
    await (await _enter(allowances, minter)).__aexit__(None, None, None)


async def test_where_anybody_may_come_in_an_address_is_an_account(autojump_clock: MockClock) -> None:
    allowances = roomy_allowances(default=Allowance(sessions=1))
    rooms = [await _enter(allowances, PUBLIC, "1.2.3.4"), await _enter(allowances, PUBLIC, "1.2.3.5")]
    with pytest.raises(RateLimited):
        await _enter(allowances, PUBLIC, "1.2.3.4")
    for room in rooms:
        await room.__aexit__(None, None, None)
