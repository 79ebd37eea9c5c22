"""What the client may set, and what it is shown of what is set."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.configuration import BROWSER_FIELDS, Configuration
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


def test_an_api_key_may_set_everything_but_the_servers_tools() -> None:
    wanted = {**copy.deepcopy(SESSION), "tools": [CLIENT_TOOL, {**SERVER_TOOL, "description": "Mine!"}], "new": 1}
    admitted = Configuration(BASE, [SERVER_TOOL]).admit_update(wanted)
    assert admitted == {**wanted, "tools": [SERVER_TOOL, CLIENT_TOOL]}


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
