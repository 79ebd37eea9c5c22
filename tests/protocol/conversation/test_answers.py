"""The life of answers: hidden searches, follow-ups, cancels, refusals and what is billed."""

from typing import Any

import pytest

from protocol.conversation.actions import Called, Ignored, Said, ToClient
from protocol.conversation.asking import MAX_TOOL_ROUNDS
from protocol.conversation.limits import Limits
from protocol.conversation.requests import REQUEST_LOST_S
from protocol.conversation.service_watch import RESPONSE_DEADLINE
from protocol.conversation.shown_responses import ENDED_KEPT
from protocol.conversation.succession import RECONNECT_DEADLINE, ROLLOVER_DEADLINE
from protocol.endings import EndReason
from tests.protocol.conversation.service import CLIENT_TOOL, SERVER_TOOL, Event
from tests.protocol.conversation.talk import SOURCE, Talk, ask, typed, with_client_tool


def response(id_: str, status: str = "in_progress", **more: Any) -> Event:
    """``response.created`` or ``response.done``, as the service writes it."""
    kind = "response.created" if status == "in_progress" else "response.done"
    whole: Event = {"object": "realtime.response", "id": id_, "status": status, "status_details": None, "output": []}
    return {"type": kind, "response": {**whole, "conversation_id": "conv_1", "usage": None, "metadata": None, **more}}


def call(id_: str = "1", name: object = SERVER_TOOL["name"], **more: Any) -> Event:
    """A function call item, complete."""
    item = {"id": f"item_{id_}", "type": "function_call", "status": "completed", "name": name}
    return {**item, "call_id": f"call_{id_}", "arguments": "{}", **more}


def item_done(response_id: str, item: Event) -> Event:
    """``response.output_item.done``."""
    return {"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": item}


def lost(talk: Talk) -> list[str]:
    """Calls recorded as lost."""
    return [entry.call_id for entry in talk.record() if isinstance(entry, Called) and entry.outcome == "lost"]


# A search nobody sees


def test_an_answer_without_tools_is_the_services_own_frame_by_frame() -> None:
    talk = Talk(("say",))
    talk.client(ask("mine"))
    talk.pump()
    talk.service.generate(100)
    frames = [frame for frame in talk.service.down if b'"type":"response.' in frame]
    talk.settle()
    shown = [action.frame for action in talk.actions if isinstance(action, ToClient)]
    assert [frame for frame in shown if b'"type":"response.' in frame] == frames


def test_a_search_is_hidden_and_its_answer_stands_in_its_place() -> None:
    talk = Talk(("look",), ("say",), avatar=True)
    talk.client(ask("mine"))
    talk.settle()
    (search,) = talk.charges()
    assert talk.types("response.") == []
    assert list(talk.tools) == list(talk.service.calls)
    talk.answer_tools()
    (_, answer) = talk.charges()
    assert talk.lives() == [(answer.id, "in_progress"), (answer.id, "completed")]
    assert search.id != answer.id


def test_an_answer_carries_the_usage_of_its_search_too_and_each_is_billed_by_itself() -> None:
    talk = Talk(("look",), ("look",), ("say",), avatar=True)
    talk.client(ask())
    talk.answer_tools()
    totals = [charge.usage.total_tokens for charge in talk.charges() if charge.usage]
    assert len(totals) == 3
    (done,) = talk.got("response.done")
    assert done["response"]["usage"]["total_tokens"] == sum(totals)
    assert [event["total_tokens"] for event in talk.got("avatar.usage")] == [sum(totals)]


def test_a_follow_up_inherits_what_the_client_asked_with() -> None:
    talk = Talk(("look",), ("look",), ("say",))
    params = {"instructions": "Whisper.", "metadata": {"topic": "hours"}, "max_output_tokens": 200}
    talk.client(ask("mine", **params))
    talk.answer_tools()
    assert [event["response"] for event in talk.follow_ups()] == [params, params]
    assert talk.got("response.created")[0]["response"]["metadata"] == {"topic": "hours"}
    assert talk.got("response.done")[0]["response"]["metadata"] == {"topic": "hours"}


def test_a_spoken_question_has_nothing_to_inherit() -> None:
    talk = Talk(("look",), ("say",))
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.answer_tools()
    (follow_up,) = talk.follow_ups()
    assert "response" not in follow_up
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]


def test_a_context_of_its_own_is_extended_by_the_calls_and_their_results() -> None:
    talk = Talk(("look", "look"), ("say",))
    talk.client(ask("mine", input=[{"type": "item_reference", "id": "item_0"}], metadata={"a": "b"}))
    talk.answer_tools()
    calls = list(talk.service.calls.values())
    outputs = [event["item"]["id"] for event in talk.sent("conversation.item.create")]
    (follow_up,) = talk.follow_ups()
    assert [part["id"] for part in follow_up["response"]["input"]] == ["item_0", *calls, *outputs]
    assert {part["type"] for part in follow_up["response"]["input"]} == {"item_reference"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": SERVER_TOOL["name"]}], ids=str)
def test_a_forced_call_is_not_forced_again(choice: object) -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("mine", tool_choice=choice))
    talk.answer_tools()
    assert talk.follow_ups()[0]["response"]["tool_choice"] == "auto"


def test_a_call_forced_by_the_session_is_not_forced_again_either() -> None:
    talk = Talk(("look",), ("say",))
    talk.client({"type": "session.update", "session": {"type": "realtime", "tool_choice": "required"}})
    talk.settle()
    talk.client(ask("mine"))
    talk.answer_tools()
    assert talk.follow_ups()[0]["response"] == {"tool_choice": "auto"}


def test_a_model_that_only_searches_must_answer_in_the_end() -> None:
    talk = Talk(*[("look",)] * 20)
    talk.client(ask("mine"))
    talk.answer_tools()
    choices = [event.get("response", {}).get("tool_choice") for event in talk.follow_ups()]
    assert choices == [None] * (MAX_TOOL_ROUNDS - 1) + ["none"]
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]


def test_a_model_that_searches_even_when_it_may_not_is_not_asked_again() -> None:
    talk = Talk()
    talk.upstream(response("resp_0"))
    for round_ in range(MAX_TOOL_ROUNDS + 1):
        talk.upstream(response(f"resp_{round_}", "completed", output=[call(str(round_))]))
        talk.result(talk.call())
        if round_ < MAX_TOOL_ROUNDS:
            talk.upstream(response(f"resp_{round_ + 1}"))
    assert len(talk.follow_ups()) == MAX_TOOL_ROUNDS
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]
    assert all(talk.oracle.answered[call_id] == 1 for call_id in talk.oracle.run)


def test_the_result_goes_right_behind_its_call_and_the_answer_is_asked_for_after_all_results() -> None:
    talk = Talk(("look", "look"), ("say",))
    talk.client(ask())
    talk.settle()
    first, second = talk.tools
    talk.client(typed("Hurry!"))
    talk.result(second, "B")
    assert talk.follow_ups() == []
    talk.result(first, "A")
    assert len(talk.follow_ups()) == 1
    outputs = [event for event in talk.sent("conversation.item.create") if event["item"]["type"] != "message"]
    assert [event["item"]["call_id"] for event in outputs] == [second, first]
    assert [event["previous_item_id"] for event in outputs] == [talk.service.calls[id_] for id_ in (second, first)]
    talk.settle()
    assert talk.service.outputs == {first: ["A"], second: ["B"]}


def test_a_result_that_comes_before_its_response_ends_waits_for_the_end() -> None:
    talk = Talk(("look", "say"), ("say",))
    talk.client(ask())
    talk.pump()
    talk.service.generate(7)
    talk.deliver(100)
    talk.result(talk.call())
    assert talk.follow_ups() == []
    talk.settle()
    assert len(talk.follow_ups()) == 1


def test_a_repeated_or_unknown_result_goes_nowhere() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.settle()
    call_id = talk.call()
    talk.answer_tools()
    before = len(talk.told)
    talk.result(call_id)
    talk.result("call_of_nobody")
    assert len(talk.told) == before
    assert [ignored.side for ignored in talk.ignored()] == ["tool", "tool"]


def test_the_arguments_go_to_the_tool_as_they_came() -> None:
    talk = Talk(("look",))
    talk.client(ask())
    talk.settle()
    tool = talk.tools[talk.call()]
    assert (tool.name, tool.arguments) == (SERVER_TOOL["name"], '{"query":"opening hours"}')


def test_while_a_search_is_hidden_the_client_is_told_of_an_active_response() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("first"))
    talk.settle()
    talk.client(ask("second"))
    (error,) = talk.errors()
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
    assert [event["event_id"] for event in talk.sent("response.create")] == ["first"]
    talk.answer_tools()
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]


def test_a_call_without_an_id_or_cut_short_is_not_run_and_recorded_as_lost() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(item_done("resp_1", call("1", status="incomplete")))
    talk.upstream(item_done("resp_1", call("1", status="incomplete")))
    talk.upstream(response("resp_1", "cancelled", output=[call("1", status="incomplete"), call("2", call_id="")]))
    assert not talk.tools
    assert lost(talk) == ["call_1", ""]
    assert talk.got("response.done")[0]["response"]["output"] == []


def test_a_call_known_only_from_the_end_of_its_response_is_run_too() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(response("resp_1", "completed", output=[call()]))
    assert list(talk.tools) == ["call_1"]
    talk.result("call_1")
    assert len(talk.follow_ups()) == 1


def test_a_call_of_a_response_that_is_over_is_lost_rather_than_forgotten() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(response("resp_1", "completed"))
    talk.upstream(item_done("resp_1", call()))
    assert lost(talk) == ["call_1"]
    talk.result("call_1")
    assert talk.follow_ups() == []


def test_a_server_call_without_an_item_id_is_hidden_all_the_same() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    nameless = {key: value for key, value in call().items() if key != "id"}
    added = {"type": "response.output_item.added", "response_id": "resp_1", "output_index": 0, "item": nameless}
    talk.upstream(added)
    talk.upstream({"type": "conversation.item.added", "previous_item_id": None, "item": nameless})
    talk.upstream(item_done("resp_1", nameless))
    assert talk.seen[1:] == []
    assert list(talk.tools) == ["call_1"]


# Words and a search in one response


def test_words_are_shown_and_the_search_beside_them_is_not() -> None:
    talk = Talk(("say", "look"), ("say",), avatar=True)
    talk.client(ask("mine"))
    talk.settle()
    first = talk.charges()[0].id
    assert talk.lives() == [(first, "in_progress"), (first, "completed")]
    (done,) = talk.got("response.done")
    assert [item["type"] for item in done["response"]["output"]] == ["message"]
    assert talk.types("response.function_call") == []
    talk.answer_tools()
    second = talk.charges()[1].id
    assert talk.lives()[2:] == [(second, "in_progress"), (second, "completed")]
    usages = [event["response"]["usage"]["total_tokens"] for event in talk.got("response.done")]
    assert usages == [charge.usage.total_tokens for charge in talk.charges() if charge.usage]


def test_a_response_asked_for_between_words_and_follow_up_takes_the_follow_ups_place() -> None:
    talk = Talk(("say", "look"), ("say",))
    talk.client(ask("first"))
    talk.settle()
    talk.client(ask("second", instructions="Shout."))
    assert [event["event_id"] for event in talk.sent("response.create")] == ["first"]
    talk.client(ask("third"))
    assert [error["event_id"] for error in talk.errors()] == ["third"]
    talk.answer_tools()
    assert talk.follow_ups() == []
    assert [event["event_id"] for event in talk.sent("response.create")] == ["first", "second"]
    assert talk.service.outputs
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"] * 2


def test_a_response_that_waited_and_is_overtaken_by_speech_is_refused_not_forgotten() -> None:
    talk = Talk(("say", "look"), ("say",))
    talk.client(ask("first"))
    talk.settle()
    talk.client(ask("second"))
    talk.service.speech_starts()
    talk.settle()
    assert [(error["code"], error["event_id"]) for error in talk.errors()] == [("response_cancelled", "second")]


def test_a_response_that_waited_and_is_cancelled_is_refused_not_forgotten() -> None:
    talk = Talk(("say", "look"), ("say",))
    talk.client(ask("first"))
    talk.settle()
    talk.client(ask())
    talk.client({"type": "response.cancel"})
    assert [(error["code"], error["event_id"]) for error in talk.errors()] == [("response_cancelled", None)]
    talk.settle()
    assert [error["code"] for error in talk.errors()][1:] == ["response_cancel_not_active"]


# Our tools and the client's in one response


def test_the_clients_calls_are_shown_and_it_asks_for_what_follows() -> None:
    talk = with_client_tool(Talk(("look", "ask"), ("say",)))
    talk.client(ask("first"))
    talk.settle()
    (shown,) = talk.got("response.output_item.done")
    assert shown["item"]["name"] == CLIENT_TOOL["name"]
    output = {"type": "function_call_output", "call_id": shown["item"]["call_id"], "output": "waved"}
    talk.client({"type": "conversation.item.create", "item": output})
    talk.client(ask("second"))
    talk.settle()
    assert [event["event_id"] for event in talk.service.asked] == ["first"]
    talk.answer_tools()
    assert [event["event_id"] for event in talk.service.asked] == ["first", "second"]
    assert len(talk.service.outputs) == 2
    assert talk.follow_ups() == []


def test_the_client_may_take_its_time_after_our_results() -> None:
    talk = with_client_tool(Talk(("look", "ask"), ("say",)))
    talk.client(ask("first"))
    talk.answer_tools()
    assert talk.follow_ups() == []
    talk.client(ask("second"))
    talk.settle()
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"] * 2


def test_only_the_clients_tools_called_is_none_of_our_business() -> None:
    talk = with_client_tool(Talk(("ask",)))
    talk.client(ask())
    talk.settle()
    assert not talk.tools
    assert [event["response"]["output"][0]["name"] for event in talk.got("response.done")] == [CLIENT_TOOL["name"]]
    assert talk.follow_ups() == []


# The user goes on


def test_speech_during_a_search_ends_the_answer_and_the_result_is_still_told_to_the_model() -> None:
    talk = Talk(("look",), ("say",), avatar=True)
    talk.client(ask("mine", metadata={"n": "1"}))
    talk.settle()
    usage = talk.charges()[0].usage
    talk.service.speech_starts()
    talk.deliver()
    (first, begun), (same, ended) = talk.lives()
    assert (first, begun, ended) == (same, "in_progress", "cancelled")
    (done,) = talk.got("response.done")
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["response"]["metadata"] == {"n": "1"}
    assert usage is not None
    assert done["response"]["usage"]["total_tokens"] == usage.total_tokens
    talk.result(talk.call())
    talk.settle()
    assert talk.follow_ups() == []
    assert talk.service.outputs
    talk.service.speech_stops()
    talk.settle()
    assert [status for _, status in talk.lives()][2:] == ["in_progress", "completed"]


def test_speech_that_does_not_interrupt_lets_the_search_go_on() -> None:
    talk = Talk(("look",), ("say",), interrupts=False, answers_speech=False)
    talk.client(ask())
    talk.settle()
    talk.service.speech_starts()
    talk.settle()
    assert talk.lives() == []
    talk.answer_tools()
    assert len(talk.follow_ups()) == 1


def test_speech_between_request_and_follow_up_cancels_the_follow_up() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.settle()
    talk.result(talk.call())
    talk.service.speech_starts()
    talk.deliver()
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled"]
    assert RESPONSE_DEADLINE not in talk.deadlines
    talk.settle()
    assert len(talk.sent("response.cancel")) == 1
    # The service had begun it before the cancel arrived; nothing visible came of it, so nothing is seen of it.
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled"]
    assert [charge.status for charge in talk.charges()] == ["completed", "cancelled"]
    assert talk.errors() == []


def test_speech_just_before_a_search_completes_is_followed_by_no_answer_to_the_old_question() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(item_done("resp_1", call()))
    talk.upstream({"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_9"})
    talk.upstream(response("resp_1", "completed", output=[call()]))
    talk.result("call_1")
    assert talk.follow_ups() == []
    assert talk.lives() == [("resp_1", "in_progress"), ("resp_1", "completed")]


def test_a_search_that_the_service_cancels_is_shown_as_cancelled_without_its_calls() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.pump()
    talk.service.generate(3)
    talk.deliver(100)
    talk.service.speech_starts()
    talk.settle()
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled"]
    assert talk.got("response.done")[0]["response"]["output"] == []
    assert not talk.tools


def test_the_client_cancels_a_search_and_gets_its_end_without_asking_the_service() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.settle()
    talk.client({"type": "response.cancel"})
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled"]
    details = talk.got("response.done")[0]["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "client_cancelled"}
    assert talk.sent("response.cancel") == []
    talk.answer_tools()
    assert talk.follow_ups() == []
    assert len(talk.service.outputs) == 1


def test_the_client_cancels_a_follow_up_that_has_not_begun() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.settle()
    talk.result(talk.call())
    talk.client({"type": "response.cancel"})
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled"]
    talk.settle()
    assert len(talk.sent("response.cancel")) == 1
    assert len(talk.lives()) == 2


def test_a_cancel_of_another_response_leaves_the_search_alone() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.settle()
    talk.client({"type": "response.cancel", "response_id": "resp_other"})
    talk.settle()
    assert [error["code"] for error in talk.errors()] == ["response_cancel_not_active"]
    talk.answer_tools()
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]


# The service refuses, or goes its own way


def test_a_follow_up_in_whose_place_speech_began_a_response_is_that_response() -> None:
    talk = Talk(("look",), ("say",), interrupts=False)
    talk.client(ask("mine"))
    talk.settle()
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.result(talk.call())
    talk.settle()
    # Our own request was refused, for one was active: nobody is bothered with that.
    assert len(talk.service.refused) == 1
    assert talk.errors() == []
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]
    assert RESPONSE_DEADLINE not in talk.deadlines


def test_a_follow_up_refused_for_another_active_response_ends_as_cancelled() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("mine"))
    talk.settle()
    talk.result(talk.call())
    (follow_up,) = talk.follow_ups()
    error = {"type": "invalid_request_error", "code": "conversation_already_has_active_response", "message": "m"}
    talk.upstream({"type": "error", "error": {**error, "event_id": follow_up["event_id"]}})
    assert [status for _, status in talk.lives()] == ["in_progress", "cancelled"]
    assert talk.errors() == []


def test_a_follow_up_refused_for_another_reason_ends_as_failed_with_that_reason() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("mine"))
    talk.settle()
    talk.result(talk.call())
    error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Later."}
    talk.upstream({"type": "error", "error": {**error, "event_id": talk.follow_ups()[0]["event_id"]}})
    assert [status for _, status in talk.lives()] == ["in_progress", "failed"]
    details = talk.got("response.done")[0]["response"]["status_details"]
    assert details == {"type": "failed", "error": error}
    assert RESPONSE_DEADLINE not in talk.deadlines


def test_a_failed_follow_up_of_an_answer_already_ended_is_an_error_of_its_own() -> None:
    talk = Talk(("say", "look"), ("say",))
    talk.client(ask("mine"))
    talk.settle()
    talk.result(talk.call())
    error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Later."}
    talk.upstream({"type": "error", "error": {**error, "event_id": talk.follow_ups()[0]["event_id"]}})
    assert [(error["code"], error["event_id"]) for error in talk.errors()] == [("rate_limit_exceeded", None)]
    assert len(talk.lives()) == 2


def test_a_follow_up_that_does_not_begin_in_time_is_asked_of_another_connection() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("mine"))
    talk.settle()
    talk.result(talk.call())
    assert talk.deadlines[RESPONSE_DEADLINE] == talk.now + Limits().response_s
    talk.now += Limits().response_s
    talk.deadline(RESPONSE_DEADLINE)
    assert talk.asked_for == [2]
    talk.open()
    talk.settle()
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]
    assert len(talk.service.asked) == 1


def test_a_follow_up_that_no_connection_begins_fails() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("mine"))
    talk.settle()
    talk.result(talk.call())
    talk.deadline(RESPONSE_DEADLINE)
    talk.open()
    talk.deadline(RESPONSE_DEADLINE)
    assert [status for _, status in talk.lives()] == ["in_progress", "failed"]
    assert talk.got("response.done")[0]["response"]["status_details"]["error"]["code"] == "response_timeout"
    assert talk.asked_for == []


def test_after_a_lost_follow_up_the_next_search_is_followed_as_ever() -> None:
    talk = Talk(("look",), ("look",), ("say",))
    talk.client(ask("first"))
    talk.settle()
    talk.result(talk.call())
    for _ in range(2):
        talk.up.clear()
        talk.deadline(RESPONSE_DEADLINE)
        talk.open()
    talk.up.clear()
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.answer_tools()
    assert [status for _, status in talk.lives()] == ["in_progress", "failed", "in_progress", "completed"]


def test_a_deadline_that_passes_after_all_changes_nothing() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.answer_tools()
    before = len(talk.actions)
    talk.deadline(RESPONSE_DEADLINE)
    assert len(talk.actions) == before


def test_a_request_refused_without_a_name_does_not_spoil_the_ones_after_it_for_ever() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask("refused", instructions="Only this once."))
    talk.up.clear()
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "m", "event_id": None}
    talk.upstream({"type": "error", "error": error})
    talk.now += REQUEST_LOST_S + 1
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.answer_tools()
    (follow_up,) = talk.follow_ups()
    assert "response" not in follow_up


def test_what_speech_began_is_not_taken_for_what_a_client_asked_with_metadata() -> None:
    talk = Talk(("look",), ("say",), ("say",))
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.client(ask("mine", metadata={"n": "1"}, instructions="Whisper."))
    talk.settle()
    assert [error["event_id"] for error in talk.errors()] == ["mine"]
    talk.answer_tools()
    assert "response" not in talk.follow_ups()[0]


def test_an_anonymous_request_refused_because_speech_was_first_is_told_without_our_id() -> None:
    talk = Talk(("say",))
    talk.service.speech_starts()
    talk.service.speech_stops()
    talk.client(ask())
    talk.settle()
    assert [(error["code"], error["event_id"]) for error in talk.errors()] == [
        ("conversation_already_has_active_response", None)
    ]


def test_a_second_request_while_words_come_is_refused_by_the_service_itself() -> None:
    talk = Talk(("say",))
    talk.client(ask("first"))
    talk.client(ask("second"))
    talk.settle()
    assert [error["event_id"] for error in talk.errors()] == ["second"]
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]


def test_a_response_that_begins_while_another_has_not_ended_ends_that_one() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(response("resp_2"))
    assert talk.lives() == [("resp_1", "in_progress"), ("resp_1", "incomplete")]
    talk.upstream({"type": "response.output_text.delta", "response_id": "resp_1", "item_id": "i", "delta": "late"})
    talk.upstream(response("resp_1", "completed", usage={"total_tokens": 5}))
    talk.upstream(response("resp_2", "completed"))
    assert talk.lives()[2:] == [("resp_2", "in_progress"), ("resp_2", "completed")]
    assert talk.got("response.output_text.delta") == []
    # It is over for the client, but it was generated, and costs.
    assert [charge.id for charge in talk.charges()] == ["resp_1", "resp_2"]


def test_an_end_without_a_beginning_gets_one() -> None:
    talk = Talk()
    talk.upstream(response("resp_1", "cancelled"))
    assert talk.lives() == [("resp_1", "in_progress"), ("resp_1", "cancelled")]


def test_an_end_without_a_beginning_does_not_end_what_is_being_answered() -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(response("resp_2", "completed", output=[call()]))
    assert not talk.tools
    assert lost(talk) == ["call_1"]
    talk.upstream(response("resp_1", "completed"))
    assert talk.lives() == [
        ("resp_2", "in_progress"),
        ("resp_2", "completed"),
        ("resp_1", "in_progress"),
        ("resp_1", "completed"),
    ]


def test_what_is_repeated_is_neither_shown_nor_billed_again() -> None:
    talk = Talk()
    for _ in range(2):
        talk.upstream(response("resp_1"))
    for _ in range(2):
        talk.upstream(response("resp_1", "completed"))
    talk.upstream(response("resp_1"))
    assert len(talk.lives()) == 2
    assert len(talk.charges()) == 1
    assert {ignored.event_type for ignored in talk.ignored()} == {"response.created", "response.done"}


def test_so_many_responses_pass_that_the_oldest_are_forgotten() -> None:
    talk = Talk()
    for number in range(ENDED_KEPT + 2):
        talk.upstream(response(f"resp_{number}", "completed"))
    assert len(talk.charges()) == ENDED_KEPT + 2


def test_an_end_without_output_or_usage_is_an_end() -> None:
    talk = Talk(("look",))
    talk.client(ask())
    talk.settle()
    talk.result(talk.call())
    talk.upstream({"type": "response.created", "response": {"id": "resp_2", "status": "in_progress"}})
    talk.upstream({"type": "response.done", "response": {"id": "resp_2", "status": "completed"}})
    (done,) = talk.got("response.done")
    assert done["response"]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
def test_a_search_in_a_response_that_did_not_complete_is_told_to_the_model_and_not_followed(status: str) -> None:
    talk = Talk()
    talk.upstream(response("resp_1"))
    talk.upstream(item_done("resp_1", call()))
    talk.upstream(response("resp_1", status, output=[call()]))
    talk.result("call_1")
    assert talk.lives() == [("resp_1", "in_progress"), ("resp_1", status)]
    assert talk.follow_ups() == []
    assert talk.oracle.answered["call_1"] == 1


def test_where_no_service_can_be_had_what_is_active_ends_and_what_was_lost_is_recorded() -> None:
    talk = Talk(("look", "look"), avatar=True)
    talk.client(ask())
    talk.settle()
    first, second = talk.tools
    talk.result(first)
    talk.lose_upstream()
    assert talk.closings() == []
    talk.now += Limits().reconnect_s
    talk.lose_upstream()
    assert [status for _, status in talk.lives()] == ["in_progress", "failed"]
    assert lost(talk) == [second]
    assert talk.errors()[-1]["code"] == EndReason.UPSTREAM_UNAVAILABLE.label
    assert [close.reason for close in talk.closings()] == [EndReason.UPSTREAM_UNAVAILABLE]
    assert talk.result(second) == []


def test_a_connection_lost_in_the_middle_of_words_ends_them_and_the_rest_is_asked_for() -> None:
    talk = Talk(("say",))
    talk.client(ask())
    talk.pump()
    talk.service.generate(9)
    talk.deliver(100)
    talk.lose_upstream()
    assert [status for _, status in talk.lives()] == ["in_progress", "incomplete"]
    assert [action for action in talk.upstream(response("resp_9")) if not isinstance(action, Ignored)] == []
    talk.open()
    talk.settle()
    assert [status for _, status in talk.lives()][2:] == ["in_progress", "completed"]
    assert "…We" in talk.service.asked[0]["response"]["instructions"]


def test_a_session_that_ends_records_the_calls_nobody_waits_for() -> None:
    talk = Talk(("look",))
    talk.client(ask())
    talk.settle()
    call_id = talk.call()
    talk.end(EndReason.CLIENT_LOST)
    assert lost(talk) == [call_id]


# Beside the conversation


def test_a_response_beside_the_conversation_is_offered_the_clients_tools_only() -> None:
    talk = with_client_tool(Talk(("write",), ("write",)))
    talk.client(ask("own", conversation="none"))
    talk.client(ask("named", conversation="none", tools=[SERVER_TOOL, CLIENT_TOOL]))
    talk.settle()
    assert [event["response"]["tools"] for event in talk.service.asked] == [[CLIENT_TOOL], [CLIENT_TOOL]]
    assert [event["response"]["conversation_id"] for event in talk.got("response.done")] == [None, None]


def test_a_response_beside_the_conversation_goes_on_beside_a_search() -> None:
    talk = Talk(("look",), ("write",), ("say",))
    talk.client(ask("first"))
    talk.settle()
    talk.client(ask("beside", conversation="none", metadata={"topic": "weather"}))
    talk.settle()
    assert [event["response"]["metadata"] for event in talk.got("response.created")] == [{"topic": "weather"}]
    talk.answer_tools()
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"] * 2
    assert talk.errors() == []


def test_a_server_call_beside_the_conversation_is_lost_once_and_not_shown() -> None:
    talk = Talk()
    talk.upstream(response("resp_1", conversation_id=None))
    for _ in range(2):
        talk.upstream(item_done("resp_1", call()))
    talk.upstream(response("resp_1", "completed", conversation_id=None, output=[call()]))
    assert lost(talk) == ["call_1"]
    assert talk.got("response.done")[0]["response"]["output"] == []
    assert talk.follow_ups() == []


def test_an_end_beside_the_conversation_without_a_beginning_gets_one() -> None:
    talk = Talk()
    talk.upstream(response("resp_1", "completed", conversation_id=None))
    assert talk.lives() == [("resp_1", "in_progress"), ("resp_1", "completed")]


def test_tools_named_for_one_response_are_joined_with_the_servers() -> None:
    talk = Talk(("say",))
    talk.client(ask("mine", tools=[CLIENT_TOOL]))
    talk.settle()
    assert talk.service.asked[0]["response"]["tools"] == [SERVER_TOOL, CLIENT_TOOL]


# With everything shown


def test_who_asked_to_see_tools_sees_every_round_under_its_own_name() -> None:
    talk = Talk(("look",), ("say",), show_tools=True)
    talk.client(ask())
    talk.answer_tools()
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"] * 2
    assert len({id_ for id_, _ in talk.lives()}) == 2
    items = [event["item"]["type"] for event in talk.got("conversation.item.done")]
    assert items == ["function_call", "function_call_output", "message"]
    assert talk.types("response.function_call_arguments") == [
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    ]
    assert [event["response"]["output"][0]["type"] for event in talk.got("response.done")] == [
        "function_call",
        "message",
    ]
    assert SERVER_TOOL in talk.got("session.created")[0]["session"]["tools"]


def test_who_sees_the_calls_may_still_not_answer_them() -> None:
    talk = Talk(("look",), ("say",), show_tools=True)
    talk.client(ask())
    talk.settle()
    forged = {"type": "function_call_output", "call_id": talk.call(), "output": "Closed for ever."}
    talk.client({"type": "conversation.item.create", "event_id": "forged", "item": forged})
    assert [error["event_id"] for error in talk.errors()] == ["forged"]
    talk.answer_tools()
    assert list(talk.service.outputs.values()) == [["Open at nine."]]


# What the avatar is told


def states(talk: Talk) -> list[str]:
    """The avatar's states, in order."""
    return [event["state"] for event in talk.got("avatar.state")]


def test_the_avatar_listens_thinks_searches_thinks_speaks_and_listens() -> None:
    talk = Talk(("look",), ("say",), avatar=True)
    talk.client(ask())
    talk.answer_tools()
    assert states(talk) == ["listening", "thinking", "searching", "thinking", "speaking", "listening"]


def test_other_clients_are_told_nothing_of_the_kind() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(ask())
    talk.settle()
    talk.result(talk.call(), sources=[SOURCE])
    talk.answer_tools()
    assert talk.types("avatar.") == []


def test_the_answer_names_its_sources_once_for_the_item_that_speaks() -> None:
    talk = Talk(("look", "look"), ("say",), ("say",), avatar=True)
    talk.client(ask())
    talk.settle()
    for call_id in list(talk.tools):
        talk.result(call_id, sources=[SOURCE])
    talk.settle()
    talk.client(ask())
    talk.settle()
    (citations,) = talk.got("avatar.citations")
    answer = talk.got("response.output_item.added")[0]
    assert (citations["response_id"], citations["item_id"]) == (answer["response_id"], answer["item"]["id"])
    assert [source["id"] for source in citations["sources"]] == ["p1"]


@pytest.mark.parametrize("before_the_end", [True, False])
def test_what_was_found_for_a_cancelled_answer_is_not_cited_by_the_next(before_the_end: bool) -> None:
    talk = Talk(avatar=True)
    talk.upstream(response("resp_1"))
    talk.upstream(item_done("resp_1", call()))
    if before_the_end:
        talk.result("call_1", sources=[SOURCE])
    talk.upstream(response("resp_1", "cancelled", output=[call()]))
    if not before_the_end:
        talk.result("call_1", sources=[SOURCE])
    talk.client(ask())
    talk.settle()
    assert talk.got("response.output_item.added")
    assert talk.got("avatar.citations") == []


def test_the_record_has_what_was_said_and_what_was_called() -> None:
    talk = Talk(("look",), ("say",))
    talk.client(typed("When?"))
    talk.client(ask())
    talk.answer_tools()
    said = [(entry.role, entry.text) for entry in talk.record() if isinstance(entry, Said)]
    assert said == [("user", "When?"), ("assistant", "We open at nine.")]
    called = [entry for entry in talk.record() if isinstance(entry, Called)]
    assert [entry.outcome for entry in called] == ["answered"]


def test_events_of_a_response_nobody_knows_are_dropped_and_noted() -> None:
    talk = Talk()
    talk.upstream({"type": "response.output_text.delta", "response_id": "resp_x", "item_id": "i", "delta": "?"})
    assert talk.seen[1:] == []
    assert list(talk.ignored()) == [Ignored("upstream", "response.output_text.delta", "its response is not active")]


def test_events_that_do_not_name_their_response_pass() -> None:
    talk = Talk()
    for step in ("in_progress", "completed", "failed"):
        talk.upstream({"type": f"response.mcp_call.{step}", "output_index": 0, "item_id": "item_mcp"})
    assert len(talk.types("response.mcp_call")) == 3


@pytest.mark.parametrize("bad", [{"usage": {"total_tokens": "many"}}, {"output": [{"type": None}]}])
def test_an_end_of_which_a_part_cannot_be_read_still_ends_the_response(bad: Event) -> None:
    talk = Talk()
    talk.upstream({**response("resp_1"), "event_id": "event_x1"})
    talk.upstream({**response("resp_1", "failed", **bad), "event_id": "event_x2"})

    assert [event["type"] for event in talk.seen][-2:] == ["response.created", "response.done"]
    assert talk.seen[-1]["response"]["status"] == "failed"


def test_a_note_of_ours_that_the_service_repeats_stays_out_of_the_conversation() -> None:
    talk = Talk(("look",))
    talk.client(ask())
    talk.settle()
    call_id = talk.call()
    talk.lose_upstream()
    talk.open()
    talk.pump(1000)
    frames = list(talk.service.down)
    (note,) = [frame for frame in frames if b'"role":"system"' in frame and b"item.added" in frame]
    talk.deliver(1000)
    talk.result(call_id)
    talk.settle(generate=False)
    talk.upstream(note)
    talk.settle()
    talk.lose_upstream()
    told = len(talk.told)
    talk.deadline(RECONNECT_DEADLINE)
    talk.open()
    items = [event["item"] for event in talk.told[told:] if event["type"] == "conversation.item.create"]
    assert [(item["type"], item.get("role")) for item in items] == [
        ("function_call", None),
        ("function_call_output", None),
        ("message", "assistant"),
        ("message", "system"),
    ]


def test_what_was_cancelled_on_a_connection_that_is_left_is_not_what_the_next_one_answers() -> None:
    talk = Talk(("say", "say"), limits=Limits(connection_s=100, rollover_s=20))
    talk.client({**ask(), "event_id": "first"})
    talk.now += 80
    talk.deadline(ROLLOVER_DEADLINE)
    talk.open()
    talk.settle()
    # Nothing is wanted of the old connection any more, so the next takes over before that has said so.
    talk.client({"type": "response.cancel"})
    (error,) = talk.got("error")
    assert error["error"]["code"] == "response_cancelled"
    assert error["error"]["event_id"] == "first"
    talk.client(ask())
    talk.settle()
    assert talk.got("response.done")[-1]["response"]["status"] == "completed"
    assert not talk.machine._answers.owes_response
