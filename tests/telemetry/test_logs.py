"""Log lines: one event is one line that nobody can forge, and no line shows what was in a variable."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from server.telemetry.logs import Format, configure

HOSTILE = 'x\n2026-01-01 [error] forged=1\r\n\x1b[31mred\x1b[0m\x00"}\u2028{"event":"forged"}\u202e'


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(log_format: Format, stream: io.StringIO | None = None, level: str = "debug", **fields: Any) -> str:
    """What one warning with these fields looks like."""
    stream = stream or io.StringIO()
    configure(level, log_format, stream)
    structlog.get_logger("liveavatar.test").warning("something happened", **fields)
    return stream.getvalue()


def test_json_is_one_object_to_a_line() -> None:
    line = logged("json", session_id="sess_1", count=3)
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry["event"] == "something happened"
    assert entry["level"] == "warning"
    assert entry["session_id"] == "sess_1"
    assert entry["count"] == 3
    assert entry["timestamp"].endswith("Z")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("where", ["value", "list", "dict", "error"])
def test_what_a_stranger_sent_stays_on_its_line(log_format: Format, where: str) -> None:
    value: Any = {
        "value": HOSTILE,
        "list": [HOSTILE],
        "dict": {HOSTILE: HOSTILE},
        "error": ValueError(HOSTILE),
    }[where]
    if log_format == "json" and where == "error":
        value = repr(value)
    text = logged(log_format, said=value)
    assert text.count("\n") == 1
    for control in "\r\x1b\x00\u2028\u202e":
        assert control not in text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_hostile_event_name_stays_on_its_line(log_format: Format) -> None:
    stream = io.StringIO()
    configure("info", log_format, stream)
    structlog.get_logger().info(HOSTILE)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def _fails(secret: str) -> None:
    hidden = secret  # a local that must not be shown
    raise ValueError(f"of {len(hidden)} characters")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_show_no_locals(log_format: Format) -> None:
    stream = io.StringIO()
    configure("info", log_format, stream)
    try:
        _fails("sk-canary-0123456789")
    except ValueError:
        structlog.get_logger().exception("it failed")
    text = stream.getvalue()
    assert "canary" not in text.replace('_fails("sk-canary', "")
    assert "of 20 characters" in text
    assert "_fails" in text


def test_a_traceback_in_json_is_one_line_too() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    try:
        raise ExceptionGroup("several", [ValueError("one\ntwo"), KeyError("three")])
    except ExceptionGroup as group:
        structlog.get_logger().error("it failed", exc_info=group)
    assert stream.getvalue().count("\n") == 1
    assert "one" in str(json.loads(stream.getvalue())["exception"])


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_the_form_follows_the_stream(log_format: Format, stream: io.StringIO, is_json: bool) -> None:
    assert logged(log_format, stream).startswith("{") == is_json


def test_colours_are_for_terminals() -> None:
    assert "\x1b" in logged("console", Terminal())
    assert "\x1b" not in logged("console")


def test_the_level_holds() -> None:
    assert logged("json", level="error") == ""
    assert logged("json", level="warning") != ""


def test_a_second_call_replaces_the_first() -> None:
    first = io.StringIO()
    configure("info", "json", first)
    logger = structlog.get_logger()
    logger.info("one")
    second = io.StringIO()
    configure("info", "json", second)
    logger.info("two")
    assert "two" not in first.getvalue()
    assert "two" in second.getvalue()


def test_letters_beyond_ascii_are_kept_readable() -> None:
    assert "Zürich" in logged("console", town="Zürich")
    assert json.loads(logged("json", town="Zürich"))["town"] == "Zürich"


INJECTIONS = (
    "\n2026-01-01T00:00:00Z [error    ] forged admin=1",
    '\r\n{"event":"forged","level":"error"}',
    "\u2028forged\u2029forged\x85forged\x0bforged\x0cforged\x1cforged\x1dforged\x1eforged",
    "\x1b[2K\x1b[1Goverwritten",
    "\x1b]0;title\x07\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31mred\x9b0m",
    "\x08\x08\x08\x7f\x00",
    "\u202eesrever\u2066isolated\u2069\u200b\ufeff",
    "\U000e0041\U000e0042\ufe0f\ud800",
    'x" level="error" event="forged',
    "x level=error event=forged",
    "%s%d{0}{event}",
    "x" * 100_000,
)


class Odd:
    """Something whose looks a stranger has a say in."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    __str__ = __repr__


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("place", ["value", "list", "key", "odd", "deep", "event"])
@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_no_injection_makes_a_line_or_a_sequence(log_format: Format, place: str, text: str) -> None:
    stream = io.StringIO()
    configure("debug", log_format, stream)
    logger = structlog.get_logger()
    if place == "event":
        logger.info(text)
    else:
        fields: dict[str, dict[str, Any]] = {
            "value": {"said": text},
            "list": {"said": [text, (text,)]},
            "key": {text: text},
            "odd": {"said": Odd(text)},
            "deep": {"said": {"a": [{"b": {text: Odd(text)}}]}},
        }
        logger.info("something happened", **fields[place])
    (line,) = stream.getvalue().splitlines()
    assert all(char.isprintable() for char in line)
    assert len(line) < 25_000
    if log_format == "json":
        entry = json.loads(line)
        assert entry["level"] == "info"
        assert place == "event" or entry["event"] == "something happened"


def test_no_field_begins_within_another_on_the_console() -> None:
    line = logged("console", said="x level=error event=forged", by='a"b', plain="sess_1")
    assert "said='x level=error event=forged'" in line.replace('"', "'")
    assert "plain=sess_1" in line


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_no_error_writes_a_line_of_its_own_on_the_console(text: str) -> None:
    stream = io.StringIO()
    configure("info", "console", stream)
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger().exception("it failed")
    first, *rest = stream.getvalue().splitlines()
    assert "it failed" in first
    assert all(line.startswith("    ") or not line for line in rest)
    assert all(char.isprintable() for line in rest for char in line)
