"""Writes to the terminal: plain text that cannot command it, dim text, and problems. Reads nothing."""

import io
import os
import re
import sys
from typing import TextIO

# Control characters, but for line feed and tab: in text from elsewhere they could move the cursor, hide what stands
# there or change what the terminal answers.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_DIM, _RESET = "\x1b[2m", "\x1b[0m"


def prepare_streams() -> None:
    """Let no character stop a command: what the terminal's encoding cannot show becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def plain(text: str) -> str:
    """``text`` without control characters and without changes of writing direction."""
    return _CONTROL.sub("�", text)


def one_line(text: str) -> str:
    """``text`` on one line, and plain."""
    return plain(" ".join(text.split()))


def counted(number: int, thing: str) -> str:
    """A number of things, with the plural that regular words have."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def dim(text: str, stream: TextIO | None = None) -> str:
    """``text`` in a fainter colour, where ``stream`` (standard output) is a terminal that wants colours."""
    stream = sys.stdout if stream is None else stream
    wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"{_DIM}{text}{_RESET}" if wanted else text


def complain(sentence: str) -> None:
    """One problem, on standard error."""
    print(f"liveavatar: {plain(sentence)}", file=sys.stderr, flush=True)
