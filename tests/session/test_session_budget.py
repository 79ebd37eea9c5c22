"""Many sessions of one principal spend one budget: together no more than it has, and one response."""

import itertools
from collections.abc import Awaitable, Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import trio

from server.app.budgets import ALL, Budgets
from server.cluster.budgets import Budget, Tab
from server.cluster.in_process_budgets import InProcessBudgets
from server.security.principal import Principal
from server.settings import Settings
from server.transport.errors import HandshakeRefused
from tests.edge.roomy import own_name_only
from tests.session.house import WALL, House, house
from tests.session.service import Json, Line, Script

BUDGET = Decimal(60)
SESSIONS = 100
MODEL = "gpt-realtime"
# US dollars per token of this model: sound read and written, text read.
SOUND_READ, SOUND_WRITTEN, TEXT_READ = Decimal("0.000032"), Decimal("0.000064"), Decimal("0.000004")
LONGEST = 4096
INSTRUCTIONS_TOKENS = 80
# Of one thing that a person says.
SPEECH_TOKENS = 30


class Bill:
    """What all connections of the service billed, by an arithmetic of its own."""

    def __init__(self) -> None:
        self.responses: list[Decimal] = []
        self.unasked = 0
        self.lines = itertools.count()

    @property
    def usd(self) -> Decimal:
        return sum(self.responses, Decimal(0))


class Model:
    """One connection to a model that reads everything again each time, and talks as long as it may."""

    def __init__(self, line: Line, bill: Bill, random: Random, *, talkative: bool) -> None:
        self.line, self.bill, self.random, self.talkative = line, bill, random, talkative
        self.sound = 0
        self.count = 0
        self.is_answering = False

    def session(self) -> Json:
        found: Json = self.line.session
        return found

    async def live(self) -> None:
        self.line.send("session.created", session={"type": "realtime", "id": "sess_1", "model": MODEL})
        self.line.nursery.start_soon(self._person)
        while True:
            event = await self.line.receive()
            match event["type"]:
                case "session.update":
                    self.line.confirm(event)
                case "response.create":
                    if self.is_answering:
                        error = {"type": "invalid_request_error", "code": "conversation_already_has_active_response"}
                        self.line.send("error", error={**error, "message": "", "event_id": event.get("event_id")})
                    else:
                        self.is_answering = True
                        self.line.nursery.start_soon(self._answer, event.get("response") or {})

    async def _person(self) -> None:
        """Somebody who says the next thing as soon as an answer is over."""
        while True:
            await trio.sleep(self.random.choice((0.3, 0.6, 1.5)))
            if self.is_answering:
                continue
            self.count += 1
            item_id = f"user_{self.count}"
            self.sound += SPEECH_TOKENS
            self.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
            self.line.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id=item_id)
            self.line.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
            self.line.place({"id": item_id, "type": "message", "role": "user", "status": "completed", "content": []})
            detection = self.session().get("audio", {}).get("input", {}).get("turn_detection") or {}
            if detection.get("create_response") is not False:
                self.bill.unasked += 1
                self.is_answering = True
                self.line.nursery.start_soon(self._answer, {})

    async def _answer(self, params: Json) -> None:
        self.count += 1
        response_id = f"resp_{self.count}"
        self.line.begin(response_id, metadata=params.get("metadata"))
        await trio.sleep(self.random.choice((0.1, 0.5)))
        most: Any = params.get("max_output_tokens", self.session().get("max_output_tokens", "inf"))
        most = LONGEST if most == "inf" else min(int(most), LONGEST)
        written = most if self.talkative else min(most, self.random.randrange(100, 600))
        read = 0 if "input" in params else self.sound
        usage = {
            "total_tokens": INSTRUCTIONS_TOKENS + read + written,
            "input_tokens": INSTRUCTIONS_TOKENS + read,
            "output_tokens": written,
            "input_token_details": {"text_tokens": INSTRUCTIONS_TOKENS, "audio_tokens": read},
            "output_token_details": {"audio_tokens": written},
        }
        self.bill.responses.append(INSTRUCTIONS_TOKENS * TEXT_READ + read * SOUND_READ + written * SOUND_WRITTEN)
        self.sound = min(self.sound + written, 28_672)
        self.is_answering = False
        response = {"id": response_id, "object": "realtime.response", "status": "completed", "status_details": None}
        told: Json = {"output": [], "conversation_id": "conv_1", "usage": usage, "metadata": params.get("metadata")}
        self.line.send("response.done", response={**response, **told})


def talking(bill: Bill, *, talkative: bool) -> Script:
    async def script(line: Line) -> None:
        await Model(line, bill, Random(next(bill.lines)), talkative=talkative).live()

    return script


def budgeted(money: InProcessBudgets, *budgets: Budget) -> Callable[[Principal], Awaitable[Tab | None]]:
    async def tab(principal: Principal) -> Tab | None:
        return money.open(budgets)

    return tab


def shared_money() -> InProcessBudgets:
    return InProcessBudgets(wall=lambda: WALL + trio.current_time())


async def talk_until_over(home: House, sessions: int) -> None:
    async with trio.open_nursery() as callers:
        for _ in range(sessions):
            callers.start_soon(home.caller)
    await home.ended(sessions)


@pytest.mark.parametrize("talkative", [True, False], ids=["as long as it may", "as people talk"])
async def test_a_hundred_sessions_of_one_principal_spend_no_more_than_its_budget_and_one_response(
    autojump_clock: trio.testing.MockClock, talkative: bool
) -> None:
    money, bill = shared_money(), Bill()
    budget = Budget("principal", "principal:anna", BUDGET)
    async with house(
        talking(bill, talkative=talkative), max_sessions=SESSIONS, budgets=budgeted(money, budget)
    ) as home:
        await talk_until_over(home, SESSIONS)
        assert set(home.endings) == {"budget_spent"}
    spent, held = money.standing()["principal:anna"]
    assert held == 0
    assert spent == bill.usd
    assert spent <= BUDGET + max(bill.responses)
    # Nor is much of it left unspent for fear.
    assert spent > BUDGET * Decimal("0.9")
    assert bill.unasked > 0


async def test_a_session_says_goodbye_and_closes_when_its_own_budget_is_spent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    money, bill = shared_money(), Bill()
    async with house(
        talking(bill, talkative=False), budgets=budgeted(money, Budget("session", "", Decimal(1)))
    ) as home:
        caller = await home.caller()
        assert await caller.closed() == 4402
        assert caller.of("error")[-1]["error"]["code"] == "budget_spent"
        assert bill.usd <= 1
        left = [Decimal(event["budget_left_usd"]) for event in caller.of("avatar.usage")]
        assert left == sorted(left, reverse=True)
        stages = [line["stage"] for line in home.log if line["event"] == "a budget nears its end"]
        assert stages == ["warning", "short", "spent"]
    goodbye = home.line.of("response.create")[-1]["response"]
    assert goodbye["input"] == []


@pytest.mark.parametrize("after_s", [0.0, 0.2, 1.0, 3.0, 10.0])
async def test_whatever_ends_a_session_gives_back_what_it_had_set_aside(
    autojump_clock: trio.testing.MockClock, after_s: float
) -> None:
    money, bill = shared_money(), Bill()
    async with house(
        talking(bill, talkative=False), budgets=budgeted(money, Budget("day", "all", Decimal(100)))
    ) as home:
        for _ in range(3):
            await home.caller()
        await trio.sleep(after_s)
        home.sessions.cancel_scope.cancel()
        await trio.sleep(10)
    spent, held = money.standing().get("all", (Decimal(0), Decimal(0)))
    assert held == 0
    assert spent <= bill.usd


async def test_who_comes_when_the_days_money_is_gone_is_refused_on_either_path(
    autojump_clock: trio.testing.MockClock,
) -> None:
    money = shared_money()
    await money.recall(ALL, Decimal(5))
    budgets = Budgets(Settings(budget_day=Decimal(5)), money, of=own_name_only, wall=lambda: WALL)
    async with house(talking(Bill(), talkative=False), budgets=budgets.open) as home:
        caller = await home.caller()
        assert await caller.closed() == 4402
        (error,) = caller.of("error")
        assert (error["error"]["type"], error["error"]["code"]) == ("insufficient_quota", "budget_spent")
        with pytest.raises(HandshakeRefused) as refused:
            await home.caller(path="/v1/realtime")
        assert refused.value.status == 429
        assert home.service.lines == []
