"""The session object: defaults, partial updates, and every way to be refused."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.audio_input import SERVER_VAD
from server.simulator.configuration import Configuration
from server.simulator.refusal import Refusal


def fresh() -> Configuration:
    return Configuration("sess_1", "gpt-realtime", "alloy", 1_760_000_000)


def update(configuration: Configuration, *, locked: bool = False, **changes: Any) -> None:
    configuration.update({"type": "realtime", **changes}, voice_locked=locked)


def test_the_defaults_are_those_of_a_captured_session_created_in_its_key_order() -> None:
    session = fresh().session
    assert list(session) == [
        "type", "object", "id", "model", "output_modalities", "instructions", "tools", "tool_choice",
        "max_output_tokens", "tracing", "truncation", "prompt", "expires_at", "audio", "include",
    ]  # fmt: skip
    del session["instructions"]
    assert session == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1_760_000_000,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 200,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
        },
        "include": None,
    }


def test_an_absent_key_stays_and_null_switches_off() -> None:
    configuration = fresh()
    update(configuration, audio={"input": {"transcription": {"model": "whisper-1", "language": "de"}}})
    update(configuration, instructions="Be brief.")
    assert configuration.input["transcription"] == {"model": "whisper-1", "language": "de"}
    update(configuration, audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    assert configuration.input["transcription"] == {"model": "gpt-4o-transcribe", "language": "de"}
    update(configuration, audio={"input": {"transcription": None, "turn_detection": None}})
    assert configuration.input["transcription"] is None
    assert configuration.turn_detection is None
    assert configuration.session["instructions"] == "Be brief."
    assert configuration.output["voice"] == "alloy"


def test_turn_detection_merges_within_a_type_and_starts_from_its_defaults_in_another() -> None:
    configuration = fresh()
    update(configuration, audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}})
    update(configuration, audio={"input": {"turn_detection": {"silence_duration_ms": 700}}})
    assert configuration.turn_detection == SERVER_VAD | {"threshold": 0.7, "silence_duration_ms": 700}
    update(configuration, audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert configuration.turn_detection == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_tools_are_replaced_as_a_whole_and_keep_keys_of_mcp_servers() -> None:
    configuration = fresh()
    mcp = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com/mcp", "require_approval": "never"}
    function = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    update(configuration, tools=[mcp, function])
    assert configuration.session["tools"] == [mcp, function]
    update(configuration, tools=[])
    assert configuration.session["tools"] == []


REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
    ({"voice": "alloy"}, "unknown_parameter", "session.voice"),
    ({"turn_detection": None}, "unknown_parameter", "session.turn_detection"),
    ({"audio": {"input": {"gain": 1}}}, "unknown_parameter", "session.audio.input.gain"),
    ({"audio": {"input": {"turn_detection": {"type": "server_vad", "create_responese": True}}}}, "unknown_parameter",
     "session.audio.input.turn_detection.create_responese"),
    ({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}}, "unknown_parameter",
     "session.audio.input.turn_detection.threshold"),
    ({"audio": {"input": {"turn_detection": {"type": "none"}}}}, "invalid_value",
     "session.audio.input.turn_detection.type"),
    ({"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.5}}}}, "invalid_value",
     "session.audio.input.turn_detection.threshold"),
    ({"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 100}}}}, "invalid_value",
     "session.audio.input.turn_detection.idle_timeout_ms"),
    ({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "very"}}}}, "invalid_value",
     "session.audio.input.turn_detection.eagerness"),
    ({"audio": {"input": {"format": {"type": "pcm16"}}}}, "invalid_value", "session.audio.input.format.type"),
    ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}, "invalid_value",
     "session.audio.input.format.rate"),
    ({"audio": {"output": {"format": {}}}}, "missing_required_parameter", "session.audio.output.format.type"),
    ({"audio": {"output": {"voice": "nova"}}}, "invalid_value", "session.audio.output.voice"),
    ({"audio": {"output": {"speed": 1.6}}}, "invalid_value", "session.audio.output.speed"),
    ({"audio": {"output": {"speed": "fast"}}}, "invalid_type", "session.audio.output.speed"),
    ({"audio": None}, "invalid_type", "session.audio"),
    ({"instructions": 3}, "invalid_type", "session.instructions"),
    ({"instructions": None}, "invalid_type", "session.instructions"),
    ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": []}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
    ({"max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    ({"max_output_tokens": 4097}, "invalid_value", "session.max_output_tokens"),
    ({"max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens"),
    ({"max_output_tokens": 1.5}, "invalid_type", "session.max_output_tokens"),
    ({"max_output_tokens": True}, "invalid_type", "session.max_output_tokens"),
    ({"tools": {}}, "invalid_type", "session.tools"),
    ({"tools": [{"name": "x"}]}, "missing_required_parameter", "session.tools[0].type"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
    ({"tools": [{"type": "function", "name": "x", "strict": True}]}, "unknown_parameter", "session.tools[0].strict"),
    ({"tools": [{"type": "function", "name": "x", "parameters": []}]}, "invalid_type", "session.tools[0].parameters"),
    ({"tools": [{"type": "mcp"}]}, "missing_required_parameter", "session.tools[0].server_label"),
    ({"tool_choice": "sometimes"}, "invalid_value", "session.tool_choice"),
    ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "session.tool_choice.name"),
    ({"truncation": {"type": "retention_ratio"}}, "missing_required_parameter", "session.truncation.retention_ratio"),
    ({"truncation": {"type": "retention_ratio", "retention_ratio": 2}}, "invalid_value",
     "session.truncation.retention_ratio"),
    ({"tracing": "on"}, "invalid_value", "session.tracing"),
    ({"include": ["everything"]}, "invalid_value", "session.include[0]"),
    ({"prompt": {}}, "missing_required_parameter", "session.prompt.id"),
    ({"reasoning": {"effort": "extreme"}}, "invalid_value", "session.reasoning.effort"),
    ({"model": "another"}, "invalid_value", "session.model"),
    ({"type": "transcription"}, "invalid_value", "session.type"),
    ({"type": "chat"}, "invalid_value", "session.type"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "param"), REFUSED)
def test_a_bad_value_is_refused_and_nothing_of_the_update_is_applied(
    changes: dict[str, Any], code: str, param: str | None
) -> None:
    configuration = fresh()
    before = copy.deepcopy(configuration.session)
    with pytest.raises(Refusal) as refused:
        update(configuration, **({"instructions": "Something new."} | changes))
    assert (refused.value.detail.code, refused.value.detail.param) == (code, param)
    assert refused.value.detail.type == "invalid_request_error"
    assert configuration.session == before


def test_the_two_best_known_refusals_are_worded_as_the_service_words_them() -> None:
    configuration = fresh()
    with pytest.raises(Refusal, match=r"^Missing required parameter: 'session\.type'\.$"):
        configuration.update({"turn_detection": {"type": "server_vad"}}, voice_locked=False)
    with pytest.raises(Refusal, match=r"^Unknown parameter: 'session\.foo'\.$"):
        update(configuration, foo=1)


def test_turn_detection_without_a_type_after_it_was_switched_off_is_refused() -> None:
    configuration = fresh()
    update(configuration, audio={"input": {"turn_detection": None}})
    with pytest.raises(Refusal) as refused:
        update(configuration, audio={"input": {"turn_detection": {"threshold": 0.4}}})
    assert refused.value.detail.code == "missing_required_parameter"


def test_a_locked_voice_can_be_repeated_but_not_changed() -> None:
    configuration = fresh()
    update(configuration, locked=True, audio={"output": {"voice": "alloy", "speed": 1.2}})
    with pytest.raises(Refusal) as refused:
        update(configuration, locked=True, audio={"output": {"voice": "cedar"}})
    assert refused.value.detail.code == "cannot_update_voice"
    update(configuration, audio={"output": {"voice": "cedar"}})
    assert configuration.output["voice"] == "cedar"


def test_tracing_cannot_be_changed_once_on() -> None:
    configuration = fresh()
    update(configuration, tracing="auto")
    update(configuration, tracing="auto")
    with pytest.raises(Refusal):
        update(configuration, tracing=None)


GA_KEYS: list[tuple[str, Any]] = [
    ("model", "gpt-realtime-2.1"),
    ("instructions", ""),
    ("output_modalities", ["text"]),
    ("audio", {"input": {}, "output": {}}),
    ("tools", []),
    ("tool_choice", "none"),
    ("parallel_tool_calls", False),
    ("reasoning", {"effort": "low"}),
    ("max_output_tokens", 4096),
    ("truncation", {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 8000}}),
    ("tracing", {"workflow_name": "w", "group_id": "g", "metadata": {"a": 1}}),
    ("include", ["item.input_audio_transcription.logprobs"]),
    ("prompt", {"id": "pmpt_1", "version": "2", "variables": {"city": "Bergen"}}),
]


@pytest.mark.parametrize(("key", "value"), GA_KEYS)
def test_each_of_the_fourteen_keys_is_taken_and_shown(key: str, value: Any) -> None:
    configuration = Configuration("sess_1", "gpt-realtime-2.1", "alloy", 1_760_000_000)
    before = copy.deepcopy(configuration.session)
    update(configuration, **{key: value})
    if key == "audio":
        assert configuration.session == before
    else:
        assert configuration.session[key] == value


def test_the_fourteen_are_all_there_are() -> None:
    assert len(GA_KEYS) + len(["type"]) == 14


@pytest.mark.parametrize("key", ["reasoning", "parallel_tool_calls"])
@pytest.mark.parametrize(
    ("model", "can"),
    [
        ("gpt-realtime", False),
        ("gpt-realtime-2025-08-28", False),
        ("gpt-realtime-1.5", False),
        ("gpt-realtime-mini-2025-10-06", False),
        ("gpt-4o-realtime-preview", False),
        ("gpt-realtime-2", True),
        ("gpt-realtime-2.1-mini", True),
        ("our-deployment", True),
    ],
)
def test_only_models_that_reason_take_the_settings_of_reasoning(key: str, model: str, *, can: bool) -> None:
    configuration = Configuration("sess_1", model, "alloy", 1_760_000_000)
    value: Any = {"effort": "low"} if key == "reasoning" else True
    if can:
        configuration.update({"type": "realtime", key: value}, voice_locked=False)
        assert configuration.session[key] == value
        return
    with pytest.raises(Refusal) as refused:
        configuration.update({"type": "realtime", key: value}, voice_locked=False)
    assert (refused.value.detail.code, refused.value.detail.param) == ("unsupported_parameter", f"session.{key}")
    assert key not in configuration.session


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5000) | st.floats(0, 2) | st.sampled_from(["", "audio", "auto", "inf"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "audio", "input", "output", "format", "turn_detection", "tools", "voice", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_either_applied_or_refused_and_a_refusal_changes_nothing(changes: Any) -> None:
    configuration = fresh()
    before = copy.deepcopy(configuration.session)
    try:
        configuration.update(changes, voice_locked=False)
    except Refusal:
        assert configuration.session == before
