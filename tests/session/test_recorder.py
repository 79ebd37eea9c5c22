"""What a session hands over to be kept: every kind of record, its times, and what is lost."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.avatar.events import Source
from protocol.conversation.actions import (
    Called,
    Charge,
    Evidence,
    Heard,
    RunTool,
    Said,
    Stopped,
    Timed,
    ToolResult,
)
from protocol.conversation.actions import Record as Recorded
from protocol.conversation.calls import NO_RESULT
from protocol.endings import EndReason
from protocol.prices.cost import Cost, Line, cost_of
from protocol.prices.metering import metered
from protocol.prices.terms import Terms, quote
from server.security.principal import LOCAL
from server.session.recorder import Recorder
from server.store.money import COST_MAX_USD
from server.store.records import (
    HeardText,
    Record,
    SaidText,
    SessionBegun,
    SessionEnded,
    StoppedText,
    Tokens,
    ToolCall,
    TurnTimes,
    UsageLine,
)
from tests.session.house import BOOK
from tests.session.records import Records

# On the session's clock, and the time of day then.
START_S = 500.0
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
SOURCE = Source(id="museum/doc.md#1", title="Doc", uri="doc.md", snippet="It opens", score=0.9)
CALL = RunTool("call_1", "search_knowledge_base", '{"query":"opening hours"}')
FOUND = ToolResult('{"passages":[]}', (Evidence(SOURCE, "It opens at 10 am."),))


class Desk:
    """A recorder with clocks in hand. ``now`` is the session's clock, ``wall_s`` what the time of day is off by."""

    def __init__(self, room: int | None = None) -> None:
        self.now = START_S
        self.wall_s = 0.0
        self._records = Records(room=room)
        self.recorder = Recorder(
            "sess_la_1",
            self._records.session("sess_la_1"),
            kb_id="museum",
            principal=LOCAL,
            person="visitor-17",
            endpoint="/ws",
            clock=lambda: self.now,
            wall=lambda: NOON.timestamp() + self.now - START_S + self.wall_s,
        )

    @property
    def kept(self) -> list[Record]:
        return self._records.of("sess_la_1")

    @property
    def last(self) -> Any:
        return self.kept[-1]

    def take(self, entry: Said | Heard | Timed | Called | Stopped) -> None:
        self.recorder.take(Recorded(entry))


def after(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def charge(name: str = "resp_1", *, usd: str = "0.066316", kind: Any = "response", **fields: Any) -> Charge:
    line = Line("text", "input", 15_703, "token", Decimal(4), Decimal(usd))
    said: dict[str, Any] = {"status": "completed", "connection": 1, "deployment": "east", "model": "gpt-realtime"}
    said["usage"] = None
    return Charge(kind=kind, id=name, cost=Cost("gpt-realtime", "2026-06", (line,)), **(said | fields))


def timed(**fields: Any) -> Timed:
    times: dict[str, Any] = dict.fromkeys(
        ("search_began_ms", "search_ended_ms", "first_token_ms", "first_audio_ms", "ended_ms")
    )
    said: dict[str, Any] = {"item_id": "item_2", "response_id": "resp_1", "status": "completed", "at": START_S + 3}
    return Timed(**(said | times | fields))


# Every kind of record


def test_a_session_begins() -> None:
    desk = Desk()
    desk.now += 2
    desk.recorder.began()
    assert desk.kept == [
        SessionBegun(
            session_id="sess_la_1",
            id="sess_la_1",
            at=after(2),
            kb_id="museum",
            principal_id=LOCAL.account,
            principal_name=LOCAL.name,
            person="visitor-17",
            endpoint="/ws",
        )
    ]


def test_what_is_said_is_kept_by_the_time_it_began_to_be_said() -> None:
    desk = Desk()
    desk.now += 10
    desk.take(Said("item_1", "user", "When do you open?", START_S + 3))
    desk.take(Said("item_2", "assistant", "At ten.", START_S + 4.5))
    assert desk.kept == [
        SaidText(session_id="sess_la_1", id="item_1", at=after(3), role="user", text="When do you open?"),
        SaidText(session_id="sess_la_1", id="item_2", at=after(4.5), role="assistant", text="At ten."),
    ]
    assert desk.recorder.turns == 2


def test_items_without_an_id_do_not_take_each_others_place() -> None:
    desk = Desk()
    desk.take(Said("", "user", "One.", START_S))
    desk.take(Said("", "user", "Two.", START_S))
    desk.take(Stopped("", "rude", "Three."))
    assert len({record.id for record in desk.kept}) == 3


def test_a_text_beyond_all_measure_is_cut_so_that_the_session_goes_on() -> None:
    desk = Desk()
    desk.take(Said("item_1", "user", "a" * 5_000_000, START_S))
    assert desk.last.text.endswith("a […]")
    assert len(desk.last.text) < 200_000


def test_what_was_heard_is_kept() -> None:
    desk = Desk()
    desk.now += 7
    desk.take(Heard("item_2", 750, 3000, "We open at"))
    assert desk.kept == [
        HeardText(session_id="sess_la_1", id="item_2", at=after(7), text="We open at", heard_ms=750, sent_ms=3000)
    ]


def test_what_was_stopped_is_kept_with_its_rule() -> None:
    desk = Desk()
    desk.take(Stopped("item_1", "rude", "You fool."))
    assert desk.kept == [StoppedText(session_id="sess_la_1", id="item_1", at=NOON, rule="rude", text="You fool.")]


def test_how_long_an_answer_took_is_kept() -> None:
    desk = Desk()
    desk.now += 10
    desk.take(timed(search_began_ms=100.0, search_ended_ms=180.0, first_token_ms=400.0, first_audio_ms=450.5))
    assert desk.kept == [
        TurnTimes(
            session_id="sess_la_1",
            id="item_2",
            at=after(3),
            response_id="resp_1",
            status="completed",
            search_began_ms=100.0,
            search_ended_ms=180.0,
            first_token_ms=400.0,
            first_audio_ms=450.5,
        )
    ]
    assert desk.recorder.first_audio_ms == 450.5
    desk.take(timed(status="cancelled"))
    assert desk.recorder.first_audio_ms == 450.5, "of the newest answer that sounded"


def test_a_charge_is_a_line_of_usage_to_the_last_picodollar() -> None:
    desk = Desk()
    desk.now += 4
    usage = {
        "total_tokens": 1109,
        "input_tokens": 1009,
        "output_tokens": 100,
        "input_token_details": {
            "text_tokens": 700,
            "audio_tokens": 309,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0},
        },
        "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
    }
    cost = cost_of(metered(usage), quote(BOOK, Terms(deployment="east"), "gpt-realtime", "conversation", NOON.date()))
    desk.recorder.charged(dataclasses.replace(charge(), cost=cost))
    (begun, line) = desk.kept
    assert isinstance(begun, SessionBegun)
    assert begun.model == "gpt-realtime"
    assert line == UsageLine(
        session_id="sess_la_1",
        id="resp_1",
        at=after(4),
        what="response",
        principal_id=LOCAL.account,
        kb_id="museum",
        model="gpt-realtime",
        deployment="east",
        cost_usd=cost.usd,
        tokens=Tokens(input_text=700, input_audio=309, cached_text=64, output_text=20, output_audio=80),
        status="completed",
        prices=cost.version,
    )


def test_a_transcription_is_a_line_of_usage_by_its_length() -> None:
    desk = Desk()
    desk.recorder.charged(charge("item_1", kind="transcription", seconds=Decimal("2.5"), usd="0.00025"))
    (line,) = desk.kept
    assert isinstance(line, UsageLine)
    assert (line.what, line.id, line.status, line.audio_ms) == ("transcription", "item_1", "", 2500)
    assert line.cost_usd == Decimal("0.00025")


def test_an_item_that_two_connections_transcribe_is_paid_twice() -> None:
    desk = Desk()
    for connection in (1, 2, 3):
        desk.recorder.charged(charge("item_1", kind="transcription", connection=connection))
    assert [record.id for record in desk.kept] == ["item_1", "item_1#2", "item_1#3"]


def test_the_end_is_kept_with_its_reason() -> None:
    desk = Desk()
    desk.recorder.ended(EndReason.IDLE_TIMEOUT, "Nobody said anything.")
    assert desk.kept == [
        SessionEnded(
            session_id="sess_la_1", id="sess_la_1", at=NOON, reason="idle_timeout", detail="Nobody said anything."
        )
    ]


# Tools


def test_a_tool_that_answered_is_kept_with_what_it_found() -> None:
    desk = Desk()
    desk.recorder.asked(CALL)
    desk.now += 1
    desk.recorder.runs(CALL)
    desk.now += 0.25
    desk.recorder.ran(CALL, FOUND)
    desk.take(Called("call_1", CALL.name, "answered"))
    assert desk.kept == [
        ToolCall(
            session_id="sess_la_1",
            id="call_1",
            at=after(1),
            name="search_knowledge_base",
            status="answered",
            arguments='{"query":"opening hours"}',
            sources=(SOURCE,),
            duration_ms=250.0,
        )
    ]


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ('{"error":"There is no tool \'nap\'."}', "failed"),
        ('{"error":"The arguments do not fit."}', "failed"),
        ('{"error":"The search is down.","unavailable":true}', "unavailable"),
        ('{"error":null,"passages":[]}', "answered"),
        ('{"passages":[]}', "answered"),
        ("[1,2]", "answered"),
        ("Plain words.", "answered"),
        ("", "answered"),
        ('{"unavailable":true}', "answered"),
        (NO_RESULT.output, "unavailable"),
    ],
)
def test_a_tool_that_failed_is_no_success(output: str, status: str) -> None:
    desk = Desk()
    desk.recorder.asked(CALL)
    desk.recorder.runs(CALL)
    desk.recorder.ran(CALL, ToolResult(output))
    assert desk.last.status == status


def test_a_call_that_is_one_too_many_is_kept_as_refused() -> None:
    desk = Desk()
    desk.recorder.refused(CALL)
    desk.take(Called("call_1", CALL.name, "answered"))
    (call,) = desk.kept
    assert isinstance(call, ToolCall)
    assert (call.status, call.arguments, call.duration_ms) == ("refused", CALL.arguments, None)


def test_a_result_that_comes_when_it_was_given_up_does_not_make_it_a_success() -> None:
    desk = Desk()
    desk.recorder.asked(CALL)
    desk.recorder.runs(CALL)
    desk.now += 15
    desk.take(Called("call_1", CALL.name, "answered"))
    assert desk.last.status == "unavailable"
    desk.now += 5
    desk.recorder.ran(CALL, FOUND)
    assert (desk.last.status, desk.last.sources, desk.last.duration_ms) == ("unavailable", (SOURCE,), 20_000.0)


def test_a_call_whose_result_reaches_nobody_is_lost() -> None:
    desk = Desk()
    desk.recorder.asked(CALL)
    desk.recorder.runs(CALL)
    desk.recorder.ran(CALL, FOUND)
    desk.take(Called("call_1", CALL.name, "lost"))
    assert [record.status for record in desk.kept if isinstance(record, ToolCall)] == ["answered", "lost"]
    assert desk.last.arguments is None, "what is None stays as the record before said it"
    desk.take(Called("", CALL.name, "lost"))
    assert desk.last.id


def test_what_still_runs_when_the_session_ends_is_lost_once() -> None:
    desk = Desk()
    waiting = RunTool("call_2", "nap", "{}")
    for call in (CALL, waiting):
        desk.recorder.asked(call)
    desk.recorder.runs(CALL)
    desk.now += 2
    desk.take(Called("call_1", CALL.name, "lost"))
    desk.recorder.ended(EndReason.GOING_AWAY, "")
    calls = [record for record in desk.kept if isinstance(record, ToolCall)]
    assert [(call.id, call.status, call.arguments, call.duration_ms) for call in calls] == [
        ("call_1", "lost", CALL.arguments, 2000.0),
        ("call_2", "lost", "{}", None),
    ]
    assert isinstance(desk.last, SessionEnded)


# What cannot be


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"total_tokens": -5, "input_tokens": -1, "output_tokens": None},
        {"total_tokens": 10**30, "input_tokens": 10**30, "output_tokens": 10**30},
        {"input_token_details": {"text_tokens": 10**30, "audio_tokens": -(10**30), "cached_tokens": 10**31}},
        {"input_token_details": None, "output_token_details": [], "total_tokens": "many"},
        {"total_tokens": 1e308, "input_tokens": True, "output_tokens": 0.5},
        {"type": "duration", "seconds": 10**30},
        {"type": "duration", "seconds": -1},
    ],
)
@pytest.mark.parametrize("kind", ["response", "transcription"])
def test_absurd_numbers_are_kept_within_reason(usage: Any, kind: str) -> None:
    desk = Desk()
    used = metered(usage)
    use: Any = "conversation" if kind == "response" else "transcription"
    cost = cost_of(used, quote(BOOK, Terms(deployment="east"), "gpt-nobody-knows", use, NOON.date()))
    seconds = Decimal(0) if used is None else used.seconds
    desk.recorder.charged(dataclasses.replace(charge(kind=kind), cost=cost, seconds=seconds))
    assert isinstance(desk.last, UsageLine)
    assert 0 <= desk.last.cost_usd == cost.usd < COST_MAX_USD
    assert desk.last.is_estimate


def test_a_price_beyond_all_measure_counts_as_the_most_there_can_be() -> None:
    desk = Desk()
    desk.recorder.charged(charge(usd="1e30"))
    assert desk.last.cost_usd == COST_MAX_USD
    assert desk.last.is_estimate


def test_finer_than_a_picodollar_is_rounded_up() -> None:
    desk = Desk()
    desk.recorder.charged(charge(usd="0.0000000000001"))
    assert desk.last.cost_usd == Decimal("1e-12")
    assert not desk.last.is_estimate


def test_a_lost_record_is_known_and_the_end_is_tried_all_the_same() -> None:
    desk = Desk(room=1)
    lost = []
    desk.recorder.began()
    lost.append(desk.recorder.is_lost)
    desk.take(Said("item_1", "user", "Hello.", START_S))
    lost.append(desk.recorder.is_lost)
    desk.recorder.ended(EndReason.OVERLOADED, "")
    assert lost == [False, True]
    assert len(desk.kept) == 1


# Clocks


@pytest.mark.parametrize("jump_s", [-86_400.0, -1.0, 3600.0, 10 * 365 * 86_400.0])
def test_a_clock_on_the_wall_that_jumps_changes_no_order(jump_s: float) -> None:
    desk = Desk()
    desk.recorder.began()
    desk.now += 5
    desk.take(Said("item_1", "user", "Hello.", START_S + 2))
    desk.recorder.asked(CALL)
    desk.recorder.runs(CALL)
    desk.wall_s = jump_s
    desk.now += 5
    desk.recorder.ran(CALL, FOUND)
    desk.take(Said("item_2", "assistant", "Hello.", START_S + 8))
    desk.recorder.ended(EndReason.COMPLETED, "")
    assert [record.at for record in desk.kept] == [after(seconds) for seconds in (0, 2, 5, 8, 10)]
    assert [record.duration_ms for record in desk.kept if isinstance(record, ToolCall)] == [5000.0]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e9, 1e9))), st.floats(-1e6, 1e6))
def test_nothing_is_before_the_beginning_or_behind_the_end(steps: list[tuple[float, float]], moment: float) -> None:
    desk = Desk()
    desk.recorder.began()
    for seconds, wall_s in steps:
        desk.now += seconds
        desk.wall_s = wall_s
        desk.take(Said("item", "user", "Hello.", min(moment, desk.now)))
    desk.recorder.ended(EndReason.COMPLETED, "")
    times = [record.at for record in desk.kept]
    assert all(times[0] <= at <= times[-1] for at in times)
