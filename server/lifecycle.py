"""The life of the process: starting, ready, draining, stopped; and the signals that move it. Ends nothing by itself."""

import enum
import signal

import structlog
import trio

from protocol.endings import EndReason

_log = structlog.get_logger("liveavatar.lifecycle")


class State(enum.Enum):
    """Where the server stands."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Lifecycle:
    """The state, and an event for those who wait for its end."""

    def __init__(self) -> None:
        self.state = State.STARTING
        # What sessions that are open at the end are told.
        self.reason = EndReason.GOING_AWAY
        self._drain = trio.Event()
        self._leave_now = trio.Event()

    def ready(self) -> None:
        """The server serves."""
        if self.state is State.STARTING:
            self.state = State.READY

    def drain(self, reason: EndReason = EndReason.GOING_AWAY) -> None:
        """The server shall stop, for this reason: asked a second time, at once."""
        if self._drain.is_set():
            self._leave_now.set()
        else:
            self.reason = reason
        self.state = State.DRAINING
        self._drain.set()

    def stopped(self) -> None:
        """Nothing runs any more."""
        self.state = State.STOPPED

    async def wait_draining(self) -> None:
        """Returns when the server shall stop."""
        await self._drain.wait()

    async def wait_leave_now(self) -> None:
        """Returns when the server shall not wait for anybody any more."""
        await self._leave_now.wait()

    async def watch_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drains at SIGTERM or SIGINT; a second one means now. Runs until cancelled.

        SIGTERM is what whoever replaces a server sends: another is there in a moment. SIGINT is a person who stops it.
        """
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            task_status.started()
            async for number in received:
                _log.info("stopping", signal=signal.Signals(number).name, at_once=self._drain.is_set())
                self.drain(EndReason.RESTARTING if number == signal.SIGTERM else EndReason.GOING_AWAY)
