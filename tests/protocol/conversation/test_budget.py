"""What the next response can cost is set aside before it may begin, and when money ends it ends politely."""

from decimal import Decimal

import pytest

from protocol.conversation.actions import BudgetReached, Reserve
from protocol.conversation.guard import GuardPolicy
from protocol.conversation.limits import Limits
from protocol.conversation.next_price import GOODBYE_MAX_TOKENS, SHORT_MAX_TOKENS
from protocol.endings import EndReason
from protocol.prices.terms import Terms
from tests.protocol.conversation.service import Event
from tests.protocol.conversation.talk import Purse, Talk, ask, typed

# At gpt-realtime's prices: 4,096 tokens of sound, and a little to read.
WHOLE = Decimal("0.26")
LONGEST = 4096
PLENTY = "100"
# For one answer, if that is as long as it can be.
FOR_ONE = "0.44"


def detection(event: Event) -> Event | None:
    found: Event | None = event["session"].get("audio", {}).get("input", {}).get("turn_detection")
    return found


def stages(talk: Talk) -> list[str]:
    return [action.stage for action in talk.actions if isinstance(action, BudgetReached)]


def goodbyes(talk: Talk) -> list[Event]:
    return [event for event in talk.sent("response.create") if "goodbye" in str(event.get("response"))]


def written(tokens: int) -> bytes:
    """A usage: so many tokens of sound were written."""
    details = b'"output_token_details":{"audio_tokens":%d}' % tokens
    return b'"usage":{"total_tokens":%d,"input_tokens":0,"output_tokens":%d,%s}' % (tokens, tokens, details)


def drain(talk: Talk, tokens: int) -> None:
    """The service ends what it answers, having written so much."""
    while talk.service.active is not None:
        talk.service.generate(1)
    frames = list(talk.service.down)
    talk.service.down.clear()
    for frame in frames:
        if b'"response.done"' in frame:
            at = frame.index(b'"usage"')
            frame = frame[:at] + written(tokens) + frame[frame.index(b"}", at) + 1 :]
        talk.upstream(frame)


def answer(talk: Talk, tokens: int = LONGEST) -> None:
    """The client asks, and the answer is so long."""
    talk.client(ask())
    talk.pay()
    talk.pump(10)
    drain(talk, tokens)


def heard_out(talk: Talk) -> None:
    """All that was said has been heard."""
    talk.now += 60
    if "departure" in talk.deadlines:
        talk.deadline("departure")


def test_without_a_budget_nothing_is_set_aside() -> None:
    talk = Talk()
    talk.client(ask())
    talk.settle()
    assert not any(isinstance(action, Reserve) for action in talk.actions)
    assert "max_output_tokens" not in talk.sent("session.update")[0]["session"]


def test_nothing_begins_before_something_is_set_aside() -> None:
    talk = Talk(purse=Purse(PLENTY), opened=False)
    talk.open()
    talk.pump(10)
    talk.deliver(10)
    assert detection(talk.sent("session.update")[0]) == {"type": "server_vad", "create_response": False}
    talk.client(ask("mine"))
    assert not talk.sent("response.create")
    (asked,) = talk.reserves
    assert asked.hold > WHOLE
    assert asked.spent == 0
    talk.pay()
    assert [event["event_id"] for event in talk.sent("response.create")] == ["mine"]
    assert detection(talk.sent("session.update")[-1]) == {"type": "server_vad", "create_response": True}


def test_the_client_never_sees_that_answers_were_off() -> None:
    talk = Talk(purse=Purse(PLENTY))
    assert talk.types("session.") == ["session.created"]
    talk.client({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}})
    talk.settle()
    assert talk.types("session.") == ["session.created", "session.updated"]
    for event in talk.seen[:1] + talk.got("session.updated"):
        assert event["session"]["max_output_tokens"] == "inf"
        assert (detection(event) or {})["create_response"] is True


def test_speech_that_was_heard_before_is_answered_then() -> None:
    talk = Talk(purse=Purse(PLENTY), opened=False, answers_speech=False)
    talk.open()
    talk.pump(10)
    talk.deliver(10)
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.deliver(100)
    assert not talk.sent("response.create")
    talk.pay()
    assert len(talk.sent("response.create")) == 1


def test_what_an_answer_cost_is_booked_and_the_next_is_set_aside_in_one_request() -> None:
    talk = Talk(purse=Purse(PLENTY))
    talk.client(ask())
    talk.settle()
    (charge,) = talk.charges()
    asked = [action for action in talk.actions if isinstance(action, Reserve)]
    assert [one.spent for one in asked] == [0, charge.cost.usd]
    assert talk.purse is not None
    assert talk.purse.spent == talk.machine.ledger.usd
    assert talk.purse.held > WHOLE


def test_a_follow_up_waits_for_its_own_money() -> None:
    talk = Talk(("look",), ("say",), purse=Purse(PLENTY))
    talk.client(ask())
    talk.pump(10)
    drain(talk, LONGEST)
    talk.result(talk.call())
    assert not talk.follow_ups()
    talk.pay()
    assert len(talk.follow_ups()) == 1


def test_what_is_asked_beside_the_conversation_has_money_of_its_own() -> None:
    purse = Purse(PLENTY)
    talk = Talk(purse=purse)
    before = purse.held
    talk.client(ask("one", conversation="none"))
    assert not talk.sent("response.create")
    talk.pay()
    assert len(talk.sent("response.create")) == 1
    assert purse.held > before + WHOLE


def test_what_is_asked_beside_is_refused_where_there_is_money_for_one_only() -> None:
    talk = Talk(purse=Purse("0.4"))
    talk.client(ask("aside", conversation="none"))
    talk.settle()
    assert [(error["code"], error["event_id"]) for error in talk.errors()] == [("budget_spent", "aside")]
    talk.client(ask("within"))
    talk.settle()
    assert talk.lives()[-1][1] == "completed"
    assert not talk.closings()


def test_a_second_answer_is_refused_as_the_service_would() -> None:
    talk = Talk(purse=Purse(PLENTY))
    talk.client(ask("one"))
    talk.pump(10)
    talk.deliver(100)
    talk.client(ask("two"))
    assert [error["code"] for error in talk.errors()] == ["conversation_already_has_active_response"]
    assert len(talk.sent("response.create")) == 1


def test_what_is_asked_after_a_cancel_is_asked_when_that_has_ended() -> None:
    talk = Talk(purse=Purse(PLENTY))
    talk.client(ask("one"))
    talk.pump(10)
    talk.deliver(100)
    talk.client({"type": "response.cancel"})
    talk.client(ask("two"))
    talk.settle()
    assert not talk.errors()
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled", "in_progress", "completed"]


def test_an_avatar_is_told_what_is_left() -> None:
    talk = Talk(avatar=True, purse=Purse(PLENTY))
    talk.client(ask())
    talk.settle()
    (usage,) = talk.got("avatar.usage")
    assert Decimal(usage["budget_left_usd"]) == 100 - talk.machine.ledger.usd


def test_without_a_budget_nobody_is_told_of_one() -> None:
    talk = Talk(avatar=True)
    talk.client(ask())
    talk.settle()
    assert "budget_left_usd" not in talk.got("avatar.usage")[0]


def test_where_a_whole_answer_cannot_be_had_answers_are_short_and_asked_for() -> None:
    talk = Talk(purse=Purse("0.2"), answers_speech=False)
    assert stages(talk) == ["warning", "short"]
    assert not talk.closings()
    assert all((detection(event) or {}).get("create_response") is False for event in talk.sent("session.update"))
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.settle()
    (asked,) = talk.sent("response.create")
    assert asked["response"]["max_output_tokens"] == SHORT_MAX_TOKENS
    assert asked["response"]["instructions"].startswith("You guide visitors.\n\n")


def test_the_stages_follow_each_other() -> None:
    talk = attached(Purse("6"))
    for _ in range(18):
        answer(talk)
        talk.settle()
    assert stages(talk) == []
    answer(talk)
    talk.settle()
    assert stages(talk) == ["warning"]
    for _ in range(2):
        answer(talk)
        talk.settle()
    assert stages(talk) == ["warning", "short"]
    for _ in range(40):
        if talk.closings():
            break
        answer(talk, SHORT_MAX_TOKENS)
        talk.settle()
    assert stages(talk) == ["warning", "short", "spent"]
    assert talk.machine.ledger.usd <= 6
    assert len(goodbyes(talk)) == 1


def attached(purse: Purse, **more: object) -> Talk:
    talk = Talk(avatar=True, purse=purse, **more)  # type: ignore[arg-type]
    talk._perform(talk.machine.on_attached(None, talk.now))
    return talk


def test_money_ends_with_a_goodbye_and_the_close_behind_it() -> None:
    talk = attached(Purse(FOR_ONE))
    talk.client(typed("Wie spät ist es?"))
    talk.settle()
    answer(talk)
    talk.pay()
    assert stages(talk)[-1] == "spent"
    (asked,) = goodbyes(talk)
    assert asked["response"]["max_output_tokens"] == GOODBYE_MAX_TOKENS
    assert asked["response"]["input"][0]["content"] == [{"type": "input_text", "text": "Wie spät ist es?"}]
    assert not talk.closings()
    talk.settle()
    heard_out(talk)
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]
    assert talk.errors()[-1]["code"] == "budget_spent"
    assert talk.errors()[-1]["type"] == "insufficient_quota"
    assert talk.machine.ledger.usd <= talk.purse.usd + WHOLE  # type: ignore[union-attr]


def test_a_client_of_the_services_protocol_is_told_by_an_error_alone() -> None:
    talk = Talk(purse=Purse(FOR_ONE))
    answer(talk)
    talk.settle()
    assert not goodbyes(talk)
    heard_out(talk)
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]


def test_who_cannot_have_a_first_answer_is_refused_at_once() -> None:
    talk = attached(Purse("0.001"))
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]
    assert not talk.sent("response.create")


def test_a_person_who_speaks_is_let_finish_before_the_goodbye() -> None:
    talk = attached(Purse(FOR_ONE), answers_speech=False, interrupts=False)
    talk.client(ask())
    talk.pump(10)
    talk.deliver(100)
    talk.service.speech_starts()
    talk.deliver(100)
    drain(talk, LONGEST)
    talk.pay()
    assert stages(talk)[-1] == "spent"
    assert not goodbyes(talk)
    assert not talk.closings()
    talk.pump(10)
    talk.service.speech_stops()
    talk.deliver(100)
    assert len(goodbyes(talk)) == 1
    assert len(talk.sent("response.create")) == 2


def test_a_person_who_never_stops_does_not_keep_the_session() -> None:
    talk = attached(Purse(FOR_ONE), answers_speech=False, limits=Limits(goodbye_s=15))
    talk.service.speech_starts()
    answer(talk)
    talk.pay()
    talk.now += 15
    talk.deadline("departure")
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]


def test_who_speaks_into_the_goodbye_ends_it_and_is_not_answered() -> None:
    talk = attached(Purse(FOR_ONE))
    answer(talk)
    talk.pay()
    talk.pump(100)
    talk.service.generate(6)
    talk.deliver(100)
    talk.service.speech_starts()
    talk.deliver(100)
    talk.settle()
    assert len(talk.sent("response.create")) == 2
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]


def test_a_goodbye_that_breaks_off_with_its_connection_is_not_said_again() -> None:
    talk = attached(Purse(FOR_ONE))
    answer(talk)
    talk.pay()
    talk.pump(100)
    talk.service.generate(2)
    talk.deliver(100)
    talk.lose_upstream()
    talk.open()
    talk.settle()
    heard_out(talk)
    assert len(goodbyes(talk)) == 1
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]


def test_a_dearer_deployment_answers_nothing_until_its_price_is_set_aside() -> None:
    purse = Purse(PLENTY)
    talk = Talk(purse=purse)
    before = purse.held
    talk.terms = Terms(deployment="there", model="gpt-realtime", uplift_percent=Decimal(300))
    talk.lose_upstream()
    talk.open()
    assert detection(talk.sent("session.update")[-1]) == {"type": "server_vad", "create_response": False}
    talk.client(ask("again"))
    assert not talk.sent("response.create")
    talk.settle()
    assert purse.held > 3 * before
    assert len(talk.sent("response.create")) == 1
    assert detection(talk.sent("session.update")[-1]) == {"type": "server_vad", "create_response": True}


def test_a_deployment_at_the_same_price_answers_at_once() -> None:
    talk = Talk(purse=Purse(PLENTY))
    talk.lose_upstream()
    talk.open()
    assert "turn_detection" not in str(talk.sent("session.update")[-1])


def test_what_begins_by_itself_when_it_may_not_is_cancelled() -> None:
    talk = Talk(purse=Purse("0.6"))
    answer(talk)
    talk.pay()
    assert stages(talk)[-1] == "short"
    # The service has not read yet that it may not.
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.deliver(100)
    assert talk.sent("response.cancel")
    talk.settle()
    assert [status for _, status in talk.lives()][-3:] == ["cancelled", "in_progress", "completed"]
    assert [event["response"]["max_output_tokens"] for event in talk.follow_ups()] == [SHORT_MAX_TOKENS]


def test_the_clients_own_choice_not_to_be_answered_is_kept() -> None:
    talk = Talk(purse=Purse(PLENTY), opened=False, answers_speech=False)
    talk.open()
    talk.client(
        {
            "type": "session.update",
            "session": {
                "type": "realtime",
                "audio": {"input": {"turn_detection": {"type": "semantic_vad", "create_response": False}}},
            },
        }
    )
    talk.settle()
    assert talk.service.session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert talk.service.session["audio"]["input"]["turn_detection"]["create_response"] is False
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.settle()
    assert not talk.sent("response.create")


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
def test_whatever_the_client_sets_is_off_while_it_must_be(kind: str) -> None:
    talk = Talk(purse=Purse("0.2"))
    talk.client(
        {
            "type": "session.update",
            "session": {
                "type": "realtime",
                "audio": {"input": {"turn_detection": {"type": kind, "create_response": True}}},
            },
        }
    )
    talk.settle()
    assert talk.service.session["audio"]["input"]["turn_detection"]["type"] == kind
    assert talk.service.session["audio"]["input"]["turn_detection"]["create_response"] is False
    assert (detection(talk.got("session.updated")[-1]) or {})["create_response"] is True


def test_with_a_guard_what_was_checked_waits_for_money() -> None:
    talk = Talk(purse=Purse(PLENTY), guard=GuardPolicy(sentence="No."), opened=False, answers_speech=False)
    talk.open()
    talk.pump(10)
    talk.deliver(10)
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.deliver(100)
    talk.checked(passes=True)
    assert not talk.sent("response.create")
    talk.settle()
    assert len(talk.sent("response.create")) == 1


def test_everything_that_is_asked_for_after_the_end_of_the_money_is_refused() -> None:
    talk = attached(Purse(FOR_ONE))
    answer(talk)
    talk.pay()
    talk.client(ask("one"))
    talk.client(ask("two"))
    talk.client(ask("three", conversation="none"))
    assert [error["event_id"] for error in talk.errors()] == ["one", "two", "three"]
    assert {error["code"] for error in talk.errors()} == {"budget_spent"}


def test_no_response_is_longer_than_what_is_set_aside_for_it() -> None:
    talk = Talk(purse=Purse(PLENTY))
    talk.client({"type": "session.update", "session": {"type": "realtime", "max_output_tokens": 32_000}})
    talk.settle()
    assert talk.service.session["max_output_tokens"] == LONGEST
    talk.client(ask(max_output_tokens=32_000))
    talk.settle()
    talk.client(ask(max_output_tokens="inf"))
    talk.settle()
    assert [event["response"]["max_output_tokens"] for event in talk.sent("response.create")] == [LONGEST, LONGEST]


def test_a_session_of_short_answers_sets_less_aside() -> None:
    purse = Purse(PLENTY)
    talk = Talk(purse=purse, base={"type": "realtime", "instructions": "", "max_output_tokens": 200})
    assert purse.held < WHOLE
    talk.client(ask(max_output_tokens=LONGEST))
    assert not talk.sent("response.create")
    talk.pay()
    assert len(talk.sent("response.create")) == 1
    assert purse.held > WHOLE


def test_a_client_that_is_away_when_money_ends_is_not_waited_for() -> None:
    talk = attached(Purse(FOR_ONE), limits=Limits(resume_s=60))
    answer(talk)
    talk._perform(talk.machine.on_detached(EndReason.CLIENT_LOST, "gone", talk.now))
    talk.pay()
    assert not goodbyes(talk)
    heard_out(talk)
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]


def test_an_idle_person_is_not_asked_for_money_that_is_not_there() -> None:
    talk = attached(Purse(FOR_ONE), limits=Limits(idle_prompt_s=10))
    answer(talk)
    talk.pay()
    talk.settle()
    talk.now += 300
    talk.deadline("idle")
    heard_out(talk)
    assert len(talk.follow_ups()) == 1  # the goodbye
    assert [close.reason for close in talk.closings()] == [EndReason.BUDGET_SPENT]
