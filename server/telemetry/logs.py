"""Structured logs: JSON lines or a console form, to stderr. Contents and secrets stay out by what callers log."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

# Locals of a frame hold what was said, and keys.
_WITHOUT_LOCALS = ExceptionDictTransformer(show_locals=False)

Format = Literal["auto", "json", "console"]


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
    ]
    final: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]
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
    """Escapes control characters in every text: the console form else prints what a stranger sent as it came."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    return event
