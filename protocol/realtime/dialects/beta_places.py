"""Where each setting of the beta's flat session and response stands in GA. One table for both directions and for paths.

Source: the typed clients' beta and GA session objects, side by side.
"""

import re
from collections.abc import Mapping

Place = tuple[str, ...]

_VOICE: Place = ("audio", "output", "voice")
_OUTPUT_FORMAT: Place = ("audio", "output", "format")
_MODALITIES: Place = ("output_modalities",)
_MAX_TOKENS: Place = ("max_output_tokens",)

# In the order in which the beta shows them.
SESSION_PLACES: Mapping[str, Place] = {
    "model": ("model",),
    "modalities": _MODALITIES,
    "instructions": ("instructions",),
    "voice": _VOICE,
    "input_audio_format": ("audio", "input", "format"),
    "output_audio_format": _OUTPUT_FORMAT,
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "max_response_output_tokens": _MAX_TOKENS,
    "speed": ("audio", "output", "speed"),
    "tracing": ("tracing",),
    "include": ("include",),
}
TRANSCRIPTION_PLACES: Mapping[str, Place] = {
    name: SESSION_PLACES[name]
    for name in (
        "input_audio_format",
        "input_audio_transcription",
        "input_audio_noise_reduction",
        "turn_detection",
        "include",
    )
}
# As shown in a response object.
RESPONSE_PLACES: Mapping[str, Place] = {
    "modalities": _MODALITIES,
    "voice": _VOICE,
    "output_audio_format": _OUTPUT_FORMAT,
    "max_output_tokens": _MAX_TOKENS,
}
# What ``response.create`` takes besides. The two names of the token limit: the typed clients', and the API reference's.
# ``input_items`` is Azure's older name of ``input``.
REQUEST_PLACES: Mapping[str, Place] = {
    **RESPONSE_PLACES,
    "max_response_output_tokens": _MAX_TOKENS,
    "instructions": ("instructions",),
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "conversation": ("conversation",),
    "metadata": ("metadata",),
    "input_items": ("input",),
    "input": ("input",),
}

# The roots of paths in errors, and whose settings stand below them.
_ROOTS = {"session": SESSION_PLACES, "response": REQUEST_PLACES}
_FORMAT = re.compile(r"\.(type|rate)$")


def _paths() -> dict[str, str]:
    paths: dict[str, str] = {}
    for root, places in _ROOTS.items():
        for name, place in places.items():
            if (path := ".".join(place)) != name:
                paths.setdefault(f"{root}.{path}", f"{root}.{name}")
    return paths


_BETA_PATHS = _paths()
# A format is one word in beta: what is wrong with a part of it is wrong with the word.
_GA_PATH = re.compile(
    rf"\b(?P<path>{'|'.join(map(re.escape, sorted(_BETA_PATHS, key=len, reverse=True)))})(?![a-z_])(?P<below>\.\w+)?"
)


def beta_path(text: str) -> str:
    """A text in which every GA path of a setting is the beta's: an error's ``param``, or its message."""
    return _GA_PATH.sub(_renamed, text)


def _renamed(match: re.Match[str]) -> str:
    path, below = _BETA_PATHS[match["path"]], match["below"] or ""
    return path if path.endswith("_format") and _FORMAT.search(below) else path + below
