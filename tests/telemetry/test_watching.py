"""What is seen of a session: how long people wait, what was used, what went wrong; and nothing of what they say."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog
import trio

from protocol.endings import EndReason
from protocol.realtime.usage import CachedTokensDetails, InputTokenDetails, OutputTokenDetails, Usage
from server.security.principal import LOCAL
from server.session.base import SessionRequest, SessionWatch
from server.telemetry.metrics import Metrics
from server.telemetry.watching import SAMPLED, SessionEye, Watcher, current_span
from server.upstream.base import UpstreamUnreachable
from tests.telemetry.spans import Tracer
from tests.telemetry.tasks import in_a_task

FIRST_AUDIO = "liveavatar_first_audio_seconds"
SPEECH_STOPPED = b'{"type":"input_audio_buffer.speech_stopped","event_id":"event_1","audio_end_ms":900,"item_id":"i"}'
SPEECH_STARTED = b'{"type":"input_audio_buffer.speech_started","event_id":"event_2","audio_start_ms":9,"item_id":"i"}'
CREATED = b'{"type":"response.created","event_id":"event_3","response":{"id":"resp_1","status":"in_progress"}}'
DONE = b'{"type":"response.done","event_id":"event_4","response":{"id":"resp_1","status":"completed"}}'
SOUND = b'{"type":"response.output_audio.delta","event_id":"event_5","delta":"AAAA"}'
CREATE = b'{"type":"response.create"}'


class World:
    """A session that is watched, and the clock."""

    def __init__(self, traceparent: str | None = None) -> None:
        self.now = 100.0
        self.tracer = Tracer()
        self.metrics = Metrics()
        self.watcher = Watcher(self.metrics, self.tracer, clock=lambda: self.now)
        self.request = SessionRequest(
            kb_id=None,
            avatar_events=True,
            show_tools=False,
            settable=None,
            endpoint="/ws",
            principal=LOCAL,
            traceparent=traceparent,
        )
        self.eye = SessionEye(self.watcher, "sess_1", self.request, "museum")
        self.eye.started()

    def shows(self, frame: bytes, after_s: float = 0.0, audio_ms: float = 0.0) -> None:
        self.now += after_s
        self.eye.to_client(frame, audio_ms)

    def says(self, data: bytes, after_s: float = 0.0) -> None:
        self.now += after_s
        self.eye.from_client(data, self.now)

    def waited(self, after: str) -> list[float]:
        """How often, and how long in all."""
        held = self.metrics.distribution(FIRST_AUDIO, after)
        return [held.count, round(held.total, 6)]

    def turns(self) -> list[Any]:
        return [turn.ended for turn in self.tracer.of("turn")]


def test_from_the_end_of_speech_to_the_first_sound() -> None:
    world = World()
    world.shows(SPEECH_STARTED)
    world.shows(SPEECH_STOPPED, after_s=2)
    world.shows(CREATED, after_s=0.4)
    world.shows(SOUND, after_s=0.3, audio_ms=100)
    world.shows(SOUND, after_s=5, audio_ms=100)
    world.shows(DONE)
    assert world.waited("speech") == [1, 0.7]
    assert world.turns() == [{"liveavatar.outcome": "answered", "liveavatar.first_audio_s": 0.7}]


@pytest.mark.parametrize(
    "question",
    [
        CREATE,
        b'{"event_id": "e", "type": "response.create", "response": {"instructions": "Greet."}}',
        b'{"response":{"metadata":{"a":"b"}},"type":"response.create"}',
    ],
)
def test_from_a_question_to_the_first_sound(question: bytes) -> None:
    world = World()
    world.says(question)
    world.shows(CREATED, after_s=1)
    world.shows(SOUND, after_s=1, audio_ms=100)
    assert world.waited("question") == [1, 2]


def test_speech_that_goes_on_after_a_pause_moves_the_moment() -> None:
    world = World()
    world.shows(SPEECH_STOPPED)
    world.shows(SPEECH_STARTED, after_s=0.5)
    world.shows(SPEECH_STOPPED, after_s=2)
    world.shows(CREATED)
    world.shows(SOUND, after_s=1, audio_ms=100)
    assert world.waited("speech") == [1, 1]
    assert [turn["liveavatar.outcome"] for turn in world.turns() if turn] == ["interrupted"]


def test_the_sound_of_an_earlier_answer_is_not_the_answer() -> None:
    world = World()
    world.says(CREATE)
    world.shows(CREATED)
    world.shows(SOUND, after_s=1, audio_ms=100)
    world.says(CREATE, after_s=1)
    world.shows(SOUND, after_s=0.01, audio_ms=100)
    world.shows(DONE)
    world.shows(CREATED, after_s=1)
    world.shows(SOUND, after_s=1, audio_ms=100)
    assert world.waited("question") == [2, 3.01]


def test_an_answer_in_text_makes_nobody_wait_for_sound() -> None:
    world = World()
    world.says(CREATE)
    world.shows(CREATED)
    world.shows(b'{"type":"response.output_text.delta","delta":"Hi"}')
    world.shows(DONE, after_s=1)
    world.shows(SOUND, after_s=60, audio_ms=100)
    assert world.waited("question") == [0, 0]
    assert world.turns() == [{"liveavatar.outcome": "answered"}]


def test_what_people_say_is_never_taken_for_an_event() -> None:
    world = World()
    for text in ('"response.create"', '"input_audio_buffer.speech_stopped"', '{"type":"response.create"}'):
        event = {"type": "conversation.item.create", "item": {"content": [{"text": text}]}}
        world.says(msgspec.json.encode(event))
        world.shows(msgspec.json.encode({"type": "conversation.item.added", "text": text}))
    world.says(b'{"type":"input_audio_buffer.append","audio":"AAAA"}')
    assert world.tracer.of("turn") == []


def test_nothing_that_was_said_is_in_a_span() -> None:
    world = World()
    world.says(b'{"type":"response.create","response":{"instructions":"swordfish"}}')
    with world.watcher.errand("search", "") as errand:
        errand.outcome = "found"
    world.shows(CREATED)
    world.shows(b'{"type":"response.output_audio_transcript.delta","delta":"swordfish"}')
    world.shows(DONE)
    world.eye.ended(EndReason.COMPLETED, 3.0)
    assert "swordfish" not in repr([(span.name, span.attributes, span.ended) for span in world.tracer.spans])


def test_a_session_is_a_trace_and_the_callers_if_there_is_one() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    world = World(f"00-{trace}-b7ad6b7169203331-01")
    world.says(CREATE)
    world.eye.ended(EndReason.INTERNAL, 12.0)
    session, turn = world.tracer.spans
    assert session.trace_id == turn.trace_id == trace
    assert turn.parent is session
    assert turn.ended == {"liveavatar.outcome": "ended"}
    assert session.ended == {"liveavatar.end_reason": "internal"}
    assert session.failed
    assert session.attributes["liveavatar.session.id"] == "sess_1"
    assert world.metrics.value("liveavatar_sessions_started_total", "/ws") == 1
    assert world.metrics.value("liveavatar_sessions_ended_total", "internal") == 1
    assert world.metrics.distribution("liveavatar_session_seconds").total == 12


async def test_whoever_works_for_a_session_says_so_in_the_log_and_finds_its_span() -> None:
    world = World("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    found: dict[str, Any] = {}

    async def child() -> None:
        found.update(structlog.contextvars.get_contextvars(), span=current_span())

    async def works() -> None:
        world.eye.enter()
        await in_a_task(child)

    await in_a_task(works)
    assert found["session_id"] == "sess_1"
    assert found["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert found["span"] is world.tracer.spans[0]
    assert current_span() is None, "others do not"
    assert structlog.contextvars.get_contextvars() == {}


async def test_errands_lie_within_each_other_and_within_the_turn() -> None:
    world = World()

    async def works() -> None:
        world.eye.enter()
        world.says(CREATE)
        with world.watcher.errand("tool", "search_knowledge_base") as tool:
            world.now += 1
            with world.watcher.errand("search", "") as search:
                world.now += 2
                search.outcome = "found"
            tool.outcome = "answered"

    await in_a_task(works)
    _, turn, tool, search = world.tracer.spans
    assert (search.parent, tool.parent) == (tool, turn)
    assert tool.attributes == {"liveavatar.tool": "search_knowledge_base"}
    assert search.ended == {"liveavatar.outcome": "found"}
    assert world.metrics.value("liveavatar_tool_calls_total", "search_knowledge_base", "answered") == 1
    assert world.metrics.value("liveavatar_searches_total", "found") == 1
    assert world.metrics.distribution("liveavatar_tool_seconds", "search_knowledge_base").total == 3
    assert world.metrics.distribution("liveavatar_search_seconds").total == 2


async def test_an_errand_that_nobody_finished_was_cancelled_or_crashed() -> None:
    world = World()
    with trio.CancelScope() as scope:
        scope.cancel()
        with world.watcher.errand("tool", "nap"):
            await trio.sleep_forever()
    with pytest.raises(ZeroDivisionError), world.watcher.errand("tool", "nap"):
        raise ZeroDivisionError
    assert world.metrics.value("liveavatar_tool_calls_total", "nap", "cancelled") == 1
    assert world.metrics.value("liveavatar_tool_calls_total", "nap", "crashed") == 1
    assert world.metrics.value("liveavatar_errors_total", "internal", "tool_crashed") == 1


def test_only_a_connect_that_succeeds_has_a_time() -> None:
    world = World()
    for outcome in ("unreachable", "connected"):
        with world.watcher.errand("connect", "west") as errand:
            world.now += 1
            errand.outcome = outcome
    assert world.metrics.value("liveavatar_upstream_connects_total", "west", "unreachable") == 1
    assert world.metrics.value("liveavatar_upstream_connects_total", "west", "connected") == 1
    assert world.metrics.distribution("liveavatar_upstream_connect_seconds", "west").count == 1


def test_tokens_are_counted_by_kind_and_modality_and_none_twice() -> None:
    world = World()
    details = CachedTokensDetails(text_tokens=20, audio_tokens=5)
    usage = Usage(
        total_tokens=190,
        input_tokens=140,
        output_tokens=50,
        input_token_details=InputTokenDetails(
            text_tokens=100, audio_tokens=30, cached_tokens=25, cached_tokens_details=details
        ),
        output_token_details=OutputTokenDetails(text_tokens=10, audio_tokens=40),
    )
    world.eye.responded("completed", usage)
    world.eye.responded("cancelled", None)
    world.eye.responded("something new", Usage(input_tokens=-5, output_tokens=7))

    def tokens(kind: str, modality: str) -> float:
        return world.metrics.value("liveavatar_tokens_total", kind, modality)

    assert [tokens("input", one) for one in ("text", "audio", "image", "unspecified")] == [80, 25, 0, 10]
    assert [tokens("cached_input", one) for one in ("text", "audio", "image")] == [20, 5, 0]
    assert [tokens("output", one) for one in ("text", "audio", "unspecified")] == [10, 40, 7]
    responses = [world.metrics.value("liveavatar_responses_total", one) for one in ("completed", "cancelled", "other")]
    assert responses == [1, 1, 1]


def test_money_is_counted_by_model_and_deployment_and_an_unknown_model_is_told() -> None:
    world = World()
    world.watcher.charged(model="gpt-realtime", deployment="west", usd=Decimal("0.066316"))
    world.watcher.charged(model="gpt-realtime", deployment="west", usd=Decimal(-1))
    world.watcher.charged(model="gpt-next", deployment="west", usd=Decimal(0), is_priced=False)
    assert world.metrics.value("liveavatar_cost_usd_total", "gpt-realtime", "west") == pytest.approx(0.066316)
    assert world.metrics.value("liveavatar_unknown_prices_total", "gpt-next") == 1
    assert world.metrics.value("liveavatar_unknown_prices_total", "gpt-realtime") == 0


def test_frames_are_counted_in_bytes_and_one_in_sixteen_is_timed() -> None:
    world = World()
    for _ in range(2 * SAMPLED):
        world.now += 0.001
        world.eye.from_upstream(b"12345", world.now - 0.0005)
        world.eye.to_upstream(b"123")
        world.shows(b"{}")
    world.says(b"1234567")
    values = [
        world.metrics.value("liveavatar_bytes_total", side, way)
        for side in ("client", "upstream")
        for way in ("in", "out")
    ]
    assert values == [7, 64, 160, 96]
    relay = world.metrics.distribution("liveavatar_relay_seconds", "upstream")
    assert relay.count == 2
    assert relay.total == pytest.approx(0.001)


def test_what_goes_wrong_is_counted_by_whose_fault_it_is() -> None:
    world = World()
    world.eye.failed()
    world.eye.ignored("client")
    world.eye.lost_upstream(UpstreamUnreachable("Nobody is there.", code="upstream_unreachable"))
    world.eye.dropped_speech(1500)
    world.eye.resumed()
    world.eye.connecting_again(is_planned=False)
    world.eye.connecting_again(is_planned=True)
    errors = {
        fault: world.metrics.value("liveavatar_errors_total", fault, code)
        for fault, code in (
            ("internal", "session_failed"),
            ("client", "ignored_event"),
            ("upstream", "upstream_unreachable"),
        )
    }
    assert errors == {"internal": 1, "client": 1, "upstream": 1}
    assert world.metrics.value("liveavatar_dropped_speech_seconds_total") == 1.5
    assert world.metrics.value("liveavatar_resumes_total") == 1
    assert world.metrics.value("liveavatar_upstream_reconnects_total") == 1
    assert world.metrics.value("liveavatar_upstream_rollovers_total") == 1


def test_a_session_that_nobody_watches_can_tell_everything_too() -> None:
    nobody = SessionWatch()
    nobody.from_client(b"{}", 0.0)
    nobody.to_client(b"{}", 0.0)
    nobody.from_upstream(b"{}", 0.0)
    nobody.to_upstream(b"{}")
    nobody.responded("completed", None)
    assert {name for name in vars(SessionWatch) if not name.startswith("_")} <= {
        name for name in vars(SessionEye) if not name.startswith("_")
    }
