import sys

import pytest

from server.simulator.voice import VoiceUnavailableError, load_voice
from server.simulator.voice import espeak as espeak_module


def test_the_synthetic_voice_can_be_asked_for() -> None:
    assert load_voice("synthetic").name == "synthetic"


def test_without_espeak_the_synthetic_voice_speaks_unless_espeak_was_insisted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak_module, "_engine", None)
    assert load_voice().name == "synthetic"
    with pytest.raises(VoiceUnavailableError, match="eSpeak NG cannot be loaded"):
        load_voice("espeak")
