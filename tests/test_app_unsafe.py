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
        ({"trusted_proxies": "10.0.0.1 0.0.0.0/0"}, "LIVEAVATAR_TRUSTED_PROXIES"),
        ({"trusted_proxies": "::/0"}, "LIVEAVATAR_TRUSTED_PROXIES"),
        ({"trusted_proxies": None, "trusted_hops": 2}, "LIVEAVATAR_TRUSTED_HOPS"),
        ({"allowed_origins": "https://a.example, http://b.example"}, "LIVEAVATAR_ALLOWED_ORIGINS"),
        ({"allowed_origins": "https://a.example http://b.example"}, "LIVEAVATAR_ALLOWED_ORIGINS"),
        ({"allowed_origins": "http://localhost.evil.example:80"}, "LIVEAVATAR_ALLOWED_ORIGINS"),
        ({"connections_per_address": 1_000_000}, "LIVEAVATAR_CONNECTIONS_PER_ADDRESS"),
        ({"arrivals_per_address": 1_000_000}, "LIVEAVATAR_CONNECTIONS_PER_SECOND"),
        ({"handshakes_per_address": 1_000_000}, "LIVEAVATAR_HANDSHAKES_PER_SECOND"),
        ({"events_per_second": 10**9}, "LIVEAVATAR_EVENTS_PER_SECOND"),
        ({"audio_per_second": 1e9}, "LIVEAVATAR_AUDIO_PER_SECOND"),
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


@pytest.mark.parametrize(
    ("name", "mode", "is_named"),
    [
        ("data/keys.json", 0o600, False),
        ("data/keys.json", 0o666, True),
        ("data/keys.json", 0o644, True),
        ("tls.pem", 0o640, False),
        ("tls.pem", 0o644, True),
        (".env", 0o600, False),
        (".env", 0o644, True),
        ("data", 0o755, False),
        ("data", 0o777, True),
        ("data", 0o1777, False),
    ],
)
def test_the_check_warns_of_files_that_others_may_read_or_change(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    mode: int,
    is_named: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "create", "site"]) == 0
    (tmp_path / "data").chmod(0o755)
    for file, contents in (("tls.pem", "key"), (".env", "LIVEAVATAR_API_KEY=mK3vQ9xT2bL7nR5wY8cZ4d\n")):
        (tmp_path / file).write_text(contents)
        (tmp_path / file).chmod(0o600)
    (tmp_path / name).chmod(mode)
    monkeypatch.setenv("LIVEAVATAR_TLS_CERT", "tls.pem")
    monkeypatch.setenv("LIVEAVATAR_TLS_KEY", "tls.pem")
    capsys.readouterr()
    assert main(["check", "--offline"]) == 0
    out = capsys.readouterr().out
    assert (f"WARNING  {name} " in out) == is_named
    assert out.count("WARNING") == is_named
    assert "mK3v" not in out


def test_an_env_file_without_secrets_may_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("LIVEAVATAR_LOG_LEVEL=info\nOPENAI_API_KEY=\n")
    (tmp_path / ".env").chmod(0o644)
    assert main(["check", "--offline"]) == 0
    assert "WARNING" not in capsys.readouterr().out


def test_the_check_says_that_nobody_finds_a_server_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("OPEN", "yes"), ("HOST", "0.0.0.0"), ("ALLOW_PLAIN", "yes")):
        monkeypatch.setenv(f"LIVEAVATAR_{name}", text)
    assert main(["check", "--offline"]) == 0
    assert "note     LIVEAVATAR_ALLOWED_HOSTS" in capsys.readouterr().out
    monkeypatch.setenv("LIVEAVATAR_ALLOWED_HOSTS", "avatar.example")
    assert main(["check", "--offline"]) == 0
    assert "LIVEAVATAR_ALLOWED_HOSTS" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["LIVEAVATAR_INIT_TIMEOUT", "LIVEAVATAR_HEAD_TIMEOUT"])
def test_strangers_do_not_stay_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "1e9")
    assert main(["check", "--offline"]) == 1
    assert f"{name}: must be at most 60" in capsys.readouterr().out


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
