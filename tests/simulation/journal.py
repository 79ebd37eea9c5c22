"""What everybody said and did in a run, in order, with its virtual time; it judges nothing."""

import hashlib
import re
from typing import NamedTuple

import trio

_SHOWN_BYTES = 300
_SOUND = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


class Entry(NamedTuple):
    """One thing that was said or done; ``who`` is a page, a line of the service, a session or the world."""

    at: float
    who: str
    what: bytes

    def __str__(self) -> str:
        said = _SOUND.sub(lambda sound: f"{sound[0][:16]}...", self.what.decode("utf-8", "backslashreplace"))
        said = (
            said
            if len(said) <= _SHOWN_BYTES or self.who == "log"
            else f"{said[:_SHOWN_BYTES]}... ({len(self.what)} bytes)"
        )
        return f"{self.at:10.3f}  {self.who:<12}  {said}"


class Journal:
    """The entries of one run."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, who: str, what: bytes | str) -> None:
        """Adds an entry at the present time."""
        self.entries.append(Entry(trio.current_time(), who, what.encode() if isinstance(what, str) else what))

    def digest(self) -> str:
        """The same for the same run, and for no other."""
        digest = hashlib.blake2b(digest_size=16)
        for at, who, what in self.entries:
            digest.update(b"%r %s %d " % (at, who.encode(), len(what)))
            digest.update(what)
        return digest.hexdigest()
