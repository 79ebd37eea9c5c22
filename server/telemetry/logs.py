"""Structured logs: JSON lines or a console form, to stderr. Contents and secrets stay out by what callers log."""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

# Locals of a frame hold what was said, and keys.
_WITHOUT_LOCALS = ExceptionDictTransformer(show_locals=False)

Format = Literal["auto", "json", "console"]

Sink = Callable[[Mapping[str, Any]], None]
"""Gets each entry that is logged, made printable, with `exc_info` as it was; must not wait, raise or change it."""

# Who gets entries beside the log itself. Logging belongs to the process, as structlog's own configuration does.
_sinks: list[Sink] = []

# What a stranger can make long is cut: a line is read by people and by programs that split long ones.
TEXT_MAX_CHARS = 4_000
# Names of fields are ours; should one ever not be, it is no place to hide a line in.
_NAME_MAX_CHARS = 100


def configure(level: str, log_format: Format, stream: TextIO | None = None) -> None:
    """Sets up logging for the process; a second call replaces the first.

    ``auto`` is the console form on a terminal and JSON elsewhere. Values are escaped in both forms, so that nobody can
    forge a line by what he sends.
    """
    stream = stream or sys.stderr
    as_console = log_format == "console" or (log_format == "auto" and stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _one_line,
        _forwarded,
    ]
    final: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_traceback)]
        if as_console
        else [structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=shared + final,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


def _one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Makes every text of an entry printable, in collections and names too; what is no text is shown by its ``repr``.

    The console form would write what a stranger sent as it came. A traceback is the renderer's.
    """
    for key in list(event):
        if key == "exc_info":
            continue
        value = event[key]
        if not key.isprintable() or len(key) > _NAME_MAX_CHARS:
            del event[key]
            key = printable(key)[:_NAME_MAX_CHARS]
        if isinstance(value, str):
            event[key] = printable(value)
        elif isinstance(value, bool | int | float | None):
            event[key] = value
        elif isinstance(value, list | tuple | dict | set | frozenset):
            event[key] = _contents(value)
        else:
            event[key] = printable(repr(value))
    return event


@contextmanager
def forwarded_to(sink: Sink) -> Iterator[None]:
    """Gives `sink` every entry too, for the length of the block."""
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.remove(sink)


def _forwarded(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for sink in _sinks:
        sink(event)
    return event


def _traceback(stream: TextIO, exc_info: Any) -> None:
    """Writes a traceback for the console form: each line indented and printable, so that none passes for an entry."""
    for part in traceback.format_exception(*exc_info):
        stream.writelines(f"\n    {printable(line)}" for line in part.splitlines())


def _contents(value: Any, levels: int = 4) -> Any:
    """What a collection holds, its texts printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool | int | float | None):
        return value
    if levels and isinstance(value, dict):
        return {printable(str(key)): _contents(inner, levels - 1) for key, inner in value.items()}
    if levels and isinstance(value, list | tuple | set | frozenset):
        return [_contents(inner, levels - 1) for inner in value]
    return printable(repr(value))


def printable(text: str) -> str:
    """``text`` in one line of characters that are seen, those that are not escaped; cut where it is too long."""
    if len(text) > TEXT_MAX_CHARS:
        text = f"{text[:TEXT_MAX_CHARS]}… ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in text
    )
