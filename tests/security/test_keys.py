"""API keys: the file that keeps their digests, and the ring that lets in whoever shows one."""

import fcntl
import stat
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trio

from server.secret import Secret
from server.security import key_file
from server.security.digest import digest_of
from server.security.key_file import KEYS_FILE, KeyFile, KeyFileError
from server.security.keys import KeyRing
from server.security.principal import SCOPES, Scope

TALK: tuple[Scope, ...] = ("talk",)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "data")


# The file


def test_a_key_is_given_once_and_only_its_digest_is_kept(file: KeyFile) -> None:
    key = file.create("kiosk", scopes=TALK, kb_ids=("museum",), sessions=3)
    assert key.startswith("la_")
    assert len(key) >= 3 + 43, "256 bits"
    kept = file.path.read_text()
    assert key not in kept
    assert key[3:] not in kept
    assert digest_of(key) in kept
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.create("other", scopes=TALK) != key


def test_two_commands_at_once_lose_nothing(file: KeyFile) -> None:
    threads = [threading.Thread(target=file.create, args=(f"key-{n}",), kwargs={"scopes": TALK}) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.name for entry in file.read()} == {f"key-{n}" for n in range(20)}
    assert [entry.name for entry in file.path.parent.iterdir()] != []
    assert {entry.name for entry in file.path.parent.iterdir()} == {KEYS_FILE, f"{KEYS_FILE}.lock"}


def test_a_lock_that_somebody_holds_is_not_waited_for_for_ever(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.create("kiosk", scopes=TALK)
    lock = file.path.parent / f"{KEYS_FILE}.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600, "nobody else may so much as open it"
    monkeypatch.setattr(key_file, "LOCK_S", 0.2)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(KeyFileError, match=r"keys\.json\.lock is held by another program"):
            file.revoke("kiosk")
    file.revoke("kiosk")


@pytest.mark.parametrize(
    "wrong", [{"minutes_per_day": 10**400}, {"sessions": 10**9}, {"sessions": 0}, {"minutes_per_day": -1.0}]
)
def test_what_could_not_be_read_again_is_not_written(file: KeyFile, wrong: dict[str, Any]) -> None:
    file.create("kiosk", scopes=TALK)
    before = file.path.read_bytes()
    with pytest.raises(KeyFileError):
        file.create("site", scopes=TALK, **wrong)
    assert file.path.read_bytes() == before


def test_nor_is_what_nobody_thought_of(file: KeyFile) -> None:
    file.create("kiosk", scopes=TALK)
    before = file.path.read_bytes()
    with pytest.raises(KeyFileError, match="cannot be kept"), file._writing() as entries:
        entries[0] = msgspec.structs.replace(entries[0], minutes_per_day=10**400)
    assert file.path.read_bytes() == before


def test_a_revoked_key_leaves_its_name_and_not_its_digest(file: KeyFile) -> None:
    key = file.create("kiosk", scopes=TALK)
    file.revoke("kiosk")
    entry = file.read()[0]
    assert not entry.is_live
    assert entry.revoked_at is not None
    assert digest_of(key) not in file.path.read_text()
    with pytest.raises(KeyFileError, match="no key"):
        file.revoke("kiosk")
    assert file.create("kiosk", scopes=TALK) != key, "the name may be used again"


@pytest.mark.parametrize("name", ["", " ", "a b", "-x", "../x", "x\n", "x" * 65, "ключ", "a\x1b[0m"])
def test_a_name_is_fit_for_logs_and_commands(file: KeyFile, name: str) -> None:
    with pytest.raises(KeyFileError, match="name"):
        file.create(name, scopes=TALK)
    assert not file.path.exists()


def test_a_name_stands_for_one_key(file: KeyFile) -> None:
    file.create("kiosk", scopes=TALK)
    with pytest.raises(KeyFileError, match="already"):
        file.create("kiosk", scopes=TALK)


@pytest.mark.parametrize(
    "contents",
    [b"", b"{", b"[]", b'{"version":1,"keys":[{"name":"x"}]}', b'{"keys":[{"scopes":["fly"]}]}', b"\xff", b"[" * 5000],
)
def test_what_is_no_key_file_is_said_and_not_shown(file: KeyFile, contents: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(contents)
    with pytest.raises(KeyFileError, match="no file of keys") as refusal:
        file.read()
    assert "fly" not in str(refusal.value)
    with pytest.raises(KeyFileError):
        KeyRing(None, file)
    with pytest.raises(KeyFileError):
        file.create("new", scopes=TALK)
    assert file.path.read_bytes() == contents, "what cannot be read is not overwritten"


# The ring


def test_every_key_lets_in_its_own_holder(file: KeyFile) -> None:
    one = file.create("one", scopes=("talk", "mint"), kb_ids=("museum", "zoo"), sessions=2, minutes_per_day=90)
    two = file.create("two", scopes=("records",))
    ring = KeyRing(Secret("from-the-settings"), file)
    principal = ring.find(one)
    assert principal is not None
    assert (principal.name, principal.kind, principal.settable) == ("one", "key", None)
    assert principal.scopes == {"talk", "mint"}
    assert principal.kb_ids == frozenset({"museum", "zoo"})
    assert (principal.allowance.sessions, principal.allowance.minutes_per_day) == (2, 90)
    other = ring.find(two)
    assert other is not None
    assert (other.name, other.kb_ids, other.scopes) == ("two", None, frozenset({"records"}))
    settings = ring.find("from-the-settings")
    assert settings is not None
    assert (settings.name, settings.scopes, settings.kb_ids) == ("env", frozenset(SCOPES), None)
    for wrong in (one[:-1], one + "x", one.upper(), digest_of(one), "", "la_", "\ud800", "\0", "x" * 100_000):
        assert ring.find(wrong) is None
    assert one not in repr(principal) + repr(ring)


def test_a_key_that_was_renewed_is_the_newest_only() -> None:
    key = Secret("the-first-one-1234")
    ring = KeyRing(key)
    before = ring.find("the-first-one-1234")
    key.renew("the-second-one-123")
    assert ring.find("the-first-one-1234") is None
    assert ring.find("the-second-one-123") == before
    assert before is not None
    assert ring.current(before.id) == before, "who is in stays"


async def test_the_ring_notices_new_and_revoked_keys(file: KeyFile) -> None:
    ring = KeyRing(None, file)
    unused = ring.is_used
    assert not unused
    key = file.create("kiosk", scopes=TALK)
    assert ring.find(key) is None
    await ring.look()
    principal = ring.find(key)
    assert principal is not None
    assert ring.is_used
    file.revoke("kiosk")
    await ring.look()
    assert ring.find(key) is None
    assert ring.current(principal.id) is None
    assert ring.is_used, "a server whose last key is revoked is not open to all"
    file.path.unlink()
    await ring.look()
    assert ring.is_used


async def test_a_file_that_breaks_later_changes_nothing_and_is_told_once(file: KeyFile) -> None:
    key = file.create("kiosk", scopes=TALK)
    ring = KeyRing(None, file)
    good = file.path.read_bytes()
    file.path.write_text(f"broken by hand: {key}")
    with structlog.testing.capture_logs() as log:
        for _ in range(5):
            await ring.look()
    assert [entry["log_level"] for entry in log] == ["error"]
    assert key not in str(log)
    assert ring.find(key) is not None
    file.path.write_bytes(good)
    file.revoke("kiosk")
    await ring.look()
    assert ring.find(key) is None


async def test_what_has_not_changed_is_not_read_again(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.create("kiosk", scopes=TALK)
    ring = KeyRing(None, file)
    monkeypatch.setattr(KeyFile, "read", lambda _self: pytest.fail("read"))
    await ring.look()


def test_all_keys_are_compared_whichever_fits(file: KeyFile) -> None:
    # Timing itself is too noisy to assert; that the work is the same for the first, the last and none is not.
    for number in range(5):
        file.create(f"key-{number}", scopes=TALK)
    key = file.create("last", scopes=TALK)
    ring = KeyRing(Secret("from-the-settings"), file)
    assert [_comparisons(ring, shown) for shown in (key, "from-the-settings", "wrong")] == [7, 7, 7]


def _comparisons(ring: KeyRing, shown: str) -> int:
    import hmac

    from server.security import keys

    count = 0
    real = hmac.compare_digest

    class Counting:
        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            nonlocal count
            count += 1
            return real(one, other)

    before, keys.hmac = keys.hmac, Counting  # type: ignore[attr-defined, assignment]
    try:
        ring.find(shown)
    finally:
        keys.hmac = before  # type: ignore[attr-defined]
    return count


def test_a_check_of_a_hundred_keys_takes_well_below_a_millisecond(file: KeyFile) -> None:
    key = file.create("first", scopes=TALK)
    entry = file.read()[0]
    many = [msgspec.structs.replace(entry, id=f"{n}", name=f"n{n}", digest=digest_of(f"{n}")) for n in range(100)]
    file.path.write_bytes(msgspec.json.encode({"version": 1, "keys": [entry, *many]}))
    ring = KeyRing(Secret("from-the-settings"), file)
    took = []
    for _ in range(200):
        before = time.perf_counter()
        assert ring.find(key) is not None
        took.append(time.perf_counter() - before)
    print(f"a check among 102 keys: {sorted(took)[100] * 1e6:.0f} us")
    assert sorted(took)[100] < 0.001


async def test_a_folder_that_cannot_be_read_is_told(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(None, file)

    def fails(_self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", fails)
    with structlog.testing.capture_logs() as log:
        await ring.look()
    assert [entry["log_level"] for entry in log] == ["error"]
    await trio.lowlevel.checkpoint()


def test_a_key_may_have_a_budget_of_its_own(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    file.create("kiosk", scopes=("talk",), usd_per_day=Decimal("2.50"))
    (entry,) = file.read()
    assert entry.principal().allowance.usd_per_day == Decimal("2.50")
    with pytest.raises(KeyFileError, match="US dollars"):
        file.create("other", scopes=("talk",), usd_per_day=Decimal(0))
