"""Services that fail as they are told, in virtual time and without wires, and a record of who came to them when."""

from collections.abc import Callable

import trio

from protocol.errors import UpstreamFault
from server.upstream.base import Origin, UpstreamRefused, UpstreamUnreachable

DOWN = UpstreamUnreachable("Nobody is there.", code="upstream_unreachable", retryable=True)
NO = UpstreamRefused("The key is wrong.", code="upstream_http_401")
FOREVER = float("inf")


def busy(retry_after_s: float | None) -> UpstreamRefused:
    return UpstreamRefused("Busy.", code="upstream_http_429", retryable=True, retry_after_s=retry_after_s)


class Connection:
    """An open connection; implements ``UpstreamConnection`` and carries nothing."""

    def __init__(self, place: "Place") -> None:
        self.place = place
        self.origin: Origin | None = None
        self.on_audio_dropped: Callable[[float], None] | None = None
        self.waiting_bytes = 0
        place.open += 1

    async def receive(self) -> bytes:
        await trio.sleep_forever()
        raise AssertionError("it sleeps")

    def send(self, frame: bytes, *, audio_ms: float = 0.0) -> None:
        pass

    async def run(self) -> None:
        await trio.sleep_forever()

    async def aclose(self) -> None:
        self.place.open -= 1
        await trio.lowlevel.checkpoint()


class Place:
    """A service; implements ``Connector``.

    Args:
        says: what a try comes to, given its number and the time: None connects.
        takes_s: how long a try takes; one that hangs is given up by the connector after ``attempt_timeout_s``.
    """

    def __init__(
        self,
        says: Callable[[int, float], UpstreamFault | None],
        *,
        name: str = "the service",
        takes_s: Callable[[float], float] = lambda _now: 0.1,
        attempt_timeout_s: float = 5.0,
    ) -> None:
        self.name = name
        self._says = says
        self._takes_s = takes_s
        self._attempt_timeout_s = attempt_timeout_s
        self.tries: list[float] = []
        self.told: list[tuple[float, float]] = []
        """When it asked to be left alone, and for how long."""
        self.spans: list[tuple[float, float]] = []
        """When each try began and ended, by its end."""
        self.trying = 0
        self.open = 0

    async def connect(self) -> Connection:
        number = len(self.tries)
        self.tries.append(trio.current_time())
        self.trying += 1
        try:
            with trio.move_on_after(self._attempt_timeout_s) as scope:
                await trio.sleep(self._takes_s(trio.current_time()))
            if scope.cancelled_caught:
                raise DOWN
            fault = self._says(number, trio.current_time())
            if fault is not None:
                if fault.retryable and fault.retry_after_s:
                    self.told.append((trio.current_time(), fault.retry_after_s))
                raise fault
        finally:
            self.trying -= 1
            self.spans.append((self.tries[number], trio.current_time()))
        return Connection(self)


def fine(_number: int, _now: float) -> UpstreamFault | None:
    return None


def always(fault: UpstreamFault) -> Callable[[int, float], UpstreamFault | None]:
    return lambda _number, _now: fault


def first(*faults: UpstreamFault) -> Callable[[int, float], UpstreamFault | None]:
    """These, one after the other, and then it connects."""
    return lambda number, _now: faults[number] if number < len(faults) else None
