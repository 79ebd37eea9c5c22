"""The registry: how many, all together, and what becomes of one session when another fails."""

import pytest
import trio
import trio.testing

from protocol.conversation.machine import Conversation
from protocol.endings import EndReason
from server.session.session import Session
from server.transport.errors import HandshakeRefused
from tests.session.house import Caller, house
from tests.session.service import HANGS, Json, Line, converse


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.", ms=2000, gap_s=0.1)


async def turned_away(caller: Caller) -> tuple[str, int | None]:
    """The code of the error and the close code behind it."""
    error = await caller.until("error")
    return error["error"]["code"], await caller.closed()


async def test_stopping_ends_every_session_with_a_word(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        callers = [await home.opened(path=path) for path in ("/ws", "/v1/realtime", "/ws")]
        callers[0].ask("Hello?")
        await callers[0].until("response.output_audio.delta")
        home.registry.stop(EndReason.GOING_AWAY, EndReason.GOING_AWAY.text)
        for caller in callers:
            assert await turned_away(caller) == ("going_away", 1001)
        await trio.sleep(1)
        assert len(home.registry) == 0
        assert [line.lost.code for line in home.service.lines if line.lost] == [1000] * 3
        assert await turned_away(await home.caller()) == ("going_away", 1001)
    assert home.endings == ["going_away"] * 3


async def test_no_room(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), max_sessions=2) as home:
        callers = [await home.opened() for _ in range(2)]
        assert await turned_away(await home.caller()) == ("overloaded", 1013)
        with pytest.raises(HandshakeRefused) as refusal:
            await home.caller(path="/v1/realtime")
        assert (refusal.value.status, refusal.value.headers["retry-after"]) == (503, "10")
        page = await home.caller(path="/v1/realtime", subprotocols=("realtime", "openai-insecure-api-key.any"))
        assert (await page.until("error"))["error"]["retry_after"] == 10.0
        assert await page.closed() == 1013
        assert home.admission._allowances.refusals.counts == {"overloaded": 3}
        callers[0].leave()
        await trio.sleep(1)
        await home.opened()


async def test_room_is_counted_once_while_sessions_open(autojump_clock: trio.testing.MockClock) -> None:
    """As many may open at the same moment as there is room for, and not one more."""
    async with house(converse(answers), max_sessions=5, furnish_s=1.0) as home:
        callers = [await home.caller() for _ in range(7)]
        await trio.sleep(2)
        assert len(home.registry) == 5
        assert sum("session.created" in caller.types() for caller in callers) == 5
        assert sum(caller.types() == ["error"] for caller in callers) == 2


async def test_an_unknown_knowledge_base(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), max_sessions=1) as home:
        for init in ({"kb_id": "nowhere"}, {"kb_id": "../../etc"}):
            assert await turned_away(await home.caller(init)) == ("unknown_knowledge_base", 4404)
        with pytest.raises(HandshakeRefused) as refusal:
            await home.caller(path="/v1/realtime?kb_id=nowhere")
        assert refusal.value.status == 404
        assert home.admission._allowances.refusals.counts == {"unknown_knowledge_base": 3}
        await home.opened()  # nothing was counted for those


async def test_stopping_while_a_session_is_furnished(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), furnish_s=3.0) as home:
        caller = await home.caller()
        await trio.sleep(1)
        home.registry.stop(EndReason.GOING_AWAY, EndReason.GOING_AWAY.text)
        assert await turned_away(caller) == ("going_away", 1001)
        await trio.sleep(5)
        assert home.service.attempts == []


@pytest.mark.parametrize("after_steps", range(12))
async def test_stopping_while_a_session_opens(autojump_clock: trio.testing.MockClock, after_steps: int) -> None:
    async with house(HANGS) as home:
        caller = await home.caller()
        for _ in range(after_steps):
            await trio.lowlevel.cancel_shielded_checkpoint()
        home.registry.stop(EndReason.GOING_AWAY, EndReason.GOING_AWAY.text)
        assert await turned_away(caller) == ("going_away", 1001)
        await trio.sleep(1)
        assert len(home.registry) == 0


class Broken(Exception):
    """A fault of ours."""


@pytest.mark.parametrize("entry", ["on_client", "on_upstream", "on_result", "on_deadline", "on_upstream_open"])
async def test_a_fault_of_ours_ends_one_session_with_1011(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    async def searches(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"x"}'))

    async def mute(line: Line) -> None:
        await trio.sleep_forever()

    def fails(*_args: object, **_kwargs: object) -> None:
        raise Broken("of our making, with a secret in it")

    bystander_script, victim_script = converse(answers), mute if entry == "on_deadline" else converse(searches)
    async with house(bystander_script, victim_script) as home:
        bystander = await home.opened()
        other = Conversation.__init__
        made: list[Conversation] = []

        def remembered(self: Conversation, *args: object, **kwargs: object) -> None:
            other(self, *args, **kwargs)  # type: ignore[arg-type]
            made.append(self)
            monkeypatch.setattr(self, entry, fails)

        monkeypatch.setattr(Conversation, "__init__", remembered)
        victim = await home.caller()
        await trio.sleep(0.1)
        if victim.lost is None:
            victim.ask("Hello?")
        error, code = await turned_away(victim)
        assert error == "internal"
        assert code == 1011
        assert "secret" not in str(victim.events)
        await trio.sleep(3)
        assert home.endings == ["internal"]
        assert len(home.registry) == 1
        bystander.ask("Hello?")
        await bystander.until("response.done")


async def test_a_fault_even_in_the_ending_leaves_the_server_standing(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object, **_kwargs: object) -> None:
        raise Broken

    async with house(converse(answers)) as home:
        bystander = await home.opened()
        monkeypatch.setattr(Conversation, "on_client", fails)
        monkeypatch.setattr(Conversation, "on_end", fails)
        victim = await home.opened()
        victim.ask("Hello?")
        assert await victim.closed() == 1011
        monkeypatch.undo()
        bystander.ask("Hello?")
        await bystander.until("response.done")


@pytest.mark.parametrize("task", ["_azure_reader", "_tool_executor", "_clock"])
async def test_a_vital_task_that_stops_ends_the_session(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    async def returns_early(_session: Session) -> None:
        await trio.sleep(1)

    monkeypatch.setattr(Session, task, returns_early)
    async with house(converse(answers)) as home:
        caller = await home.caller()
        assert await turned_away(caller) == ("internal", 1011)
        await trio.sleep(1)
        assert len(home.registry) == 0
    assert home.endings == ["internal"]


async def test_a_client_whose_connection_is_cancelled_leaves_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        await home.opened()
        home.connections[0].cancel()
        await trio.sleep(10)
        assert len(home.registry) == 0
        assert home.endings == ["client_lost"]
