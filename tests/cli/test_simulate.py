"""The simulator's flags are its settings, one for one, and what it prints is how to use it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.cli.entry import build_parser, main
from server.cli.simulate import simulator_settings, usage_hint
from server.simulator.settings import SimulatorSettings

Capture = pytest.CaptureFixture[str]
KEY = "simulators-own-key"


def settings_of(*arguments: str) -> SimulatorSettings:
    return simulator_settings(build_parser().parse_args(["simulate", *arguments]))


def test_without_flags_it_has_its_own_defaults_and_a_fixed_port() -> None:
    assert settings_of() == msgspec.structs.replace(SimulatorSettings(), port=8100)


FLAGS: list[tuple[list[str], dict[str, Any]]] = [
    (["--host", "::1"], {"host": "::1"}),
    (["--port", "0"], {"port": 0}),
    (["--service", "openai"], {"service": "openai"}),
    (["--key", KEY], {"api_key": KEY}),
    (["--tokens", "tokens.txt"], {"tokens_file": "tokens.txt"}),
    (["--quota", "6"], {"quota": 6}),
    (["--tls-cert", "c.pem", "--tls-key", "k.pem"], {"tls_cert": "c.pem", "tls_key": "k.pem"}),
    (["--model", "a", "--model", "b"], {"models": ("a", "b")}),
    (["--max-duration", "60"], {"session_seconds": 60.0}),
    (["--session-seconds", "60"], {"session_seconds": 60.0}),
    (["--context-tokens", "96000"], {"context_tokens": 96_000}),
    (["--pace", "2"], {"pace": 2.0}),
    (["--think-ms", "300"], {"think_ms": 300}),
    (["--session-voice", "marin"], {"voice": "marin"}),
    (["--voice", "synthetic"], {"engine": "synthetic"}),
    (["--seed", "7"], {"seed": 7}),
    (["--max-connections", "3"], {"max_connections": 3}),
    (["--token-limit", "10"], {"token_limit": 10}),
    (["--ping-seconds", "0"], {"ping_seconds": 0.0}),
    (["--send-seconds", "1.5"], {"send_seconds": 1.5}),
]


@pytest.mark.parametrize(("arguments", "fields"), FLAGS)
def test_a_flag_is_a_setting(arguments: list[str], fields: dict[str, Any]) -> None:
    assert settings_of("--port", "0", *arguments) == msgspec.structs.replace(SimulatorSettings(), **fields)


def test_every_setting_has_a_flag() -> None:
    covered = {name for _, fields in FLAGS for name in fields} | {"faults"}
    assert covered == set(SimulatorSettings.__struct_fields__)


def test_faults_come_from_a_script_and_from_chance(place: Path) -> None:
    (place / "faults.toml").write_text('[[faults]]\nwhen = "handshake"\ndo = "drop"\n')
    assert [rule.do for rule in settings_of("--faults", "faults.toml").faults] == ["drop"]
    assert len(settings_of("--faults", "faults.toml", "--random-faults", "3").faults) == 4
    assert settings_of("--random-faults", "3") == settings_of("--random-faults", "3")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "missing.toml"], "Fault script missing.toml: "),
        (["--session-voice", "nobody"], "Simulator setting 'voice' must be one of "),
        (["--tls-cert", "c.pem"], "Simulator setting 'tls_key' and 'tls_cert' are needed together"),
        (["--port", "0", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "TLS certificate c.pem: No such file"),
        (["--port", "0", "--tokens", "none.txt"], "File of tokens none.txt: "),
    ],
)
def test_what_it_cannot_use_is_said(arguments: list[str], said: str, capsys: Capture) -> None:
    assert main(["simulate", *arguments]) == 1
    assert f"liveavatar: {said}" in capsys.readouterr().err


def test_the_hint_is_the_environment_that_a_server_needs() -> None:
    shown = usage_hint("ws://127.0.0.1:8100", SimulatorSettings(api_key=KEY, models=("rt",)))
    assert "ws://127.0.0.1:8100/openai/v1/realtime?model=rt" in shown
    assert "AZURE_OPENAI_ENDPOINT=http://127.0.0.1:8100\n" in shown
    assert "AZURE_OPENAI_DEPLOYMENT=rt" in shown
    assert KEY not in shown
    assert "ws://127.0.0.1:8100/v1/realtime?model=rt" in shown
    assert "OPENAI_BASE_URL=http://127.0.0.1:8100/v1\n" in shown
    shown = usage_hint("wss://127.0.0.1:8100", SimulatorSettings(service="azure"))
    assert "AZURE_OPENAI_ENDPOINT=https://127.0.0.1:8100\n" in shown
    assert "OPENAI_BASE_URL" not in shown
    assert "API_KEY" in shown
    assert "API_KEY" not in usage_hint("wss://127.0.0.1:8100", SimulatorSettings(tokens_file="tokens"))
    shown = usage_hint("ws://127.0.0.1:8100", SimulatorSettings(service="openai"))
    assert "AZURE" not in shown
    assert "OPENAI_BASE_URL=http://127.0.0.1:8100/v1\n" in shown
    assert "OPENAI_API_KEY=anything\n" in shown


def test_a_taken_port_is_said(capsys: Capture) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["simulate", "--port", str(port), "--voice", "synthetic"]) == 1
    shown = capsys.readouterr()
    assert f"cannot listen at 127.0.0.1, port {port}" in shown.err
    assert "Traceback" not in shown.err
