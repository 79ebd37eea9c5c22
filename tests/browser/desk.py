"""A server whose dashboard has something to show: the real door and application, over real records. No tests."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from protocol.errors import LiveAvatarError
from server.breaker import CircuitBreaker
from server.edge.access import refusal_of
from server.edge.door import Door, open_listeners
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.lifecycle import Lifecycle
from server.security.base import Unauthenticated, missing_credential
from server.security.minting import Mint
from server.security.principal import LOCAL, Principal
from server.security.ticket_store import MemoryTicketStore
from server.telemetry.health import Health
from server.web.access import Denial, Denied, Visit
from server.web.app import make_app
from server.web.live import LiveSession, Oversight
from tests.running import quiet
from tests.web.desk import Desk, Stage
from tests.web.test_app import Shelf

FACTS = {"version": "0.1.0", "upstream": "azure sweden-1", "max_sessions": 200}


class Lock:
    """Lets in whoever shows the key, or everybody where there is none; implements `Gate`."""

    def __init__(self, key: str | None, principal: Principal) -> None:
        self._key = key
        self._principal = principal

    def check_page(self, visit: Visit) -> None:
        assert visit.fields

    async def admit(self, visit: Visit) -> Principal:
        await trio.lowlevel.checkpoint()
        if self._key is None:
            return self._principal
        shown = dict(visit.fields).get("Authorization")
        if shown is None:
            raise Denied(self.denial(missing_credential("Authorization: Bearer")))
        if shown != f"Bearer {self._key}":
            raise Denied(self.denial(Unauthenticated("The credential is not valid.", code="invalid_api_key")))
        return self._principal

    def denial(self, fault: LiveAvatarError) -> Denial:
        refusal = refusal_of(fault)
        return Denial(refusal.status, refusal.code, refusal.body(), refusal.headers)


class Counter:
    """A dashboard's server: its records and the sessions that pretend to live."""

    def __init__(self, port: int, desk: Desk, stage: Stage) -> None:
        self.port = port
        self.desk = desk
        self.stage = stage

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


async def _no_sockets(_request: UpgradeRequest, _upgrade: Upgrade) -> None:
    raise AssertionError("the dashboard opens no WebSocket")


@asynccontextmanager
async def dashboard_server(
    folder: Path, *living: LiveSession, key: str | None = None, principal: Principal = LOCAL
) -> AsyncIterator[Counter]:
    """A server over the records in a folder."""
    desk, stage = Desk(folder), Stage(*living)
    await desk.reader.prepare()
    lifecycle = Lifecycle()
    lifecycle.ready()
    breakers = [CircuitBreaker("sweden-1"), CircuitBreaker("east-us-2")]
    app = make_app(
        Health(lifecycle, lambda: FACTS, lambda: breakers),
        Shelf(),
        Mint(MemoryTicketStore()),
        gate=Lock(key, principal),
        default_kb="museum",
        hears_speech=False,
        oversight=Oversight(stage, desk),
    )
    door = Door(on_websocket=_no_sockets, app=app)
    with quiet():
        async with trio.open_nursery() as nursery:
            listeners = await open_listeners("127.0.0.1", 0)
            await nursery.start(door.serve, listeners)
            yield Counter(listeners[0].socket.getsockname()[1], desk, stage)
            nursery.cancel_scope.cancel()
    await desk.reader.aclose()


def now() -> dt.datetime:
    """The time of day: the page in the browser goes by it, too."""
    return dt.datetime.now(dt.UTC)
