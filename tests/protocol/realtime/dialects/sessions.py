"""Random sessions of both shapes, that mean something to both. Synthetic contents."""

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
PCM = {"type": "audio/pcm", "rate": 24000}
FORMATS = [PCM, {"type": "audio/pcmu"}, {"type": "audio/pcma"}]

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_number = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), _number, _text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_text, inner, max_size=3)),
    max_leaves=8,
)

_turn_detection = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"type": st.just("server_vad")},
        optional={
            "threshold": st.floats(0, 1),
            "silence_duration_ms": st.integers(0, 9999),
            "idle_timeout_ms": st.none(),
        },
    ),
    st.fixed_dictionaries({"type": st.just("semantic_vad")}, optional={"eagerness": st.just("low")}),
)
_input = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(FORMATS),
        "transcription": st.one_of(st.none(), st.fixed_dictionaries({"model": _text})),
        "noise_reduction": st.one_of(st.none(), st.just({"type": "near_field"})),
        "turn_detection": _turn_detection,
    },
)
_output = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(FORMATS),
        "voice": st.one_of(_text, st.just({"id": "v"})),
        "speed": st.just(1.25),
    },
)
ga_sessions: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {"type": st.just("realtime")},
    optional={
        "model": _text,
        "instructions": _text,
        "output_modalities": st.sampled_from([["audio"], ["text"]]),
        "audio": st.fixed_dictionaries({}, optional={"input": _input, "output": _output}),
        "tools": st.lists(st.fixed_dictionaries({"type": st.just("function"), "name": _text}), max_size=2),
        "tool_choice": st.sampled_from(["auto", "none", {"type": "function", "name": "x"}]),
        "max_output_tokens": st.one_of(st.integers(1, 4096), st.just("inf")),
        "tracing": st.one_of(st.none(), st.just("auto")),
        "include": st.none(),
    },
)
