"""Recordings: both sides in step, whole after a kill, bounded, and never in the way."""

import base64
import os
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from server.store import recording
from server.store.recording import KILLED, NO_ROOM, TOO_SLOW, Recordings, SessionRecording
from server.store.records import AudioRecording
from server.store.wav import HEAD_BYTES, head, repair
from tests.store.samples import NOON

MB = 1024 * 1024
SOUND = b"\x01\x02" * 2400  # 100 ms


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_WRITE_EVERY_S", 0.02)


class Told:
    """What was recorded about recordings: the last of each side counts, as in the database."""

    def __init__(self) -> None:
        self.records: list[AudioRecording] = []

    def __call__(self, record: AudioRecording) -> None:
        self.records.append(record)

    @property
    def last(self) -> dict[str, AudioRecording]:
        return {record.id: record for record in self.records}


@asynccontextmanager
async def running(recordings: Recordings, told: Told) -> AsyncIterator[None]:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(recordings.run, told)
            yield
            nursery.cancel_scope.cancel()


def sound(file: Path) -> bytes:
    with wave.open(str(file)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (24_000, 1, 2)
        return bytes(wav.readframes(wav.getnframes()))


def at(session: SessionRecording, milliseconds: float) -> None:
    """Puts the session's clock there."""
    session._start = trio.current_time() - milliseconds / 1000


async def test_both_sides_begin_at_the_same_moment(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path / "r", max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        session = recordings.open("s1", told)
        session.take("client", SOUND)
        at(session, 100)
        session.take("client", base64.b64encode(SOUND), is_base64=True)
        at(session, 1000)
        session.take("avatar", SOUND)
        session.take("avatar", SOUND)  # faster than it is heard: behind the one before
        session.finish()

    client, avatar = sound(recordings.file("s1", "client")), sound(recordings.file("s1", "avatar"))
    assert client == SOUND * 2
    assert avatar[-2 * len(SOUND) :] == SOUND * 2
    assert abs(len(avatar) - (1000 + 200) * 48) < 50 * 48
    assert not any(avatar[: 900 * 48])
    assert told.last["client"] == AudioRecording(
        session_id="s1", id="client", at=NOON, file="s1.client.wav", duration_ms=200, size_bytes=HEAD_BYTES + 9600
    )
    assert (tmp_path / "r" / "s1.client.wav").stat().st_mode & 0o077 == 0


async def test_what_was_interrupted_is_taken_back(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        session = recordings.open("s1", told)
        session.take("avatar", SOUND * 50)  # five seconds
        at(session, 2000)
        session.cut("avatar")
        session.take("avatar", SOUND)
        session.finish()

    assert abs(told.last["avatar"].duration_ms - 2100) < 50
    assert len(sound(recordings.file("s1", "avatar"))) == told.last["avatar"].duration_ms * 48


async def test_a_session_that_goes_on_at_the_end_is_finished(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        recordings.open("s1", told).take("client", SOUND)

    assert sound(recordings.file("s1", "client")) == SOUND


async def test_what_a_kill_left_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "s1.client.wav").write_bytes(head(0) + SOUND + b"\x01")
    (tmp_path / "s2.avatar.wav").write_bytes(head(0)[:10])
    (tmp_path / "s3.avatar.wav").write_bytes(head(len(SOUND)) + SOUND)
    told = Told()
    async with running(Recordings(tmp_path, max_bytes=MB, now=lambda: NOON), told):
        pass

    assert sound(tmp_path / "s1.client.wav") == SOUND
    assert sound(tmp_path / "s2.avatar.wav") == b""
    assert [(r.session_id, r.id, r.duration_ms, r.note) for r in told.records] == [
        ("s1", "client", 100, KILLED),
        ("s2", "avatar", 0, KILLED),
    ]
    assert repair(tmp_path / "s1.client.wav") is None


async def test_the_disk_has_a_bound(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=3 * len(SOUND), now=lambda: NOON)
    async with running(recordings, told):
        session = recordings.open("s1", told)
        for _ in range(5):
            session.take("client", SOUND)
        session.finish()

    assert (told.last["client"].duration_ms, told.last["client"].dropped_ms) == (200, 300)
    assert told.last["client"].note == NO_ROOM
    assert sum(entry.stat().st_size for entry in os.scandir(tmp_path)) <= 3 * len(SOUND)


async def test_memory_has_a_bound(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON, pending_max_bytes=len(SOUND))
    async with running(recordings, told):
        session = recordings.open("s1", told)
        session.take("client", SOUND)
        session.take("client", SOUND)
        await trio.sleep(0.2)
        session.take("client", SOUND)
        session.finish()

    last = told.last["client"]
    assert (last.dropped_ms, last.note) == (100, TOO_SLOW)


async def test_a_disk_that_fails_costs_the_sound_and_nothing_else(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        recordings.file("s1", "client").mkdir()
        session = recordings.open("s1", told)
        session.take("client", SOUND)
        session.take("avatar", SOUND)
        session.finish()

    assert told.last["client"].dropped_ms == 100
    assert told.last["client"].note
    assert sound(recordings.file("s1", "avatar")) == SOUND


async def test_what_is_erased_does_not_come_back(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        session, other = recordings.open("s1", told), recordings.open("s2", told)
        for each in (session, other):
            each.take("client", SOUND)
        await trio.sleep(0.2)
        assert "s1.client.wav" in os.listdir(tmp_path)
        await recordings.discard("s1")
        session.take("client", SOUND)
        recordings.file("s2", "client").unlink()  # as another process does
        other.take("client", SOUND)

    assert os.listdir(tmp_path) == []


async def test_an_id_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON)
    assert recordings.file("../../etc/passwd", "client").parent == tmp_path
    (tmp_path.parent / "mine.wav").write_bytes(b"")
    await recordings.remove(["../mine.wav"])
    assert (tmp_path.parent / "mine.wav").exists()


async def test_what_is_no_base64_is_no_sound(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path, max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        session = recordings.open("s1", told)
        session.take("client", b"\xff!", is_base64=True)
        session.take("client", base64.b64encode(SOUND), is_base64=True)

    assert sound(recordings.file("s1", "client")) == SOUND


async def test_what_cannot_be_recorded_is_missing_and_the_record_says_why(tmp_path: Path) -> None:
    told = Told()
    recordings = Recordings(tmp_path / "r", max_bytes=MB, now=lambda: NOON)
    async with running(recordings, told):
        session = recordings.open("s1", told)
        for missed_ms in (100.0, 49.6):
            session.miss("client", missed_ms, "it is not PCM16")
        session.finish()
        session.miss("client", 1000.0, "it is over")
    assert (told.last["client"].dropped_ms, told.last["client"].note) == (150, "it is not PCM16")
    assert (told.last["avatar"].dropped_ms, told.last["avatar"].note) == (0, "")
