"""Lines that a person types or a pipe delivers, read without stopping anything else. Does not know what they mean."""

import codecs
import os
from typing import Protocol

import trio

from server.cli.command import CommandFailed

_READ_BYTES = 4096
# Ten pages of text are no question any more.
MAX_LINE_CHARS = 32 * 1024


class Lines(Protocol):
    """Where questions come from."""

    async def next(self) -> str | None:
        """The next line without its end; None when there are no more."""
        ...


class OneLine:
    """A single line that is known already."""

    def __init__(self, line: str) -> None:
        self._line: str | None = line

    async def next(self) -> str | None:
        """See ``Lines``."""
        await trio.lowlevel.checkpoint()
        line, self._line = self._line, None
        return line


class TypedLines:
    """The lines of a file descriptor, in UTF-8; what is none of that becomes replacement characters.

    It reads in a thread that is abandoned when the wait is cancelled, and not through ``sys.stdin``: an abandoned
    thread would hold that object's lock, and Python's end would wait for it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._ended = False

    async def next(self) -> str | None:
        """See ``Lines``. Cancelled while it waits, it may lose what is typed next; what was read stays."""
        while True:
            line, newline, rest = self._text.partition("\n")
            if newline or self._ended:
                self._text = rest
                await trio.lowlevel.checkpoint()
                return line if newline or line else None
            if len(self._text) > MAX_LINE_CHARS:
                raise CommandFailed(f"A line is longer than {MAX_LINE_CHARS} characters.")
            data = await trio.to_thread.run_sync(_read, self._descriptor, abandon_on_cancel=True)
            self._ended = not data
            self._text += self._decoder.decode(data, final=not data)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return b""  # the terminal is gone, and whoever typed with it
