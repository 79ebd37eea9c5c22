"""Everything that weakens the server is said, each with its setting; what a careful operator sets is not."""

import base64
from pathlib import Path
from typing import Any

import pytest

from server.app.unsafe import unsafe
from server.cli.entry import main
from server.secret import Secret
from server.settings import Settings

GOOD_KEY = Secret(base64.b64encode(bytes(range(40, 64))).decode())
CAREFUL: dict[str, Any] = {
    "host": "0.0.0.0",
    "api_key": Secret.by_reference("https://vault.example/secrets/key"),
    "tls_cert": Path("cert.pem"),
    "tls_key": Path("key.pem"),
    "sessions_per_principal": 20,
    "minutes_per_day": 600.0,
    "allowed_origins": "https://shop.example",
    "trusted_proxies": "10.0.0.0/8, fd00::/48",
}


def test_defaults_on_this_machine_are_fine() -> None:
    assert unsafe(Settings()) == []


def test_a_careful_operator_hears_nothing() -> None:
    assert unsafe(Settings(**CAREFUL)) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"open_access": True}, "LIVEAVATAR_OPEN"),
        ({"url_credentials": True}, "LIVEAVATAR_URL_CREDENTIALS"),
        ({"jwt_issuer": "https://issuer.example", "jwt_audience": "a"}, "LIVEAVATAR_JWT_KB_CLAIM"),
        ({"api_key": Secret("aaaaaaaaaaaaaaaa"), "host": "127.0.0.1"}, "LIVEAVATAR_API_KEY"),
        ({"api_key": Secret("abababababababababababababab"), "host": "127.0.0.1"}, "LIVEAVATAR_API_KEY"),
        ({"api_key": GOOD_KEY}, "LIVEAVATAR_API_KEY"),
        ({"allow_plain": True}, "LIVEAVATAR_ALLOW_PLAIN"),
        ({"trusted_proxies": "10.0.0.1, 0.0.0.0/0"}, "LIVEAVATAR_TRUSTED_PROXIES"),
        ({"trusted_proxies": "::/0"}, "LIVEAVATAR_TRUSTED_PROXIES"),
        ({"trusted_proxies": None, "trusted_hops": 2}, "LIVEAVATAR_TRUSTED_HOPS"),
        ({"allowed_origins": "https://a.example, http://b.example"}, "LIVEAVATAR_ALLOWED_ORIGINS"),
        ({"allowed_origins": "https://*.example"}, "LIVEAVATAR_ALLOWED_ORIGINS"),
        ({"sessions_per_principal": 0}, "LIVEAVATAR_SESSIONS_PER_PRINCIPAL"),
        ({"minutes_per_day": 0.0}, "LIVEAVATAR_MINUTES_PER_DAY"),
        ({"session_max": 0.0}, "LIVEAVATAR_SESSION_MAX"),
        ({"log_level": "debug"}, "LIVEAVATAR_LOG_LEVEL"),
        ({"guard_rules": Path("rules"), "guard_fail": "open"}, "LIVEAVATAR_GUARD_FAIL"),
        (
            {"search_endpoint": "https://x.search.windows.net", "search_filter_field": "none"},
            "LIVEAVATAR_SEARCH_FILTER_FIELD",
        ),
    ],
    ids=str,
)
def test_each_unsafe_setting_is_named_alone(changes: dict[str, Any], named: str) -> None:
    (said,) = unsafe(Settings(**{**CAREFUL, **changes}))
    assert named in said


def test_no_warning_shows_a_secret() -> None:
    shown = str(unsafe(Settings(**{**CAREFUL, "api_key": Secret("abababababababababab")})))
    assert "abab" not in shown


def test_the_check_warns_and_is_content_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIVEAVATAR_LOG_LEVEL", "debug")
    assert main(["check", "--offline"]) == 0
    assert "WARNING  LIVEAVATAR_LOG_LEVEL is debug" in capsys.readouterr().out


def test_the_check_names_rules_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").write_text("fine\n/(/\n")
    monkeypatch.setenv("LIVEAVATAR_GUARD_RULES", "rules")
    monkeypatch.setenv("LIVEAVATAR_TRANSCRIPTION_MODEL", "whisper-1")
    assert main(["check", "--offline"]) == 1
    assert "LIVEAVATAR_GUARD_RULES: rules, line 2" in capsys.readouterr().out
    (tmp_path / "rules").write_text("fine\n")
    assert main(["check", "--offline"]) == 0
    assert "transcript guard: what people say" in capsys.readouterr().out
