"""`liveavatar sessions`: reads and erases the records where they are kept, with no server there."""

import csv
import datetime as dt
import io
import json
from pathlib import Path

import msgspec
import pytest
import trio

from server.cli import sessions
from server.cli.entry import main
from server.store.base import UNFINISHED
from server.store.records import AudioRecording, Record, SaidText
from server.store.sql import SqlRecords
from server.store.sql_address import sqlite_address
from server.store.sql_reading import PAGE_MAX
from tests.store.samples import NOON, begun, conversation, ended, entries, usage

Capture = pytest.CaptureFixture[str]


def keep(folder: Path, *records: Record) -> None:
    async def write() -> None:
        store = SqlRecords(sqlite_address(folder / "data" / "records.sqlite3"))
        await store.prepare()
        await store.apply("here", f"epoch of {records[0].session_id}", entries(records))
        await store.aclose()

    trio.run(write)


@pytest.fixture
def records(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the records of three sessions in it."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for number in range(2):
        keep(place, *conversation(f"sess_la_{number}a", start=NOON + dt.timedelta(days=number)))
    keep(place, begun("sess_la_live", start=NOON + dt.timedelta(days=5), kb_id="zoo", person="ann"))
    return place


def test_the_list_is_a_table_newest_first(records: Path, capsys: Capture) -> None:
    assert main(["sessions", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["sess_la_live", "sess_la_1a", "sess_la_0a"]
    assert "0.066316" in lines[2]
    assert lines[1].endswith("live")
    assert lines[2].endswith("completed")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--live"], ["sess_la_live"]),
        (["--kb", "zoo"], ["sess_la_live"]),
        (["--person", "visitor"], ["sess_la_1a", "sess_la_0a"]),
        (["--reason", "completed", "--limit", "1"], ["sess_la_1a"]),
        (["--since", "2026-07-02", "--until", "2026-07-03"], ["sess_la_1a"]),
        (["--principal", "nobody"], []),
    ],
)
def test_the_list_is_filtered_and_comes_as_json(
    records: Path, capsys: Capture, options: list[str], expected: list[str]
) -> None:
    assert main(["sessions", "list", "--json", *options]) == 0
    assert [session["session_id"] for session in json.loads(capsys.readouterr().out)] == expected


def test_a_session_is_shown_by_the_beginning_of_its_id(records: Path, capsys: Capture) -> None:
    assert main(["sessions", "show", "1"]) == 0
    out = capsys.readouterr().out
    assert "person: When, 1?" in out
    assert "heard of it (700 ms of 900): At ten" in out
    assert "search_knowledge_base" in out
    assert "first sound 480 ms" in out
    assert "$0.066316" in out
    assert out.index("person:") < out.index("search_knowledge_base") < out.index("avatar:")
    assert main(["sessions", "show", "sess_la_1a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["session"]["session_id"] == "sess_la_1a"


def test_how_a_session_ended_is_told_in_words(records: Path, capsys: Capture) -> None:
    for session_id, reason in (("lost", UNFINISHED), ("quiet", "idle_timeout")):
        keep(records, begun(session_id), msgspec.structs.replace(ended(session_id, reason=reason), detail=""))
    for session_id, words in (
        ("lost", "because:        The server stopped without being able to end it"),
        ("quiet", "because:        Nothing was said for too long."),
        ("sess_la_live", "ended:          not yet"),
    ):
        assert main(["sessions", "show", session_id]) == 0
        assert words in capsys.readouterr().out
    assert main(["sessions", "list", "--reason", UNFINISHED]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(UNFINISHED)


def test_what_was_said_cannot_command_the_terminal(place: Path, capsys: Capture) -> None:
    said = SaidText(session_id="s", id="a", at=NOON, role="user", text="\x1b[2J\x07gone\u202e")
    keep(place, begun("s", person="\x1b]0;x\x07"), said, ended("s"))
    assert main(["sessions", "show", "s"]) == 0
    assert main(["sessions", "list"]) == 0
    out = capsys.readouterr().out
    assert "gone" in out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}


def test_a_session_is_exported(records: Path, capsys: Capture) -> None:
    assert main(["sessions", "export", "sess_la_0a"]) == 0
    assert json.loads(capsys.readouterr().out)["turns"][0]["text"] == "When, 1?"
    assert main(["sessions", "export", "sess_la_0a", "--format", "csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["cost_usd"] == "0.066316000000"


def test_usage_of_all_is_exported_in_one_table(records: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(records, begun("sess_la_x"), *(usage("sess_la_x", number) for number in range(1, 6)))
    monkeypatch.setattr(sessions, "PAGE_MAX", 2)
    assert main(["sessions", "export"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 7
    assert main(["sessions", "export", "--since", "2026-07-02"]) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 1


def test_sessions_are_erased_with_their_recordings(records: Path, capsys: Capture) -> None:
    folder = records / "data" / "recordings"
    folder.mkdir()
    for name in ("sess_la_0a.client.wav", "sess_la_1a.client.wav"):
        (folder / name).write_bytes(b"RIFF")
    (records / "data" / "outside.wav").write_bytes(b"RIFF")
    for side, file in (("client", "sess_la_0a.client.wav"), ("avatar", "../outside.wav")):
        sound = AudioRecording(session_id="sess_la_0a", id=side, at=NOON, file=file, duration_ms=1, size_bytes=4)
        keep_more(records, sound, side)
    assert main(["sessions", "erase", "sess_la_0a", "--yes"]) == 0
    assert capsys.readouterr().out == "1 session erased.\n"
    assert [file.name for file in folder.iterdir()] == ["sess_la_1a.client.wav"]
    assert (records / "data" / "outside.wav").exists()
    assert main(["sessions", "show", "sess_la_0a"]) == 1


def keep_more(folder: Path, record: Record, epoch: str) -> None:
    async def write() -> None:
        store = SqlRecords(sqlite_address(folder / "data" / "records.sqlite3"))
        await store.apply("here", epoch, entries([record]))
        await store.aclose()

    trio.run(write)


def test_a_person_is_erased_everywhere(records: Path, capsys: Capture) -> None:
    assert main(["sessions", "erase", "--person", "visitor", "--yes"]) == 0
    assert capsys.readouterr().out == "2 sessions erased.\n"
    main(["sessions", "list", "--json"])
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_nothing_is_erased_where_nobody_can_be_asked(
    records: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert main(["sessions", "erase", "sess_la_0a"]) == 1
    assert "--yes" in capsys.readouterr().err
    assert main(["sessions", "show", "sess_la_0a"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "Which session?"),
        (["show", "a", "b"], "Which session?"),
        (["show", "nothing"], "There is no session 'nothing'"),
        (["show", "sess_la_"], "3 sessions begin with"),
        (["list", "a"], "takes no ID"),
        (["erase"], "Which?"),
        (["erase", "a", "--person", "b"], "Which?"),
        (["export", "--format", "json"], "of one session"),
        (["list", "--reason", "idle"], "No session ends as 'idle', but as one of: completed,"),
        (["export", "--reason", "gone"], "upstream_too_slow, unfinished."),
    ],
)
def test_what_cannot_be_done_is_said(records: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    assert main(["sessions", *arguments]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_reading_makes_no_database(place: Path, capsys: Capture) -> None:
    assert main(["sessions", "list", "--data-dir", "elsewhere"]) == 1
    assert "There are no records in" in capsys.readouterr().err
    assert list(place.iterdir()) == []


def test_a_database_elsewhere_is_read(records: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{records / 'data' / 'records.sqlite3'}")
    monkeypatch.setenv("LIVEAVATAR_DATA_DIR", "nowhere")
    assert main(["sessions", "show", "sess_la_0a"]) == 0
    monkeypatch.setenv("DATABASE_URL", "mysql://user:hunter2@host/x")
    assert main(["sessions", "list"]) == 1
    shown = capsys.readouterr().err
    assert "DATABASE_URL cannot be used" in shown
    assert "hunter2" not in shown


def test_the_largest_page_is_the_stores() -> None:
    assert sessions.PAGE_MAX == PAGE_MAX
