import os
import sqlite3
import threading
from pathlib import Path

import pytest

from server.knowledge.base import InvalidKnowledgeBaseId, KnowledgeUnavailable, UnknownKnowledgeBase
from server.knowledge.ingest import IngestProgress, IngestReport, ingest, read_document
from server.knowledge.profiles import ProfileError, default_profile
from server.knowledge.sqlite import KnowledgeIndex
from tests.knowledge.conftest import Fill


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.removed


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    folder = tmp_path / "guide"
    (folder / "halls").mkdir(parents=True)
    (folder / "hours.md").write_text("# Hours\n\nOpen from nine to five.")
    (folder / "halls" / "rope.txt").write_text("The rope hall\n\nRope was made here by forty men.")
    (folder / "halls" / "sky.html").write_text("<title>Sky hall</title><h1>Sky hall</h1><p>Stars &amp; planets.</p>")
    return folder


def uris(index: KnowledgeIndex, query: str) -> list[str]:
    return [passage.uri for passage in index.search("kb", query)]


def test_a_folder_is_taken_in_with_its_subfolders(index: KnowledgeIndex, guide: Path) -> None:
    report = ingest(index, "kb", [guide])
    assert counts(report) == (3, 0, 0, 0)
    assert report.passages == 3
    assert report.problems == []
    (passage,) = index.search("kb", "planets")
    assert passage.id == "kb/halls/sky.html#1"
    assert passage.text == "Stars & planets."
    assert passage.title == "Sky hall"


def test_ingesting_again_changes_only_what_changed(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    assert counts(ingest(index, "kb", [guide])) == (0, 0, 3, 0)
    (guide / "hours.md").write_text("# Hours\n\nOpen from ten to six.")
    (guide / "halls" / "rope.txt").unlink()
    (guide / "new.md").write_text("# New\n\nA heron.")
    report = ingest(index, "kb", [guide])
    assert counts(report) == (1, 1, 1, 1)
    assert report.passages == 3
    assert uris(index, "rope") == []
    assert "ten to six" in index.search("kb", "open hours")[0].text


def test_counts_for_the_ranking_follow_every_change(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    for name in ("hours.md", "halls/rope.txt", "halls/sky.html"):
        (guide / name).unlink()
    (guide / "last.md").write_text("# Last\n\nA heron and a heron.")
    ingest(index, "kb", [guide])
    connection = sqlite3.connect(index.file("kb"))
    assert dict(connection.execute("SELECT * FROM term")) == {"last": 1, "heron": 1}
    assert dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('passages', 'words')")) == {
        "passages": "1",
        "words": "2",
    }
    assert connection.execute("SELECT count(*) FROM passage_fts").fetchone() == (1,)
    connection.close()


def test_a_single_file_stands_for_itself(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    (guide / "hours.md").write_text("# Hours\n\nOpen at noon.")
    (guide / "halls" / "rope.txt").unlink()
    assert counts(ingest(index, "kb", [guide / "hours.md"])) == (0, 1, 0, 0)
    assert uris(index, "noon") == ["hours.md"]
    assert uris(index, "rope") == ["halls/rope.txt"]


def test_the_same_file_given_twice_is_taken_in_once(index: KnowledgeIndex, guide: Path) -> None:
    report = ingest(index, "kb", [guide, guide / "hours.md", guide / "halls"])
    assert counts(report) == (3, 0, 0, 0)


def test_documents_of_the_same_name_stay_apart(index: KnowledgeIndex, tmp_path: Path) -> None:
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.md").write_text(f"# Tower\n\nThe {name} tower.")
    ingest(index, "kb", [tmp_path / "north"])
    ingest(index, "kb", [tmp_path / "south"])
    assert uris(index, "north tower")[0] == "index.md"
    assert uris(index, "south tower")[0] == "south/index.md"
    assert counts(ingest(index, "kb", [tmp_path / "south"])) == (0, 0, 1, 0)


def test_a_folder_that_was_moved_is_the_same_folder(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    moved = guide.rename(guide.with_name("elsewhere"))
    (moved / "hours.md").write_text("# Hours\n\nOpen at noon.")
    report = ingest(index, "kb", [moved])
    assert counts(report) == (0, 1, 2, 0)
    assert report.passages == 3
    assert counts(ingest(index, "kb", [moved])) == (0, 0, 3, 0)


def test_hidden_and_unsupported_files_are_skipped_and_counted(index: KnowledgeIndex, guide: Path) -> None:
    (guide / ".git").mkdir()
    (guide / ".git" / "x.md").write_text("# Hidden")
    (guide / ".secret.md").write_text("# Hidden")
    (guide / "picture.png").write_bytes(b"\x89PNG")
    report = ingest(index, "kb", [guide])
    assert report.skipped == 3
    assert report.added == 3
    assert report.problems == []


def test_bad_files_are_named_and_the_rest_goes_on(index: KnowledgeIndex, guide: Path) -> None:
    (guide / "binary.md").write_bytes(b"abc\0\x01\x02" * 50)
    (guide / "empty.md").write_bytes(b"")
    (guide / "only-script.html").write_text("<script>let x = 1</script>")
    (guide / "only-heading.md").write_text("# Nothing below")
    (guide / "old.txt").write_bytes("Caf\xe9 cr\xe8me".encode("latin-1"))
    (guide / "large.txt").write_bytes(b"word " * 1000)
    (guide / "broken.md").symlink_to(guide / "nowhere.md")
    (guide / "loop").symlink_to(guide)
    os.mkfifo(guide / "pipe.md")
    report = ingest(index, "kb", [guide, guide / "missing", guide / "halls" / "rope.txt"], max_file_bytes=4_000)
    problems = {Path(problem.path).name: problem.text for problem in report.problems}
    assert problems.pop("loop").startswith("leads to a folder that is already read")
    assert problems.pop("missing") == problems.pop("broken.md") == "cannot be read: No such file or directory"
    assert problems == {
        "binary.md": "binary content",
        "empty.md": "is empty",
        "only-script.html": "is empty",
        "only-heading.md": "holds no text",
        "old.txt": "not UTF-8; read as Windows-1252",
        "large.txt": "larger than 4,000 bytes",
        "pipe.md": "not a regular file",
    }
    assert report.added == 4
    assert uris(index, "café") == ["old.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_keeps_its_last_content(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    (guide / "halls").chmod(0)
    try:
        report = ingest(index, "kb", [guide])
    finally:
        (guide / "halls").chmod(0o755)
    assert report.removed == 0
    assert uris(index, "rope") == ["halls/rope.txt"]


def test_what_cannot_be_looked_at_is_not_removed(
    index: KnowledgeIndex, guide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(index, "kb", [guide])
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path).name == "halls":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    report = ingest(index, "kb", [guide])
    assert counts(report) == (0, 0, 1, 0)
    assert [problem.text for problem in report.problems] == ["cannot be read: Permission denied"]
    assert uris(index, "rope") == ["halls/rope.txt"]


def test_a_missing_folder_removes_nothing_and_makes_nothing(index: KnowledgeIndex, guide: Path) -> None:
    report = ingest(index, "kb", [guide / "missing"])
    assert len(report.problems) == 1
    with pytest.raises(UnknownKnowledgeBase):
        index.profile("kb")
    ingest(index, "kb", [guide])
    guide.rename(guide.with_name("away"))
    assert counts(ingest(index, "kb", [guide])) == (0, 0, 0, 0)
    assert uris(index, "rope") == ["halls/rope.txt"]


def test_a_file_that_became_empty_is_gone(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    (guide / "hours.md").write_text("")
    assert counts(ingest(index, "kb", [guide])) == (0, 0, 2, 1)


def test_names_that_are_no_text_are_taken_in(index: KnowledgeIndex, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9\n.md")).write_text("# Heron\n\nA heron.")
    assert ingest(index, "kb", [folder]).added == 1
    assert index.search("kb", "heron")[0].id == "kb/caf� .md#1"
    assert counts(ingest(index, "kb", [folder])) == (0, 0, 1, 0)


@pytest.mark.parametrize("kb_id", ["", "Museum", "-a", "_a", "a" * 65, "a/b", "a.b", "ä", "a\n"])
def test_ids_that_cannot_be_are_refused(index: KnowledgeIndex, guide: Path, kb_id: str) -> None:
    with pytest.raises(InvalidKnowledgeBaseId):
        ingest(index, kb_id, [guide])


def test_progress_tells_of_every_file(index: KnowledgeIndex, guide: Path) -> None:
    seen: list[IngestProgress] = []
    ingest(index, "kb", [guide], progress=seen.append)
    assert [(state.documents, state.path) for state in seen] == [
        (1, "halls/rope.txt"),
        (2, "halls/sky.html"),
        (3, "hours.md"),
    ]


def test_a_crash_leaves_whole_batches(index: KnowledgeIndex, fill: Fill, tmp_path: Path) -> None:
    files = {f"{number:03}.md": f"# Note {number}\n\nHeron number {number}." for number in range(150)}

    class CrashError(Exception):
        pass

    def crash(state: IngestProgress) -> None:
        if state.documents == 140:
            raise CrashError

    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(CrashError):
        ingest(index, "kb", [folder], progress=crash)
    connection = sqlite3.connect(index.file("kb"))
    assert connection.execute("SELECT count(*) FROM passage").fetchone() == (128,)
    assert connection.execute("SELECT passages FROM term WHERE stem = 'heron'").fetchone() == (128,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert counts(ingest(index, "kb", [folder])) == (22, 0, 128, 0)


def test_readers_see_whole_states_while_a_writer_works(index: KnowledgeIndex, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()

    def write(state: str) -> None:
        for number in range(30):
            (folder / f"{number:02}.md").write_text(f"# Note {number}\n\nThe heron is {state} today.")

    write("north")
    ingest(index, "kb", [folder])
    mixed: list[set[str]] = []
    failed: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                states = {passage.text.split()[3] for passage in index.search("kb", "heron", limit=50)}
                if len(states) != 1:
                    mixed.append(states)
        except Exception as error:  # noqa: BLE001  # a thread's exception would be lost; the test shows it
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for state in ("south", "west", "east"):
        write(state)
        ingest(index, "kb", [folder])
    done.set()
    reader.join()
    assert failed == []
    assert mixed == []


def test_an_index_folder_that_cannot_be_made_is_said_so(guide: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KnowledgeUnavailable):
        ingest(KnowledgeIndex(tmp_path / "file" / "index"), "kb", [guide])


def test_a_profile_file_becomes_the_profile(index: KnowledgeIndex, guide: Path) -> None:
    ingest(index, "kb", [guide])
    assert index.profile("kb") == default_profile("kb")
    (guide / "profile.toml").write_text('title = "The Guide"\nsample_questions = ["When?"]\n')
    report = ingest(index, "kb", [guide])
    assert report.skipped == 0
    profile = index.profile("kb")
    assert (profile.title, profile.sample_questions) == ("The Guide", ["When?"])
    (guide / "hours.md").write_text("# Hours\n\nAt noon.")
    ingest(index, "kb", [guide / "hours.md"])
    assert index.profile("kb").title == "The Guide"
    (guide / "profile.toml").unlink()
    ingest(index, "kb", [guide])
    assert index.profile("kb") == default_profile("kb")


def test_a_wrong_profile_changes_nothing(index: KnowledgeIndex, guide: Path) -> None:
    (guide / "profile.toml").write_text("titel = 'x'\n")
    with pytest.raises(ProfileError, match=r"profile\.toml: unknown key 'titel'"):
        ingest(index, "kb", [guide])
    assert index.ids() == []


def test_two_profiles_are_one_too_many(index: KnowledgeIndex, guide: Path) -> None:
    (guide / "profile.toml").write_text("title = 'x'\n")
    (guide / "halls" / "profile.toml").write_text("title = 'y'\n")
    with pytest.raises(ProfileError, match="one profile"):
        ingest(index, "kb", [guide, guide / "halls"])


def test_titles_come_from_the_file_name_when_nothing_else_says() -> None:
    document, problem = read_document(b"Only words.", "rope-walk_north.md")
    assert (document.title, problem) == ("Rope walk north", "")
