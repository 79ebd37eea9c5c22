"""The table of settings: every row is read, every wrong value is named, and what cannot work together is said."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.secret import Secret
from server.settings import OWN_PREFIX, TABLE, Setting, Settings, SettingsError, load

KEY = "a-key-of-enough-characters"
AZURE = {
    "AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com",
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime",
}

LISTS = {
    "LIVEAVATAR_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1",
    "LIVEAVATAR_ALLOWED_HOSTS": "avatar.example.com, museum.example:8443",
    "LIVEAVATAR_ALLOWED_ORIGINS": "https://shop.example.com, http://kiosk.example:3000",
}


def problems(environ: dict[str, str], env_file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(environ, env_file)
    assert str(error.value) == "\n".join(error.value.problems)
    return error.value.problems


EMBEDDING = {
    "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT": "https://name.openai.azure.com",
    "LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT": "embedding",
    "LIVEAVATAR_SEARCH_EMBEDDING_DIMENSIONS": "1536",
}


def another(setting: Setting) -> tuple[str, Any]:
    """A text for a setting that is not its default, and what it means."""
    choices = {
        "LIVEAVATAR_UPSTREAM": "embedded",
        "LIVEAVATAR_AZURE_AUTH": "managed",
        "LIVEAVATAR_SEARCH_MODE": "hybrid",
        "LIVEAVATAR_LOG_LEVEL": "debug",
        "LIVEAVATAR_LOG_FORMAT": "json",
        "LIVEAVATAR_GUARD_FAIL": "open",
    }
    match setting.type:
        case "text" if setting.name in LISTS:
            return LISTS[setting.name], LISTS[setting.name]
        case "secret":
            return KEY, Secret(KEY)
        case "path":
            return "/tmp/elsewhere", Path("/tmp/elsewhere")
        case "choice":
            return choices[setting.name], choices[setting.name]
        case "int":
            return "17", 17
        case "bool":
            return "yes", True
        case "float":
            return "3.5", 3.5
        case "amount":
            return "12.50", Decimal("12.50")
        case _:
            text = "localhost" if setting.name == "LIVEAVATAR_HOST" else "https://elsewhere.example/v1"
            return text, text


def beside(setting: Setting) -> dict[str, str]:
    """What must be set, too, where this is."""
    if setting.name.startswith("AZURE_OPENAI"):
        return dict(AZURE)
    if setting.name.startswith("LIVEAVATAR_SEARCH_EMBEDDING"):
        return dict(EMBEDDING)
    if setting.name.startswith("LIVEAVATAR_JWT"):
        return {"LIVEAVATAR_JWT_ISSUER": "https://issuer.example", "LIVEAVATAR_JWT_AUDIENCE": "liveavatar"}
    if setting.name.startswith("LIVEAVATAR_TLS"):
        return {"LIVEAVATAR_TLS_CERT": "chain.pem", "LIVEAVATAR_TLS_KEY": "key.pem"}
    if setting.name.startswith("LIVEAVATAR_GUARD"):
        return {"LIVEAVATAR_TRANSCRIPTION_MODEL": "whisper-1"}
    in_search = setting.name.startswith("AZURE_SEARCH") or setting.name == "LIVEAVATAR_SEARCH_SOURCES"
    return {"AZURE_SEARCH_ENDPOINT": "https://name.search.windows.net"} if in_search else {}


def test_the_defaults_work_without_any_setting() -> None:
    settings = load({})
    assert settings == Settings()
    assert settings.chosen_upstream == "embedded"
    assert settings.is_loopback


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_row_is_read(setting: Setting, tmp_path: Path) -> None:
    text, value = another(setting)
    if setting.name == "LIVEAVATAR_DEPLOYMENTS":
        file = tmp_path / "deployments.toml"
        file.write_text('[[deployment]]\nname = "a"\nendpoint = "https://a.openai.azure.com"\ndeployment = "d"\n')
        text, value = str(file), file
    if setting.name == "LIVEAVATAR_PRICES":
        file = tmp_path / "prices.toml"
        file.write_text('[[price]]\nmodels = ["a"]\nunit = "minute"\naudio = { input = 0.006 }\n')
        text, value = str(file), file
    settings = load({**beside(setting), setting.name: f" {text} "})
    assert getattr(settings, setting.attribute) == value
    assert type(getattr(settings, setting.attribute)) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_row_tells_what_it_is(setting: Setting) -> None:
    assert setting.help.endswith(".")
    assert setting.type in {"text", "secret", "path", "choice", "int", "float", "bool", "amount"}
    assert (setting.unit == "s") == (setting.type == "float")
    assert getattr(Settings(), setting.attribute) == setting.default
    if setting.minimum is not None:
        assert setting.default is None or setting.default >= setting.minimum


@pytest.mark.parametrize("setting", [row for row in TABLE if row.type == "amount"], ids=lambda row: row.name)
@pytest.mark.parametrize("text", ["lots", "1,5", "12 USD", "nan", "inf", "-0.01", "1000001"])
def test_amounts_of_money_are_amounts(setting: Setting, text: str) -> None:
    with pytest.raises(SettingsError, match=setting.name):
        load({setting.name: text})


def test_names_are_there_once() -> None:
    assert len({setting.name for setting in TABLE}) == len(TABLE)


@pytest.mark.parametrize("setting", [row for row in TABLE if row.type in ("int", "float")], ids=lambda row: row.name)
@pytest.mark.parametrize("text", ["lots", "1,5", "0x10", "nan", "inf", "-inf", "1e999", "--1", "-1", "1 2"])
def test_a_number_that_is_none_or_out_of_range_is_named(setting: Setting, text: str) -> None:
    (problem,) = problems({setting.name: text})
    assert problem.startswith(f"{setting.name}: must be ")


@pytest.mark.parametrize("setting", [row for row in TABLE if row.minimum is not None], ids=lambda row: row.name)
def test_the_bounds_themselves_are_allowed(setting: Setting) -> None:
    for bound in (setting.minimum, setting.maximum):
        if bound is not None:
            text = f"{bound:g}"
            assert getattr(load({**beside(setting), setting.name: text}), setting.attribute) == bound


def test_a_number_of_very_many_digits_is_named() -> None:
    for digits in (400, 5000):
        (problem,) = problems({"PORT": "9" * digits})
        assert problem.startswith("PORT: must be ")


@pytest.mark.parametrize("name", ["LIVEAVATAR_UPSTREAM", "LIVEAVATAR_LOG_LEVEL", "LIVEAVATAR_LOG_FORMAT"])
def test_a_choice_that_is_none_is_named_with_what_there_is(name: str) -> None:
    (problem,) = problems({name: "chatty"})
    assert problem.startswith(f"{name}: must be one of ")
    assert "'chatty'" in problem


def test_every_problem_is_told_at_once() -> None:
    found = problems({"PORT": "x", "LIVEAVATAR_MAX_SESSIONS": "0", "LIVEAVATAR_LOG_LEVEL": "loud", "LIVEAVATAR_X": "1"})
    assert len(found) == 4


def test_an_unknown_name_of_ours_is_an_error_with_a_suggestion() -> None:
    assert problems({"LIVEAVATAR_MAX_SESSION": "5"}) == [
        "LIVEAVATAR_MAX_SESSION is not a setting. Did you mean LIVEAVATAR_MAX_SESSIONS?"
    ]
    assert problems({"LIVEAVATAR_QWERTYUIOP_ASDF": "5"})[0].startswith("LIVEAVATAR_QWERTYUIOP_ASDF is not a setting.")
    assert load({"LIVE_AVATAR": "1", "AZURE_SOMETHING": "2", "PATH": "/bin"}) == Settings()


def test_an_empty_value_is_none() -> None:
    assert load(dict.fromkeys((setting.name for setting in TABLE), "")) == Settings()
    assert load({"PORT": "  "}) == Settings()


# What works together


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.1.evil.example"])
def test_anything_but_loopback_needs_a_key(host: str) -> None:
    beyond = {"LIVEAVATAR_HOST": host, "LIVEAVATAR_ALLOW_PLAIN": "yes"}
    (problem,) = problems(beyond)
    assert "LIVEAVATAR_API_KEY" in problem
    assert host in problem
    assert load({**beyond, "LIVEAVATAR_API_KEY": KEY}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert load({"LIVEAVATAR_HOST": host}).api_key is None


def test_a_short_key_is_refused_and_not_shown() -> None:
    (problem,) = problems({"LIVEAVATAR_API_KEY": "hunter2"})
    assert "LIVEAVATAR_API_KEY" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("environ", "upstream"),
    [
        ({}, "embedded"),
        (AZURE, "azure"),
        ({"OPENAI_API_KEY": "sk"}, "openai"),
        ({"OPENAI_API_KEY": "sk", "LIVEAVATAR_UPSTREAM": "embedded"}, "embedded"),
        ({**AZURE, "OPENAI_API_KEY": "sk", "LIVEAVATAR_UPSTREAM": "openai"}, "openai"),
        ({**AZURE, "OPENAI_API_KEY": "sk", "LIVEAVATAR_UPSTREAM": "azure"}, "azure"),
    ],
)
def test_the_service_is_chosen_by_what_is_set(environ: dict[str, str], upstream: str) -> None:
    assert load(environ).chosen_upstream == upstream


def test_two_services_and_no_choice() -> None:
    (problem,) = problems({**AZURE, "OPENAI_API_KEY": "sk"})
    assert "LIVEAVATAR_UPSTREAM" in problem


@pytest.mark.parametrize("missing", ["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT"])
def test_each_missing_setting_of_azure_is_named(missing: str) -> None:
    environ = {name: value for name, value in AZURE.items() if name != missing} | {"LIVEAVATAR_UPSTREAM": "azure"}
    (problem,) = problems(environ)
    assert problem.startswith(f"{missing} is not set")


def test_azure_without_a_key_is_shown_the_identity() -> None:
    environ = {name: value for name, value in AZURE.items() if name != "AZURE_OPENAI_API_KEY"}
    (only,) = load(environ).deployments
    assert only.key is None


ATTRIBUTES = {setting.name: setting.attribute for setting in TABLE}
REFERENCE = "keyvault:https://vault.vault.azure.net/secrets/name"


@pytest.mark.parametrize("name", ["LIVEAVATAR_API_KEY", "AZURE_OPENAI_API_KEY", "OPENAI_API_KEY"])
def test_any_secret_may_be_a_reference(name: str) -> None:
    secret = getattr(load({**AZURE, "LIVEAVATAR_UPSTREAM": "azure", name: REFERENCE}), ATTRIBUTES[name])
    assert secret.reference == REFERENCE
    assert not secret.is_resolved


def test_what_vaults_are_asked_with_cannot_be_in_one() -> None:
    (problem,) = problems({"AZURE_CLIENT_SECRET": REFERENCE})
    assert problem.startswith("AZURE_CLIENT_SECRET cannot be")


def test_a_reference_that_is_none_is_named() -> None:
    (problem,) = problems({"LIVEAVATAR_API_KEY": "keyvault:http://elsewhere.example/secrets/name"})
    assert problem.startswith("LIVEAVATAR_API_KEY: the secret's address must begin with https://")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("LIVEAVATAR_API_KEY", "short", "shorter"),
        ("LIVEAVATAR_API_KEY", KEY, None),
        ("AZURE_OPENAI_API_KEY", "with blank", "a blank"),
        ("AZURE_CLIENT_SECRET", "with blank", None),
    ],
)
def test_what_a_vault_holds_is_judged_like_what_stands_in_the_settings(
    name: str, value: str, problem: str | None
) -> None:
    said = load(AZURE).problem_with_secret(name, value)
    assert problem in said if problem and said else said is problem


def test_openai_without_a_key() -> None:
    assert problems({"LIVEAVATAR_UPSTREAM": "openai"}) == [
        "OPENAI_API_KEY is not set, and the OpenAI upstream needs it."
    ]


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://api.openai.com/v1", False),
        ("http://localhost.evil.example/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://127.0.0.1@evil.example/v1", False),
        ("http://127.0.0.1:8080@evil.example/v1", False),
        ("https://", False),
        ("https:///v1", False),
        ("ftp://localhost/", False),
        ("api.openai.com/v1", False),
        ("https://[::1/v1", False),
        ("http://localhost:port/", False),
    ],
)
def test_a_key_never_travels_in_the_clear(url: str, safe: bool) -> None:
    by_name = {
        "OPENAI_BASE_URL": {"OPENAI_API_KEY": "sk", "OPENAI_BASE_URL": url},
        "AZURE_OPENAI_ENDPOINT": {**AZURE, "AZURE_OPENAI_ENDPOINT": url},
    }
    for name, environ in by_name.items():
        if safe:
            load(environ)
        else:
            (problem,) = problems(environ)
            assert name in problem


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"])
@pytest.mark.parametrize("key", ["schlüssel", "two words", "line\nbreak", "zero\u200bwidth"])
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(name: str, key: str) -> None:
    environ = {**AZURE, name: key} if name.startswith("AZURE") else {name: key}
    (problem,) = problems(environ)
    assert name in problem
    assert key not in problem


# Secrets


def test_secrets_are_not_shown() -> None:
    secrets = {
        setting.name: f"canary-{number}-of-enough-length"
        for number, setting in enumerate(TABLE)
        if setting.type == "secret"
    }
    search = {"AZURE_SEARCH_ENDPOINT": "https://name.search.windows.net"}
    settings = load({**AZURE, **search, **secrets, "LIVEAVATAR_UPSTREAM": "azure"})
    for value in secrets.values():
        assert value not in repr(settings)
        assert value not in str(settings)


def test_secrets_are_not_in_problems() -> None:
    secrets = {setting.name: f"canary-{number}" for number, setting in enumerate(TABLE) if setting.type == "secret"}
    found = problems({**secrets, "LIVEAVATAR_HOST": "0.0.0.0", "PORT": "x", "LIVEAVATAR_LOG_LEVEL": "x"})
    for value in secrets.values():
        assert value not in "\n".join(found)


# The file


def written(folder: Path, text: str) -> Path:
    path = folder / ".env"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeff# a comment\n\nPORT=9000\nexport LIVEAVATAR_MODEL = 'a model'\n"
        'LIVEAVATAR_DEFAULT_KB="zoo" \nLIVEAVATAR_MAX_SESSIONS=7 # few\nLIVEAVATAR_DATA_DIR=/a#b\nOTHER=1\n',
    )
    settings = load({}, path)
    assert settings.port == 9000
    assert settings.model == "a model"
    assert settings.default_kb == "zoo"
    assert settings.max_sessions == 7
    assert settings.data_dir == Path("/a#b")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "PORT=9000\nLIVEAVATAR_MAX_SESSIONS=7\n")
    settings = load({"PORT": "9001"}, path)
    assert (settings.port, settings.max_sessions) == (9001, 7)


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert load({}, tmp_path / ".env") == Settings()


def test_a_line_that_cannot_be_read_is_named_by_number_and_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path, "PORT=9000\nsk-canary\n1X=2\n=3\n")
    found = problems({}, path)
    assert [problem.rpartition("line ")[2] for problem in found] == [
        "2: is not NAME=value.",
        "3: is not NAME=value.",
        "4: is not NAME=value.",
    ]
    assert "canary" not in str(found)


def test_an_unknown_name_in_the_file_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems({}, written(tmp_path, "LIVEAVATAR_PORT=9000\n"))
    assert problem.startswith("LIVEAVATAR_PORT is not a setting.")


def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xff\xfe\x00P")
    (problem,) = problems({}, path)
    assert "cannot be read" in problem


@given(st.dictionaries(st.sampled_from([setting.name for setting in TABLE]), st.text(max_size=30), max_size=8))
def test_whatever_is_set_is_taken_or_named(environ: dict[str, str]) -> None:
    found = None
    try:
        load(environ)
    except SettingsError as error:
        found = error.problems
    if found is not None:
        assert found
        for problem in found:
            assert any(setting.name in problem for setting in TABLE) or OWN_PREFIX in problem


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"AZURE_OPENAI_API_KEY": "k" * 20, "AZURE_OPENAI_DEPLOYMENT": "d"}, "AZURE_OPENAI_ENDPOINT"),
        ({"AZURE_OPENAI_ENDPONT": "https://name.openai.azure.com"}, "Did you mean AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_a_half_set_azure_does_not_fall_back_to_the_simulator(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(environ)

    assert any(named in problem for problem in error.value.problems)


def test_other_programs_may_have_azure_settings_of_their_own() -> None:
    assert load({"AZURE_OPENAI_API_VERSION": "2024-10-21"}).chosen_upstream == "embedded"


def test_an_unclosed_quote_in_the_env_file_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("OPENAI_API_KEY='sk-secret\n")
    with pytest.raises(SettingsError) as error:
        load({}, file)

    assert error.value.problems == [f"{file}, line 1: the quote around the value of OPENAI_API_KEY is not closed."]


# Encryption, proxies, hosts and origins

BEYOND = {"LIVEAVATAR_HOST": "192.0.2.5", "LIVEAVATAR_API_KEY": KEY}
TLS = {"LIVEAVATAR_TLS_CERT": "chain.pem", "LIVEAVATAR_TLS_KEY": "key.pem"}


@pytest.mark.parametrize("how", [TLS, {"LIVEAVATAR_TRUSTED_PROXIES": "10.0.0.0/8"}, {"LIVEAVATAR_ALLOW_PLAIN": "yes"}])
def test_beyond_this_machine_something_encrypts_or_the_operator_says_that_nothing_does(how: dict[str, str]) -> None:
    (problem,) = problems(BEYOND)
    assert "LIVEAVATAR_TLS_CERT" in problem
    assert "LIVEAVATAR_ALLOW_PLAIN" in problem
    assert load({**BEYOND, **how}).requires_tls == ("LIVEAVATAR_ALLOW_PLAIN" not in how)


def test_on_this_machine_nothing_needs_to_be_encrypted() -> None:
    assert not load({}).requires_tls
    assert load(TLS).requires_tls
    assert not load({**TLS, "LIVEAVATAR_ALLOW_PLAIN": "yes"}).requires_tls


@pytest.mark.parametrize(("name", "other"), [list(TLS), list(TLS)[::-1]])
def test_half_a_certificate_is_a_problem(name: str, other: str) -> None:
    assert problems({name: "file.pem"}) == [f"{name} without {other}: set both."]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LIVEAVATAR_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example"),
        ("LIVEAVATAR_ALLOWED_HOSTS", "good.example https://bad.example"),
        ("LIVEAVATAR_ALLOWED_ORIGINS", "https://good.example *"),
        ("LIVEAVATAR_ALLOWED_ORIGINS", "https://*.example.com"),
    ],
)
def test_a_wrong_entry_of_a_list_is_named(name: str, text: str) -> None:
    (problem,) = problems({name: text})
    assert problem.startswith(f"{name}: ")
    assert repr(text.rsplit(maxsplit=1)[-1]) in problem


def test_half_an_embedding_model_is_named_by_what_is_missing() -> None:
    for name in EMBEDDING:
        (problem,) = problems({key: value for key, value in EMBEDDING.items() if key != name})
        assert problem.startswith(f"{name} is not set")


@pytest.mark.parametrize("name", ["AZURE_SEARCH_ENDPOINT", "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT"])
def test_the_search_is_reached_by_https_only(name: str) -> None:
    (problem,) = problems({**EMBEDDING, name: "http://127.0.0.1:8080"})
    assert problem == f"{name} must be an https:// address."


def test_a_search_setting_without_the_service_is_named() -> None:
    assert problems({"AZURE_SEARCH_INDEX": "avatars"}) == [
        "AZURE_SEARCH_INDEX without AZURE_SEARCH_ENDPOINT: set it too."
    ]


def test_a_name_of_azures_that_is_nearly_one_is_an_error() -> None:
    (problem,) = problems({"AZURE_SEARCH_KEY": "x"})
    assert problem == "AZURE_SEARCH_KEY is not a setting. Did you mean AZURE_SEARCH_API_KEY?"
