"""A whole server over in-memory wires: admission, registry and sessions as in production, a scripted service behind.

Everything that a client or the service sees is recorded with its virtual time. Nothing here decides anything.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
import trio

from protocol.avatar.events import ProfileView
from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from protocol.endings import EndReason
from protocol.errors import ClientFault, UpstreamFault
from server.cluster.budgets import Tab
from server.edge.access import AccessPolicy
from server.edge.admission import Admission, ClientBounds
from server.edge.allowances import Allowances
from server.edge.head import read_head
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.knowledge.base import DocumentText, Passage, Profile, UnknownPassage
from server.prices.files import open_book
from server.secret import Secret
from server.security.authenticator import Authenticator
from server.security.keys import KeyRing
from server.security.minting import Mint
from server.security.principal import Principal
from server.security.ticket_store import MemoryTicketStore
from server.session.base import Furnishing
from server.session.registry import SessionRegistry
from server.store.base import SessionRecords
from server.tools.registry import Tool, ToolRegistry
from server.tools.search import search_tool
from server.transport.client import handshake
from server.transport.errors import ConnectionLost
from server.transport.memory import MemoryWire, memory_wire_pair
from server.transport.websocket import WebSocket, WebSocketOptions
from server.upstream.deployment import deployment
from server.upstream.link import UpstreamLink
from tests.edge.roomy import roomy_allowances
from tests.nurseries import hold_nursery, leaves, running_below
from tests.session.records import Records
from tests.session.service import Json, Line, Script, ScriptedService

BOUNDS = ClientBounds(
    init_timeout_s=10,
    ping_interval_s=20,
    pong_timeout_s=20,
    send_timeout_s=10,
    audio_backlog_ms=120_000,
    close_timeout_s=5,
)
BOOK = open_book()
# Unix seconds at the beginning of virtual time.
WALL = 1_800_000_000.0
# Virtual seconds within which whatever is owed must come, and everything that ended must be gone.
PATIENCE_S = 60.0


class Caller:
    """A client. ``events`` is what came, with its times; ``lost`` is how its connection ended."""

    def __init__(self, websocket: WebSocket, wire: MemoryWire) -> None:
        self.websocket = websocket
        self.wire = wire
        self.events: list[tuple[float, Json]] = []
        self.lost: ConnectionLost | None = None
        self.gone = trio.Event()
        self._news = trio.Condition()
        self._seen = 0

    async def live(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.websocket.run)
            try:
                while True:
                    event = msgspec.json.decode((await self.websocket.receive()).data)
                    self.events.append((trio.current_time(), event))
                    await self._tell()
            except ConnectionLost as lost:
                self.lost = lost
            self.gone.set()
            await self._tell()
            await self.websocket.aclose(5)
            nursery.cancel_scope.cancel()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def send(self, event_type: str, **fields: Any) -> None:
        """Says an event."""
        self.say(msgspec.json.encode({"type": event_type, **fields}))

    def say(self, frame: bytes) -> None:
        """Sends any text frame."""
        self.websocket.send(frame)

    def ask(self, text: str) -> None:
        """Puts a typed question and asks for the answer."""
        content = [{"type": "input_text", "text": text}]
        self.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        self.send("response.create")

    async def until(self, event_type: str, **fields: Any) -> Json:
        """The next event of this type (with these fields) that was not looked at yet."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self._seen < len(self.events):
                    event = self.events[self._seen][1]
                    self._seen += 1
                    if event["type"] == event_type and fields.items() <= event.items():
                        return event
                if self.lost is not None:
                    raise AssertionError(f"{self.lost} before {event_type}; came: {self.types()}")
                async with self._news:
                    await self._news.wait()

    async def closed(self) -> int | None:
        """Waits for the end; the close code."""
        with trio.fail_after(PATIENCE_S):
            await self.gone.wait()
        assert self.lost is not None
        return self.lost.code

    def leave(self, code: int = 1000) -> None:
        """Closes as a client does that is done."""
        self.websocket.close(code)

    def of(self, event_type: str) -> list[Json]:
        return [event for _, event in self.events if event["type"] == event_type]

    def types(self) -> list[str]:
        return [event["type"] for _, event in self.events]

    def states(self) -> list[str]:
        return [event["state"] for event in self.of("avatar.state")]


class Shelf:
    """A knowledge base in memory; implements ``KnowledgeBase``. Any question finds all its passages."""

    def __init__(self, kb_id: str, *texts: str) -> None:
        self.kb_id = kb_id
        self.profile = Profile(kb_id=kb_id, title=kb_id.title())
        self.asked: list[str] = []
        self._texts = texts

    async def search(self, query: str, *, limit: int = 5) -> list[Passage]:
        await trio.lowlevel.checkpoint()
        self.asked.append(query)
        return [
            Passage(
                id=f"{self.kb_id}/doc.md#{number}",
                title="Doc",
                uri="doc.md",
                text=text,
                start=0,
                end=len(text),
                score=0.9,
                snippet=text[:80],
            )
            for number, text in enumerate(self._texts[:limit], start=1)
        ]

    async def document(self, passage_id: str) -> DocumentText:
        await trio.lowlevel.checkpoint()
        raise UnknownPassage(passage_id)


class Nothing(msgspec.Struct):
    """No arguments."""


def tool(name: str, call: Callable[[], Awaitable[ToolResult]]) -> Tool[Nothing]:
    """A tool without arguments."""

    async def run(_: Nothing) -> ToolResult:
        return await call()

    return Tool(name, "A tool.", Nothing, run)


class House:
    """What a test talks to."""

    def __init__(self, world: trio.Nursery, sessions: trio.Nursery, **kwargs: Any) -> None:
        self.world = world
        self.sessions = sessions
        self.service: ScriptedService = kwargs["service"]
        self.registry: SessionRegistry = kwargs["registry"]
        self.admission: Admission = kwargs["admission"]
        self.authenticator: Authenticator = kwargs["authenticator"]
        self.shelves: dict[str, Shelf] = kwargs["shelves"]
        self.log: list[Any] = kwargs["log"]
        self._records: SessionRecords | None = kwargs["records"]
        self.callers: list[Caller] = []
        self.failures: list[BaseException] = []
        self.excused: set[str] = set()
        self.connections: list[trio.CancelScope] = []

    @property
    def line(self) -> Line:
        return self.service.line

    @property
    def records(self) -> Records:
        """What its sessions recorded, where it was told to keep it."""
        assert isinstance(self._records, Records)
        return self._records

    @property
    def endings(self) -> list[str]:
        """The reasons that ended sessions gave, as their log lines say."""
        return [entry["reason"] for entry in self.log if entry["event"] == "session ended"]

    async def ended(self, count: int = 1) -> None:
        """Waits for so many sessions to end."""
        with trio.fail_after(10 * PATIENCE_S):
            while len(self.endings) < count:  # noqa: ASYNC110 - log lines set no event
                await trio.sleep(0.1)

    async def caller(
        self,
        init: Json | None = None,
        *,
        path: str = "/ws",
        headers: dict[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        options: WebSocketOptions | None = None,
        capacity_bytes: int = 64 * 1024,
    ) -> Caller:
        """A client past its handshake; on /ws it has sent its first frame (``init={}`` sends none)."""
        near, far = memory_wire_pair(capacity_bytes=capacity_bytes)
        self.world.start_soon(self._serve, near)
        options = options or WebSocketOptions(ping_interval_s=1e9, max_message_bytes=2**25)
        url = f"ws://localhost{path}"
        websocket = await handshake(far, url, headers=headers, subprotocols=subprotocols, options=options)
        caller = Caller(websocket, far)
        self.callers.append(caller)
        self.world.start_soon(caller.live)
        if init is None and path == "/ws":
            init = {"type": "session.init", "kb_id": "museum"}
        if init:
            caller.say(msgspec.json.encode(init))
        return caller

    async def opened(self, *args: Any, **kwargs: Any) -> Caller:
        """A client whose session is confirmed."""
        caller = await self.caller(*args, **kwargs)
        await caller.until("session.created")
        return caller

    async def _serve(self, wire: MemoryWire) -> None:
        """What the door does with a connection."""
        with trio.CancelScope() as scope:
            self.connections.append(scope)
            try:
                head = await read_head(wire)
                assert head is not None
                request = UpgradeRequest(head, wire.peer)
                await self.admission.on_websocket(request, Upgrade(request, wire, head.rest))
            except* ConnectionLost:
                pass
            except* Exception as failures:  # noqa: BLE001 - the door's firewall, seen by the test
                self.failures.extend(leaves(failures))
            finally:
                wire.close()

    async def emptied(self) -> None:
        """Everybody leaves; afterwards nothing may run that did not run before."""
        for caller in self.callers:
            caller.leave()
        with trio.move_on_after(PATIENCE_S) as waiting:
            while self.running():  # noqa: ASYNC110 - the end of any task
                await trio.sleep(0.1)
        assert not waiting.cancelled_caught, f"still running: {self.running()}"
        assert len(self.registry) == 0
        for line in self.service.lines:
            assert line.lost is not None

    def running(self) -> list[str]:
        """The names of the tasks below this house, but for the one that holds the sessions' nursery."""
        return running_below(self.world)


@asynccontextmanager
async def house(
    *scripts: Script | UpstreamFault | str,
    tools: Sequence[Tool[Any]] = (),
    tool_timeout_s: float = 30.0,
    tools_at_once: int = 4,
    max_sessions: int = 10,
    attempts: int = 3,
    connect_timeout_s: float = 10.0,
    key: str | None = None,
    bounds: ClientBounds = BOUNDS,
    furnish_s: float = 0.0,
    limits: Limits | None = None,
    keys: KeyRing | None = None,
    is_public: bool = False,
    url_credentials: bool = False,
    allowances: Allowances | None = None,
    deployments: int = 1,
    budgets: Callable[[Principal], Awaitable[Tab | None]] | None = None,
    records: SessionRecords | bool = False,
    wall: Callable[[], float] | None = None,
) -> AsyncIterator[House]:
    """A house for the length of the block; at its end everybody has left and nothing runs any more."""
    kept = Records() if records is True else (records or None)
    shelves = {"museum": Shelf("museum", "It opens at 10 am."), "zoo": Shelf("zoo", "The lion sleeps.")}

    async def furnish(kb_id: str | None) -> Furnishing:
        await trio.sleep(furnish_s)
        shelf = shelves.get(kb_id or "museum")
        if shelf is None:
            reason = EndReason.UNKNOWN_KNOWLEDGE_BASE
            raise ClientFault("There is no such knowledge base.", code=reason.label, reason=reason)
        profile = ProfileView(title=shelf.profile.title, greeting="", voice="", language="", sample_questions=[])
        registry = ToolRegistry([search_tool(shelf, passages=3), *tools], timeout_s=tool_timeout_s)
        return Furnishing(kb_id=shelf.kb_id, profile=profile, instructions="Be kind.", tools=registry)

    with structlog.testing.capture_logs() as log:
        async with trio.open_nursery() as world:
            sessions: trio.Nursery = await world.start(hold_nursery)
            service = ScriptedService(world, *scripts)

            def of_day() -> float:
                return WALL + trio.current_time() if wall is None else wall()

            mint = Mint(MemoryTicketStore(now=of_day), now=of_day)
            ring = keys or KeyRing(Secret(key) if key else None)
            authenticator = Authenticator(ring, mint, is_public=is_public)
            places = [
                deployment(service, name=f"place {number}", priority=number) for number in range(1, deployments + 1)
            ]
            registry = SessionRegistry(
                sessions,
                furnish=furnish,
                link=lambda: UpstreamLink(*places, attempts=attempts, timeout_s=connect_timeout_s),
                max_sessions=max_sessions,
                tools_at_once=tools_at_once,
                limits=limits,
                prices=BOOK,
                budgets=budgets,
                objection=authenticator.objection,
                wall=of_day,
                records=kept,
            )
            policy = AccessPolicy(authenticator, url_credentials=url_credentials)
            admission = Admission(policy, registry, bounds, allowances or roomy_allowances())
            home = House(
                world,
                sessions,
                service=service,
                registry=registry,
                admission=admission,
                authenticator=authenticator,
                shelves=shelves,
                log=log,
                records=kept,
            )
            yield home
            await home.emptied()
            assert [failure for failure in home.failures if str(failure) not in home.excused] == []
            world.cancel_scope.cancel()
