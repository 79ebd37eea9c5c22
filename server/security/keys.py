"""The API keys that open the door now: the one of the settings, and those of the key file, which it keeps an eye on.

It knows digests. Whom a key lets in is a `Principal`; what is refused is said elsewhere.
"""

import hmac

import structlog
import trio

from server.secret import Secret
from server.security.digest import digest_of
from server.security.key_file import KeyEntry, KeyFile, KeyFileError
from server.security.principal import SCOPES, Principal

__all__ = ["KeyRing"]

_log = structlog.get_logger("liveavatar.security")

# The key file is looked at this often, in seconds. A key that is revoked must be worthless, and the sessions it opened
# be over, within five; those who made a key wait for it to work.
LOOK_S = 1.0

_SETTINGS_KEY = Principal(id="key:env", name="env", kind="key", scopes=frozenset(SCOPES))


class KeyRing:
    """All keys.

    Args:
        key: that of the settings, with every right; None where there is none. It may be renewed meanwhile.
        file: where the others are; None has none.

    Raises:
        ValueError: the key of the settings is empty.
        KeyFileError: the file cannot be used.
    """

    def __init__(self, key: Secret | None = None, file: KeyFile | None = None) -> None:
        if key is not None and not key:
            raise ValueError("the access key is empty")
        if key is not None and key.is_resolved and not key.reveal().strip():
            raise ValueError("the access key is empty")
        self._key = key
        self._file = file
        self._stamp: tuple[int, ...] | None = None
        self._live: dict[str, tuple[bytes, Principal]] = {}
        self._was_used = key is not None
        self._complained_of: str | None = None
        if file is not None:
            self._take(*_look(file))

    @property
    def is_used(self) -> bool:
        """Whether there is a key, or ever was: a server whose last key is revoked is not open to all."""
        return self._was_used

    def find(self, credential: str) -> Principal | None:
        """Whoever shows this credential, or None if it is no key. Takes the same time for any text of a length."""
        shown = digest_of(credential).encode()
        found = None
        # The settings' key is digested when it is needed, for it may have been renewed.
        if self._key is not None and hmac.compare_digest(shown, digest_of(self._key.reveal()).encode()):
            found = _SETTINGS_KEY
        # All are compared, whichever fits: when the answer comes must not say which it was.
        for digest, principal in self._live.values():
            if hmac.compare_digest(shown, digest):
                found = principal
        return found

    def current(self, principal_id: str) -> Principal | None:
        """The holder of a key as things stand now; None if its key was revoked.

        The key of the settings is never revoked: renewing it, as a vault does by the clock, turns away those who come
        with the former one, and nobody who is there.
        """
        if principal_id == _SETTINGS_KEY.id:
            return _SETTINGS_KEY if self._key is not None else None
        entry = self._live.get(principal_id)
        return entry[1] if entry is not None else None

    async def look(self) -> frozenset[str]:
        """Takes in what has changed in the file; the ids of those whose keys are gone since the last look.

        What is unreadable changes nothing, and is logged once.
        """
        if self._file is None:
            return frozenset()
        try:
            # A data folder may be on a network.
            stamp, entries = await trio.to_thread.run_sync(_look, self._file, self._stamp)
        except KeyFileError as error:
            if str(error) != self._complained_of:
                self._complained_of = str(error)
                _log.error("the key file cannot be used; the keys that are known stay", error=str(error))
            return frozenset()
        self._complained_of = None
        if entries is None:
            return frozenset()
        before = self._live.keys()
        self._take(stamp, entries)
        _log.info("keys read", keys=len(self._live))
        return frozenset(before - self._live.keys())

    def _take(self, stamp: tuple[int, ...] | None, entries: list[KeyEntry] | None) -> None:
        entries = entries or []
        self._stamp = stamp
        principals = [(entry.digest.encode(), entry.principal()) for entry in entries if entry.is_live]
        self._live = {principal.id: (digest, principal) for digest, principal in principals}
        self._was_used = self._was_used or bool(entries)


_NEVER = (-1,)


def _look(
    file: KeyFile, known: tuple[int, ...] | None = _NEVER
) -> tuple[tuple[int, ...] | None, list[KeyEntry] | None]:
    """The file's stamp, and its entries if that is another than the known one."""
    # The stamp first: what is written in between is seen the next time.
    stamp = file.stamp()
    return stamp, file.read() if stamp != known else None
