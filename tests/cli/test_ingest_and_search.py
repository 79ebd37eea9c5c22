"""Documents in, passages out, in a folder of the test's own."""

import json
from pathlib import Path

import pytest

from server.cli import search
from server.cli.command import knowledge_folder
from server.cli.entry import main
from server.knowledge.base import DEFAULT_LIMIT, MAX_LIMIT

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def handbook(place: Path) -> Path:
    folder = place / "handbook"
    folder.mkdir()
    (folder / "hours.md").write_text("# Opening hours\n\nThe library opens at ten in the morning.\n")
    (folder / "cafe.html").write_text("<h1>Café</h1><p>Coffee costs two euros.</p>")
    return folder


def test_what_was_taken_in_is_counted_and_found(handbook: Path, capsys: Capture) -> None:
    assert main(["ingest", "handbook", str(handbook)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("handbook: 2 added, 0 changed, 0 unchanged, 0 removed (")
    assert "It holds 2 passages now." in out
    assert main(["search", "handbook", "When does the library open?"]) == 0
    first, snippet, *_, measured = capsys.readouterr().out.splitlines()
    assert first.startswith("1. ")
    assert first.endswith("  Opening hours  hours.md")
    assert snippet == "   The library opens at ten in the morning."
    assert " in " in measured
    assert measured.endswith(" ms")


def test_a_second_time_takes_in_what_changed_and_removes_what_is_gone(handbook: Path, capsys: Capture) -> None:
    main(["ingest", "handbook", str(handbook)])
    (handbook / "hours.md").write_text("# Opening hours\n\nThe library opens at eleven.\n")
    (handbook / "cafe.html").unlink()
    capsys.readouterr()
    assert main(["ingest", "handbook", str(handbook)]) == 0
    assert "0 added, 1 changed, 0 unchanged, 1 removed" in capsys.readouterr().out


def test_the_data_folder_can_be_said(handbook: Path, place: Path) -> None:
    assert main(["ingest", "handbook", str(handbook), "--data-dir", "elsewhere"]) == 0
    assert list((place / "elsewhere" / "knowledge").glob("handbook*"))
    assert not (place / "data").exists()


def test_a_problem_is_named_and_the_rest_taken_in(handbook: Path, capsys: Capture) -> None:
    (handbook / "binary.txt").write_bytes(b"\0\1\2")
    assert main(["ingest", "handbook", str(handbook), "missing.md"]) == 0
    shown = capsys.readouterr()
    assert "missing.md: cannot be read" in shown.err
    assert "binary.txt: " in shown.err
    assert "2 problems, named above." in shown.out


def test_nothing_taken_in_is_a_failure(place: Path, capsys: Capture) -> None:
    assert main(["ingest", "handbook", "missing.md"]) == 1
    err = capsys.readouterr().err
    assert "missing.md: cannot be read" in err
    assert "Nothing was taken into 'handbook'" in err


def test_a_name_that_can_be_no_knowledge_base_is_refused(handbook: Path, capsys: Capture) -> None:
    assert main(["ingest", "My Handbook", str(handbook)]) == 1
    assert "'My Handbook' is no knowledge base id" in capsys.readouterr().err


def test_a_profile_that_makes_no_sense_is_named(handbook: Path, capsys: Capture) -> None:
    (handbook / "profile.toml").write_text("titel = 'x'")
    assert main(["ingest", "handbook", str(handbook)]) == 1
    assert "unknown key 'titel'" in capsys.readouterr().err


def test_a_data_folder_that_cannot_be_made_is_named(handbook: Path, place: Path, capsys: Capture) -> None:
    (place / "file").write_text("")
    assert main(["ingest", "handbook", str(handbook), "--data-dir", "file"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("liveavatar: ")
    assert "Traceback" not in err
    assert main(["search", "handbook", "hours", "--data-dir", "file"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_search_as_json_holds_the_passages_in_full(handbook: Path, capsys: Capture) -> None:
    main(["ingest", "handbook", str(handbook)])
    capsys.readouterr()
    assert main(["search", "handbook", "coffee", "--json", "--limit", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kb_id"], found["query"]) == ("handbook", "coffee")
    assert found["took_ms"] >= 0
    assert [passage["uri"] for passage in found["passages"]] == ["cafe.html"]


def test_finding_nothing_is_no_failure(handbook: Path, capsys: Capture) -> None:
    main(["ingest", "handbook", str(handbook)])
    capsys.readouterr()
    assert main(["search", "handbook", "zeppelin"]) == 0
    assert capsys.readouterr().out.startswith("Nothing found in ")


def test_an_unknown_knowledge_base_is_told_with_those_that_are_there(handbook: Path, capsys: Capture) -> None:
    assert main(["search", "nope", "words"]) == 1
    assert "`liveavatar ingest KB PATH...`" in capsys.readouterr().err
    main(["ingest", "handbook", str(handbook)])
    assert main(["search", "nope", "words"]) == 1
    assert capsys.readouterr().err == "liveavatar: There is no knowledge base 'nope': here are handbook.\n"


def test_settings_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("LIVEAVATAR_TOOL_TIMEOUT", "soon")
    assert main(["search", "handbook", "words"]) == 1
    assert "LIVEAVATAR_TOOL_TIMEOUT: must be a number, not 'soon'." in capsys.readouterr().err


def test_the_bounds_are_those_of_the_knowledge_room() -> None:
    assert (search._DEFAULT_LIMIT, search._MAX_LIMIT) == (DEFAULT_LIMIT, MAX_LIMIT)


def test_knowledge_bases_are_where_the_server_looks_for_them() -> None:
    from server.app import KNOWLEDGE_FOLDER

    assert knowledge_folder(Path("data")) == Path("data") / KNOWLEDGE_FOLDER
