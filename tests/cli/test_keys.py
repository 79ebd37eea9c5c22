"""`liveavatar keys`: makes keys, lists them, revokes them."""

from pathlib import Path

import pytest

from server.cli import keys
from server.cli.entry import main
from server.security.key_file import KeyFile
from server.security.keys import KeyRing
from server.security.principal import MOST_MINUTES, MOST_SESSIONS, SCOPES

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIVEAVATAR_DATA_DIR", raising=False)
    return tmp_path


def test_a_key_is_printed_alone_and_opens_what_it_was_made_for(folder: Path, capsys: Capture) -> None:
    assert main(["keys", "create", "kiosk", "--scope", "talk", "--kb", "museum", "--kb", "zoo", "--sessions", "3"]) == 0
    printed = capsys.readouterr()
    key = printed.out.removesuffix("\n")
    assert "\n" not in key
    principal = KeyRing(None, KeyFile(folder / "data")).find(key)
    assert principal is not None
    assert principal.scopes == {"talk"}
    assert principal.kb_ids == frozenset({"museum", "zoo"})
    assert principal.allowance.sessions == 3


def test_without_rights_named_it_may_talk_and_mint(folder: Path, capsys: Capture) -> None:
    assert main(["keys", "create", "site", "--data-dir", "elsewhere"]) == 0
    principal = KeyRing(None, KeyFile(folder / "elsewhere")).find(capsys.readouterr().out.strip())
    assert principal is not None
    assert principal.scopes == {"talk", "mint"}
    assert principal.kb_ids is None


def test_the_list_shows_everything_but_the_keys(capsys: Capture) -> None:
    assert main(["keys", "list"]) == 0
    assert "no keys yet" in capsys.readouterr().out
    main(["keys", "create", "kiosk", "--kb", "museum", "--minutes", "90"])
    main(["keys", "create", "site", "--scope", "mint"])
    made = capsys.readouterr().out.split()
    assert main(["keys", "revoke", "site"]) == 0
    assert main(["keys", "list"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["kiosk", "site"]
    assert "museum" in out
    assert "90 minutes a day" in out
    assert out.count("revoked") == 2
    assert not any(key in out for key in made)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create"], "Which key?"),
        (["revoke"], "Which key?"),
        (["revoke", "nobody"], "There is no key 'nobody'."),
        (["create", "kiosk"], "already"),
        (["create", "wide", "--kb", ""], "A knowledge base has a name"),
        (["create", "two words"], "A key's name is"),
        (["revoke", "kiosk", "--kb", "museum"], "when it is made"),
        (["list", "--scope", "talk"], "when it is made"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], said: str, capsys: Capture) -> None:
    main(["keys", "create", "kiosk"])
    capsys.readouterr()
    assert main(["keys", *arguments]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_a_file_that_is_none_is_left_alone(folder: Path, capsys: Capture) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "keys.json").write_text("mine")
    for arguments in (["list"], ["create", "kiosk"], ["revoke", "kiosk"]):
        assert main(["keys", *arguments]) == 1
        assert "no file of keys" in capsys.readouterr().err
    assert (folder / "data" / "keys.json").read_text() == "mine"


def test_a_server_that_cannot_start_yet_can_be_given_its_first_key(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LIVEAVATAR_HOST", "0.0.0.0")
    assert main(["keys", "create", "first"]) == 0


def test_the_scopes_are_those_of_the_server() -> None:
    assert keys.SCOPES == SCOPES


@pytest.mark.parametrize("option", ["--minutes", "--sessions"])
@pytest.mark.parametrize("number", ["0", "1" + 400 * "0", "1" + 20 * "0", "x"])
def test_a_number_that_nobody_means_spoils_no_file(folder: Path, capsys: Capture, option: str, number: str) -> None:
    assert main(["keys", "create", "kiosk"]) == 0
    with pytest.raises(SystemExit):
        main(["keys", "create", "site", option, number])
    assert option in capsys.readouterr().err
    assert main(["keys", "list"]) == 0
    assert main(["keys", "revoke", "kiosk"]) == 0


@pytest.mark.usefixtures("data_dir")
def test_a_knowledge_base_that_is_not_there_is_said(capsys: Capture) -> None:
    assert main(["keys", "create", "one", "--kb", "museum"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["keys", "create", "two", "--kb", "museum", "--kb", "musuem"]) == 0
    shown = capsys.readouterr()
    assert "musuem" in shown.err
    assert shown.out.startswith("la_")


def test_the_bounds_are_the_security_rooms() -> None:
    assert (keys.MOST_SESSIONS, keys.MOST_MINUTES) == (MOST_SESSIONS, MOST_MINUTES)
