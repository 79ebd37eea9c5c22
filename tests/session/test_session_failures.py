"""A service that fails: what is asked for again, where, and when the client is told."""

import pytest
import trio
import trio.testing

from protocol.conversation.answers import AGAIN_S
from protocol.conversation.connections import REST_S
from protocol.conversation.limits import Limits
from server.upstream.base import UpstreamUnreachable
from tests.session.house import house
from tests.session.service import Answer, Json, Line, converse
from tests.session.test_session_reconnect import answers, second_line, words

DOWN = UpstreamUnreachable("Nobody answers.", code="upstream_unreachable", retryable=True)
PATIENT = Limits(failures=100)
USAGE = {"total_tokens": 12, "input_tokens": 10, "output_tokens": 2}


def failing(code: str = "boom", error_type: str = "server_error", said: str = "") -> Answer:
    """A response that fails, after some words if there are any."""

    async def fails(line: Line, _: Json) -> None:
        response_id = f"resp_{len(line.received)}"
        line.begin(response_id)
        if said:
            part = {"response_id": response_id, "item_id": f"item_{response_id}", "output_index": 0, "content_index": 0}
            item = {"id": part["item_id"], "type": "message", "role": "assistant", "status": "in_progress"}
            line.send(
                "response.output_item.added", response_id=response_id, output_index=0, item={**item, "content": []}
            )
            line.place({**item, "content": []})
            line.send("response.content_part.added", **part, part={"type": "text", "text": ""})
            line.send("response.output_text.delta", **part, delta=said)
        error = {"type": error_type, "code": code, "message": "Sorry."}
        response = {**line._response(response_id, "failed", "conv_1", []), "usage": USAGE}
        line.send("response.done", response={**response, "status_details": {"type": "failed", "error": error}})

    return fails


fails = failing()


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
async def test_an_answer_that_failed_unseen_is_asked_for_again_and_nobody_notices(
    autojump_clock: trio.testing.MockClock, path: str
) -> None:
    async with house(converse(fails, fails, answers), limits=PATIENT) as home:
        caller = await home.opened(path=path)
        began = trio.current_time()
        caller.ask("When?")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"
        assert sum(AGAIN_S) <= trio.current_time() - began < sum(AGAIN_S) + 1
        assert len(caller.of("response.created")) == len(caller.of("response.done")) == 1
        assert len(home.line.of("response.create")) == 3
        assert caller.of("error") == []
        # What was billed for nothing is told with the rest.
        assert done["response"]["usage"]["input_tokens"] >= 2 * USAGE["input_tokens"]


async def test_one_that_fails_again_and_again_is_shown_as_failed(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(fails, fails, fails, answers), limits=PATIENT) as home:
        caller = await home.opened()
        caller.ask("When?")
        assert (await caller.until("response.done"))["response"]["status"] == "failed"
        await trio.sleep(10)
        assert len(home.line.of("response.create")) == 3
        caller.ask("And now?")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"


async def test_what_was_seen_of_an_answer_is_not_said_again(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(failing(said="We open"), answers), limits=PATIENT) as home:
        caller = await home.opened()
        caller.ask("When?")
        assert (await caller.until("response.done"))["response"]["status"] == "failed"
        await trio.sleep(10)
        assert len(home.line.of("response.create")) == 1


@pytest.mark.parametrize("error_type", ["invalid_request_error", "content_filter"])
async def test_what_is_no_failure_of_the_service_is_not_asked_again(
    autojump_clock: trio.testing.MockClock, error_type: str
) -> None:
    async with house(converse(failing("odd", error_type), answers), limits=Limits(failures=1)) as home:
        caller = await home.opened()
        caller.ask("When?")
        assert (await caller.until("response.done"))["response"]["status"] == "failed"
        await trio.sleep(10)
        assert len(home.line.of("response.create")) == 1
        assert len(home.service.lines) == 1


@pytest.mark.parametrize("goes_on", ["types", "speaks"])
async def test_who_goes_on_meanwhile_is_answered_and_the_failed_answer_is_dropped(
    autojump_clock: trio.testing.MockClock, goes_on: str
) -> None:
    async with house(converse(fails, answers, answers), limits=PATIENT) as home:
        caller = await home.opened()
        caller.ask("When?")
        await trio.sleep(AGAIN_S[0] / 2)
        assert len(home.line.of("response.create")) == 1
        if goes_on == "types":
            caller.ask("No: where?")
        else:
            home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(10)
        created, done = caller.of("response.created"), caller.of("response.done")
        assert [event["response"]["id"] for event in created] == [event["response"]["id"] for event in done]
        assert len(home.line.of("response.create")) == (2 if goes_on == "types" else 1)


async def test_a_connection_that_is_lost_meanwhile_is_asked_no_more_but_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(fails), converse(answers), limits=PATIENT) as home:
        caller = await home.opened()
        caller.ask("When?")
        await trio.sleep(AGAIN_S[0] / 2)
        assert len(home.line.of("response.create")) == 1
        home.line.wire.reset()
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        line = await second_line(home)
        assert len(line.of("response.create")) == 1
        assert len(caller.of("response.created")) == 1


async def test_a_service_that_fails_every_time_is_replaced_and_the_next_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(fails, fails, fails), converse(answers), limits=Limits(failures=3)) as home:
        caller = await home.opened()
        caller.ask("When?")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        await second_line(home)
        assert len(home.service.lines[0].of("response.create")) == 3
        assert words(home.line)[0] == "When?"


async def test_failures_that_are_not_in_a_row_are_borne(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(fails, fails, answers, fails, fails, answers), limits=Limits(failures=3)) as home:
        caller = await home.opened()
        for number in range(2):
            caller.ask(f"Question {number}")
            assert (await caller.until("response.done"))["response"]["status"] == "completed"
        await trio.sleep(1)
        assert len(home.service.lines) == 1


async def test_errors_of_the_service_that_name_nothing_count_too(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), converse(answers), limits=Limits(failures=2)) as home:
        caller = await home.opened()
        for _ in range(2):
            home.line.send("error", error={"type": "server_error", "code": None, "message": "Sorry."})
        await second_line(home)
        caller.ask("And now?")
        await caller.until("response.done")


# What the deployment cannot do, whoever asks

CANNOT = [("insufficient_quota", "invalid_request_error"), ("model_not_found", "invalid_request_error")]


@pytest.mark.parametrize(("code", "error_type"), CANNOT)
async def test_where_a_deployment_cannot_serve_another_gives_the_answer_at_once(
    autojump_clock: trio.testing.MockClock, code: str, error_type: str
) -> None:
    async with house(converse(failing(code, error_type)), converse(answers), deployments=2) as home:
        caller = await home.opened()
        began = trio.current_time()
        caller.ask("When?")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"
        assert trio.current_time() - began < 2
        assert [entry["deployment"] for entry in home.log if entry["event"] == "upstream connected"] == [
            "place 1",
            "place 2",
        ]
        # The first is not asked again for a while.
        await trio.sleep(REST_S / 2)
        await home.opened()
        assert [entry["deployment"] for entry in home.log if entry["event"] == "upstream connected"][2:] == ["place 2"]


@pytest.mark.parametrize(("code", "error_type"), CANNOT)
async def test_where_there_is_no_other_the_client_sees_what_the_service_says_and_the_session_goes_on(
    autojump_clock: trio.testing.MockClock, code: str, error_type: str
) -> None:
    async with house(converse(failing(code, error_type), answers)) as home:
        caller = await home.opened()
        caller.ask("When?")
        done = await caller.until("response.done")
        assert (done["response"]["status"], done["response"]["status_details"]["error"]["code"]) == ("failed", code)
        caller.ask("And now?")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert len(home.service.lines) == 1
        await home.opened()


@pytest.mark.parametrize("deployments", [1, 2])
async def test_a_key_that_is_revoked_within_a_session_sends_it_elsewhere_if_there_is_elsewhere(
    autojump_clock: trio.testing.MockClock, deployments: int
) -> None:
    async with house(converse(answers), converse(answers), deployments=deployments) as home:
        caller = await home.opened()
        error = {"type": "authentication_error", "code": "invalid_api_key", "message": "Sorry."}
        home.line.send("error", error=error)
        await trio.sleep(2)
        assert len(home.service.lines) == deployments
        caller.ask("And now?")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"


async def test_what_was_wrong_before_is_not_said_of_another_loss(autojump_clock: trio.testing.MockClock) -> None:
    scripts = converse(fails, fails, fails), converse(answers), DOWN
    async with house(*scripts, limits=Limits(failures=3, reconnect_s=5)) as home:
        caller = await home.opened()
        caller.ask("When?")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        home.line.wire.reset()
        assert await caller.closed() == 4502
        (error,) = caller.of("error")
        assert "boom" not in error["error"]["message"]
