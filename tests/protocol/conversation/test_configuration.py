"""What the client may set, and what it is shown of what is set."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.configuration import BROWSER_FIELDS, Configuration
from protocol.realtime.session import INCLUDE_VISEMES
from tests.protocol.conversation.service import CLIENT_TOOL, SERVER_TOOL
from tests.protocol.realtime.samples import SESSION

BASE: dict[str, Any] = {
    "type": "realtime",
    "instructions": "You guide visitors.",
    "audio": {"output": {"voice": "ash"}},
}


def browser() -> Configuration:
    """The configuration of a browser's session."""
    return Configuration(BASE, [SERVER_TOOL], settable=BROWSER_FIELDS)


def test_the_opening_session_is_ours_with_our_tools() -> None:
    configuration = Configuration(BASE, [SERVER_TOOL])
    opening = configuration.opening_session()
    assert opening == {**BASE, "tools": [SERVER_TOOL]}
    opening["audio"]["output"]["voice"] = "alloy"
    assert configuration.opening_session()["audio"]["output"]["voice"] == "ash"


@pytest.mark.parametrize(
    ("wanted", "admitted"),
    [
        ({"type": "realtime"}, {"type": "realtime"}),
        ({"type": "realtime", "instructions": "Curse."}, {"type": "realtime"}),
        ({"tools": [CLIENT_TOOL], "tool_choice": "none", "model": "other"}, {}),
        ({"audio": {"output": {"voice": "sage", "speed": 1.5}}}, {"audio": {"output": {"voice": "sage"}}}),
        ({"audio": {"output": {"voice": {"id": "v"}}}}, {"audio": {"output": {"voice": {"id": "v"}}}}),
        ({"audio": {"input": {"turn_detection": None}}}, {"audio": {"input": {"turn_detection": None}}}),
        ({"audio": {"input": {"transcription": {"model": "whisper-1"}}}}, {}),
        ({"audio": {"input": None}}, {}),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu"}, "x": 1}}},
            {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
        ),
        ({"audio.output.voice": "sage", "audio": {"output.voice": "sage"}}, {}),
        ({"added_next_year": 1}, {}),
        ({}, {}),
    ],
    ids=str,
)
def test_a_browser_sets_its_sound_and_its_turns_and_nothing_else(wanted: Any, admitted: Any) -> None:
    assert browser().admit_update(wanted) == admitted


def test_an_api_key_may_set_everything_but_the_model_and_the_servers_tools() -> None:
    session = {key: value for key, value in copy.deepcopy(SESSION).items() if key != "model"}
    wanted = {**session, "tools": [CLIENT_TOOL, {**SERVER_TOOL, "description": "Mine!"}], "new": 1}
    admitted = Configuration(BASE, [SERVER_TOOL]).admit_update(wanted)
    assert admitted == {**wanted, "tools": [SERVER_TOOL, CLIENT_TOOL]}


def test_nobody_sets_the_model() -> None:
    configuration = Configuration(BASE, [SERVER_TOOL])
    update = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}
    assert configuration.admit_update(update) == {"type": "realtime", "instructions": "Be brief."}


TRANSCRIBED = {**BASE, "audio": {"input": {"transcription": {"model": "whisper-east", "language": "de"}}}}


def test_a_service_that_calls_the_transcription_otherwise_is_asked_for_it_by_its_name() -> None:
    configuration = Configuration(TRANSCRIBED, [])
    opening = configuration.opening_session("whisper-west")
    assert opening["audio"]["input"]["transcription"] == {"model": "whisper-west", "language": "de"}
    assert configuration.opening_session()["audio"]["input"]["transcription"]["model"] == "whisper-east"


@pytest.mark.parametrize("chosen", [{"model": "gpt-4o-transcribe"}, None])
def test_a_transcription_that_the_client_chose_is_left_alone(chosen: Any) -> None:
    configuration = Configuration(TRANSCRIBED, [])
    configuration.asked("e", {"audio": {"input": {"transcription": chosen}}})
    configuration.confirmed()
    told = configuration.opening_session("whisper-west")["audio"]["input"]["transcription"]
    assert (told or {}).get("model") == (chosen or {}).get("model")


def test_where_nothing_is_transcribed_nothing_is_asked_for() -> None:
    assert Configuration(BASE, []).opening_session("whisper-west") == {**BASE, "tools": []}


def test_a_client_that_clears_its_tools_does_not_clear_ours() -> None:
    assert Configuration(BASE, [SERVER_TOOL]).admit_update({"tools": []}) == {"tools": [SERVER_TOOL]}


def test_what_the_client_wrote_is_left_as_it_was() -> None:
    wanted = {"tools": [CLIENT_TOOL], "audio": {"input": {"noise_reduction": None}}}
    before = copy.deepcopy(wanted)
    Configuration(BASE, [SERVER_TOOL]).admit_update(wanted)
    browser().admit_update(wanted)
    assert wanted == before


def test_the_client_sees_the_session_without_our_tools() -> None:
    session = {**SESSION, "tools": [SERVER_TOOL, CLIENT_TOOL]}
    assert Configuration(BASE, [SERVER_TOOL]).shown(session) == {**SESSION, "tools": [CLIENT_TOOL]}
    assert Configuration(BASE, [SERVER_TOOL], show_tools=True).shown(session) == session


def learnt(**session: Any) -> Configuration:
    """A configuration that has seen this effective session."""
    configuration = Configuration(BASE, [SERVER_TOOL])
    configuration.learn(session)
    return configuration


@pytest.mark.parametrize(("format_", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcmu", 8), ("audio/pcma", 8)])
def test_the_formats_tell_the_bytes_of_a_millisecond(format_: str, bytes_per_ms: int) -> None:
    one, other = {"format": {"type": format_}}, {"format": {"type": "audio/pcm"}}
    configuration = learnt(audio={"input": one, "output": other})
    assert (configuration.input_bytes_per_ms, configuration.output_bytes_per_ms) == (bytes_per_ms, 48)
    configuration = learnt(audio={"input": other, "output": one})
    assert (configuration.input_bytes_per_ms, configuration.output_bytes_per_ms) == (48, bytes_per_ms)


@pytest.mark.parametrize(
    ("detection", "interrupts"),
    [
        (None, False),
        ({"type": "server_vad"}, True),
        ({"type": "semantic_vad", "interrupt_response": True}, True),
        ({"type": "server_vad", "interrupt_response": False}, False),
    ],
    ids=str,
)
def test_speech_interrupts_if_the_session_says_so(detection: Any, interrupts: bool) -> None:
    assert learnt(audio={"input": {"turn_detection": detection}}).interrupts is interrupts


@pytest.mark.parametrize(
    ("choice", "forces"), [("auto", False), ("none", False), ("required", True), ({"type": "function"}, True)], ids=str
)
def test_a_tool_choice_may_force_calls(choice: Any, forces: bool) -> None:
    assert learnt(tool_choice=choice).forces_tools is forces


def test_the_clients_own_tools_are_those_that_are_not_ours() -> None:
    assert learnt(tools=[SERVER_TOOL, CLIENT_TOOL]).own_tools_of_client == [CLIENT_TOOL]


# What the client changed, over several connections


def confirmed(*updates: dict[str, Any], base: dict[str, Any] = BASE) -> Configuration:
    """A configuration in which the client asked for these updates and the service did them."""
    configuration = Configuration(base, [SERVER_TOOL])
    for number, update in enumerate(updates):
        configuration.asked(f"event_{number}", configuration.admit_update(update))
        configuration.confirmed()
    return configuration


def test_another_connection_is_opened_with_what_the_client_made_of_the_session() -> None:
    configuration = confirmed({"instructions": "Be brief."}, {"audio": {"output": {"speed": 1.2}}})
    assert configuration.opening_session() == {
        "type": "realtime",
        "instructions": "Be brief.",
        "audio": {"output": {"voice": "ash", "speed": 1.2}},
        "tools": [SERVER_TOOL],
    }
    assert configuration.version == 2


def test_the_clients_tools_are_kept_beside_ours() -> None:
    assert confirmed({"tools": [CLIENT_TOOL]}).opening_session()["tools"] == [SERVER_TOOL, CLIENT_TOOL]
    assert confirmed({"tools": [CLIENT_TOOL]}, {"tools": []}).opening_session()["tools"] == [SERVER_TOOL]


def test_what_is_not_confirmed_is_not_sent_again_as_if_it_were() -> None:
    configuration = Configuration(BASE, [SERVER_TOOL])
    configuration.asked("a", {"instructions": "Be brief."})
    assert configuration.opening_session()["instructions"] == "You guide visitors."
    assert configuration.version == 0
    configuration.confirmed()
    assert configuration.opening_session()["instructions"] == "Be brief."


def test_what_was_refused_is_forgotten_wholly() -> None:
    configuration = Configuration(BASE, [SERVER_TOOL])
    configuration.asked("a", {"instructions": "First."})
    configuration.asked("b", {"instructions": "Second.", "speed": 99})
    configuration.asked("c", {"instructions": "Third."})
    configuration.refused("b")
    configuration.refused("never asked")
    configuration.refused(None)
    configuration.confirmed()
    assert configuration.opening_session()["instructions"] == "First."
    configuration.confirmed()
    assert configuration.opening_session()["instructions"] == "Third."
    assert configuration.version == 2


def test_a_client_may_give_two_updates_one_id() -> None:
    configuration = Configuration(BASE, [SERVER_TOOL])
    for update in ({"instructions": "Be brief."}, {"speed": 1}, {"speed": 2}):
        configuration.asked("always the same", update)
    configuration.confirmed()
    configuration.refused("always the same")
    configuration.confirmed()
    opening = configuration.opening_session()
    assert (opening["instructions"], opening["speed"]) == ("Be brief.", 2)


def test_a_confirmation_that_nobody_waits_for_changes_nothing() -> None:
    configuration = confirmed({"instructions": "Be brief."})
    configuration.confirmed()
    assert configuration.version == 1


VAD = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300}


@pytest.mark.parametrize(
    ("updates", "detection"),
    [
        ([], VAD),
        ([{}], VAD),
        ([{"turn_detection": None}], None),
        ([{"turn_detection": None}, {"turn_detection": {"type": "server_vad"}}], {"type": "server_vad"}),
        ([{"turn_detection": {"threshold": 0.9}}], {**VAD, "threshold": 0.9}),
        ([{"turn_detection": {"type": "server_vad", "threshold": 0.9}}], {**VAD, "threshold": 0.9}),
        ([{"turn_detection": {"threshold": None}}], {**VAD, "threshold": None}),
        ([{"turn_detection": {"type": "semantic_vad"}}], {"type": "semantic_vad"}),
        (
            [{"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}, {"turn_detection": VAD}],
            VAD,
        ),
        (
            [{"turn_detection": {"type": "semantic_vad"}}, {"turn_detection": {"eagerness": "low"}}],
            {"type": "semantic_vad", "eagerness": "low"},
        ),
        (
            [{"turn_detection": {"threshold": 0.9}}, {"turn_detection": {"type": "semantic_vad"}}],
            {"type": "semantic_vad"},
        ),
    ],
    ids=str,
)
def test_updates_are_merged_as_the_service_merges_them(updates: list[dict[str, Any]], detection: Any) -> None:
    base = {"type": "realtime", "audio": {"input": {"turn_detection": VAD, "transcription": {"model": "whisper-1"}}}}
    opening = confirmed(*({"audio": {"input": update}} for update in updates), base=base).opening_session()
    assert opening["audio"]["input"] == {"turn_detection": detection, "transcription": {"model": "whisper-1"}}


def test_a_field_that_is_null_is_set_and_one_that_is_absent_is_not() -> None:
    base = {"type": "realtime", "tracing": "auto", "truncation": "auto"}
    assert confirmed({"tracing": None}, base=base).opening_session()["tracing"] is None
    assert confirmed({"tracing": None}, base=base).opening_session()["truncation"] == "auto"
    assert confirmed({"tracing": None}, {"tracing": {"group_id": "g"}}, base=base).opening_session()["tracing"] == {
        "group_id": "g"
    }


def test_the_client_sees_one_session_whatever_connection_holds_it() -> None:
    configuration = Configuration(BASE, [SERVER_TOOL])
    assert configuration.shown({"id": "sess_1"})["id"] == "sess_1"
    assert configuration.shown({"id": "sess_2"})["id"] == "sess_1"
    assert "id" not in configuration.shown({})


def test_that_we_asked_for_mouth_positions_is_ours() -> None:
    ours = Configuration(BASE, [SERVER_TOOL]).shown({"include": [INCLUDE_VISEMES]})
    assert ours["include"] is None
    theirs = {"include": [INCLUDE_VISEMES, "item.input_audio_transcription.logprobs"]}
    assert Configuration(BASE, [SERVER_TOOL]).shown(theirs) == theirs


JSON_LEAVES = st.none() | st.integers(0, 3)
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from(["type", "a", "b"]), JSON_LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["type", "a", "b"]), JSON_LEAVES | inner, max_size=3),
    max_leaves=6,
)


@given(OBJECTS, OBJECTS)
def test_what_was_asked_for_last_holds_and_nothing_else_is_invented(one: dict[str, Any], other: dict[str, Any]) -> None:
    opening = confirmed(one, other, base={}).opening_session()
    del opening["tools"]

    def holds(asked: dict[str, Any], has: dict[str, Any]) -> None:
        for key, value in asked.items():
            if isinstance(value, dict):
                holds(value, has[key])
            else:
                assert has[key] == value

    holds(other, opening)
    assert set(opening) == set(one) | set(other)
    assert confirmed(one, other, other, base={}).opening_session() == confirmed(one, other, base={}).opening_session()


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["audio/pcmu", "server_vad", "auto"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["audio", "input", "output", "format", "type", "turn_detection", "tools", "voice"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["audio", "tools", "type", "tool_choice", "x"]), ANY))
def test_no_session_however_odd_is_too_much(session: dict[str, Any]) -> None:
    for configuration in (browser(), Configuration(BASE, [SERVER_TOOL])):
        configuration.admit_update(session)
        configuration.learn(session)
        configuration.shown(session)
