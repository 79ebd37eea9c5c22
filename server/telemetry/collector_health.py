"""What is known of the collector: whether it takes what is exported. It says so once, not for every batch.

The libraries under the exporters log each failure, with their own loggers; those are silenced here, and the few other
things that they have to say are passed on, each once. All of this runs in the exporters' threads.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog

from server.telemetry.destinations import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CollectorHealth", "Reported", "libraries_speak_once"]

_log = structlog.get_logger("liveavatar.telemetry")

_LIBRARY: Final = "opentelemetry"
_EXPORTERS: Final = "opentelemetry.exporter"
_AZURE: Final = "azure.monitor.opentelemetry.exporter"
# Different things that a library says, of which each is passed on once.
_MAX_TEXTS: Final = 50


# The status that an exporter has logged last, in its own thread; exporters keep it to themselves.
_heard = threading.local()


class CollectorHealth:
    """Whether exports succeed.

    Args:
        on_failure: is called for each batch that was lost, in the exporter's thread.
    """

    def __init__(self, on_failure: Callable[[Signal], None]) -> None:
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._failing: set[Signal] = set()

    def failed(self, signal: Signal, why: str) -> None:
        """A batch was lost."""
        self._on_failure(signal)
        with self._lock:
            is_news = not self._failing
            self._failing.add(signal)
        if is_news:
            _log.warning("telemetry cannot be exported; said once", signal=signal, error=why)

    def succeeded(self, signal: Signal) -> None:
        """A batch was taken."""
        if signal not in self._failing:
            return
        with self._lock:
            self._failing.discard(signal)
            is_news = not self._failing
        if is_news:
            _log.info("telemetry is exported again")


class Reported:
    """An exporter whose successes and failures are told to a `CollectorHealth`; else it is the exporter itself."""

    def __init__(self, exporter: Any, signal: Signal, health: CollectorHealth) -> None:
        self._exporter = exporter
        self._signal = signal
        self._health = health

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Exports a batch. What the exporter raises passes through, to the SDK's own boundary around its thread."""
        _heard.status = None
        try:
            result = self._exporter.export(*args, **kwargs)
        except Exception as error:
            self._health.failed(self._signal, type(error).__name__)
            raise
        # Each signal has a result type of its own; the names are the same.
        if result.name == "SUCCESS":
            self._health.succeeded(self._signal)
        else:
            status = getattr(_heard, "status", None)
            self._health.failed(self._signal, f"HTTP {status}" if status else "no answer that is understood")
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)


class _Once(logging.Handler):
    """Passes on what a library logs, each text once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`. What exporters say is said by `CollectorHealth`, better."""
        text = str(record.msg)
        if record.name.startswith((_EXPORTERS, _AZURE)):
            arguments = record.args if isinstance(record.args, tuple) else ()
            _heard.status = next((one for one in arguments if isinstance(one, int)), None)
            return
        if text in self._said or len(self._said) >= _MAX_TEXTS:
            return
        self._said.add(text)
        # Without what stands in its gaps: libraries quote what they cannot read, headers with keys in them too.
        _log.warning("OpenTelemetry", text=text, logger=record.name)


@contextmanager
def libraries_speak_once() -> "Iterator[None]":
    """Keeps the libraries from writing to stderr by themselves, for the length of the block."""
    handler = _Once()
    found = [logging.getLogger(name) for name in (_LIBRARY, _AZURE)]
    before = [logger.propagate for logger in found]
    for logger in found:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(found, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
