"""A whole server over in-memory wires, with the models of everything that stands outside it, and what happens there.

Admission, registry and sessions are put together as in production. Nothing here decides what a conversation is like:
that is the plan's.
"""

import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from random import Random
from typing import Any

import structlog
import trio

from protocol.avatar.events import ProfileView
from protocol.conversation.actions import Verdict
from protocol.conversation.guard import GuardPolicy
from protocol.endings import EndReason
from protocol.errors import ClientFault
from protocol.prices.terms import Terms
from server.app.budgets import Budgets
from server.cluster.budgets import Tab
from server.cluster.in_process_budgets import InProcessBudgets
from server.edge.access import AccessPolicy
from server.edge.admission import Admission, ClientBounds
from server.edge.head import HeadRefused, read_head
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.prices.files import open_book
from server.secret import Secret
from server.security.authenticator import Authenticator
from server.security.keys import KeyRing
from server.security.minting import Mint
from server.security.principal import Principal
from server.security.ticket_store import MemoryTicketStore
from server.session.base import Furnishing
from server.session.registry import SessionRegistry
from server.settings import Settings
from server.tools.registry import ToolRegistry
from server.tools.search import search_tool
from server.transport.errors import ConnectionLost, WireBroken, WireClosed
from server.transport.memory import MemoryWire, memory_wire_pair
from server.upstream.deployment import deployment
from server.upstream.link import UpstreamLink
from tests.edge.roomy import own_name_only, roomy_allowances
from tests.nurseries import hold_nursery, leaves, running_below
from tests.session.records import Records
from tests.simulation.faults import strike
from tests.simulation.journal import Journal
from tests.simulation.library import Library
from tests.simulation.meter import TRANSCRIPTION_MODEL, UPLIFT_PERCENT
from tests.simulation.mind import Json
from tests.simulation.observer import Observer
from tests.simulation.page import Page
from tests.simulation.person import Talk
from tests.simulation.plan import Plan
from tests.simulation.service import Line, ModelService

BOOK = open_book()
TERMS = Terms(deployment="the model service", uplift_percent=Decimal(UPLIFT_PERCENT))
EPOCH_S = 1_800_000_000.0
KEY = "the key of the house"
TOOL_TIMEOUT_S = 10.0
# Speech whose transcript is lost is answered all the same: these people have nothing to hide.
GUARD = GuardPolicy(sentence="Not that.", fails_open=True, wait_s=4.0)
# Seconds behind the grace for the last closing handshakes.
CLOSING_S = 1.0
BOUNDS = ClientBounds(
    init_timeout_s=10,
    ping_interval_s=20,
    pong_timeout_s=20,
    send_timeout_s=10,
    audio_backlog_ms=120_000,
    close_timeout_s=5,
)


class SlowLook:
    """Looks at what is said, and finds nothing; implements ``TranscriptGuard``."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def check(self, text: str) -> Verdict:
        await trio.sleep(self._random.choice((0.0, 0.0, 0.02, 0.3)))
        return Verdict(passes=True)


class World:
    """What a run consists of.

    Attributes:
        reached: how often each phase was reached; struck: how often each fault struck in each phase.
        failures: exceptions that came through to the door's firewall.
        log: the server's log lines.
    """

    def __init__(self, nursery: trio.Nursery, sessions: trio.Nursery, plan: Plan, observer: Observer) -> None:
        self.nursery, self.sessions, self.plan, self.observer = nursery, sessions, plan, observer
        self.journal = Journal()
        self.records = Records()
        self.random = Random(f"world {plan.seed}")
        self.talk = Talk()
        self.reached: Counter[str] = Counter()
        self.struck: Counter[tuple[str, str]] = Counter()
        self.failures: list[BaseException] = []
        self.log: list[Any] = []
        self.pages: list[Page] = []
        self.wall_offset_s = 0.0
        self.intruders: list[tuple[str, Json]] = []
        self.healed = False
        self.drained_at: float | None = None
        self._due = list(plan.faults)
        self._connections: list[trio.CancelScope] = []
        self.service = ModelService(
            nursery,
            journal=self.journal,
            observer=observer,
            reach=self.reach,
            wall=self.wall,
            habits=plan.habits,
            random=self.random,
            utterances=self.talk.utterances,
        )
        self.library = Library("museum", lambda: self.reach("tool pending", self._acting_line()), self.random)
        self._deployment = deployment(self.service, terms=TERMS)
        self.money = InProcessBudgets(wall=self.wall)
        budgeted = Settings(
            budget_session=plan.budgets.session,
            budget_principal_day=plan.budgets.principal,
            budget_day=plan.budgets.day,
        )
        self._budgets = Budgets(budgeted, self.money, of=own_name_only, wall=self.wall)
        self.registry = SessionRegistry(
            sessions,
            furnish=self._furnish,
            link=lambda: UpstreamLink(self._deployment, attempts=3, timeout_s=10.0),
            max_sessions=10,
            tools_at_once=4,
            limits=plan.limits,
            wall=self.wall,
            records=self.records,
            transcription_model=TRANSCRIPTION_MODEL,
            prices=BOOK,
            guard=(SlowLook(self.random), GUARD) if plan.guarded else None,
            budgets=self._open_tab if plan.budgets else None,
        )
        self.key = KEY if plan.needs_key else None
        authenticator = Authenticator(KeyRing(Secret(self.key) if self.key else None), Mint(MemoryTicketStore()))
        self.admission = Admission(AccessPolicy(authenticator), self.registry, BOUNDS, roomy_allowances())

    @property
    def is_draining(self) -> bool:
        """Whether there was a SIGTERM."""
        return self.drained_at is not None

    @property
    def is_out_of_money(self) -> bool:
        """Whether somebody could not be answered for want of it."""
        told = ("a budget nears its end", "session refused: a budget is spent")
        return any(line["event"] in told and line.get("stage", "spent") == "spent" for line in self.log)

    def wall(self) -> float:
        """The wall clock: seconds since 1970."""
        return EPOCH_S + trio.current_time() + self.wall_offset_s

    async def _open_tab(self, principal: Principal) -> Tab | None:
        return await self._budgets.open(principal)

    async def _furnish(self, kb_id: str | None) -> Furnishing:
        await trio.lowlevel.checkpoint()
        if kb_id not in (None, self.library.kb_id):
            reason = EndReason.UNKNOWN_KNOWLEDGE_BASE
            raise ClientFault("There is no such knowledge base.", code=reason.label, reason=reason)
        profile = ProfileView(title="Museum", greeting="", voice="", language="", sample_questions=[])
        tools = ToolRegistry([search_tool(self.library, passages=3)], timeout_s=TOOL_TIMEOUT_S)
        return Furnishing(kb_id=self.library.kb_id, profile=profile, instructions="Be kind.", tools=tools)

    # People

    def page(self, *, path: str | None = None, acknowledges: bool | None = None) -> Page:
        """A new page; somebody must let it ``live``."""
        page = Page(
            f"page {len(self.pages)}",
            dial=self.dial,
            reach=lambda phase, page: self.reach(phase, None, page),
            journal=self.journal,
            random=self.random,
            path=path or self.plan.path,
            key=self.key,
            acknowledges=self.plan.acknowledges if acknowledges is None else acknowledges,
        )
        self.pages.append(page)
        return page

    def dial(self) -> MemoryWire:
        """A connection to the front door; the caller's end."""
        near, far = memory_wire_pair(capacity_bytes=self.plan.capacity_bytes)
        self.nursery.start_soon(self._serve, near)
        return far

    async def _serve(self, wire: MemoryWire) -> None:
        """What the door does with a connection."""
        with trio.CancelScope() as scope:
            self._connections.append(scope)
            try:
                if (head := await read_head(wire)) is not None:
                    request = UpgradeRequest(head, wire.peer)
                    await self.admission.on_websocket(request, Upgrade(request, wire, head.rest))
            except* (ConnectionLost, HeadRefused, WireBroken, WireClosed):
                pass
            except* Exception as failures:  # noqa: BLE001 - the door's firewall, judged at the end of the run
                self.journal.note("door", f"firewall: {failures!r}")
                self.failures.extend(leaves(failures))
            finally:
                wire.close()
        self._connections.remove(scope)

    # Trouble

    def reach(self, phase: str, line: Line | None, page: Page | None = None) -> None:
        """A conversation has come to a phase: what is due then happens."""
        self.reached[phase] += 1
        if self.healed:
            return
        for fault in [fault for fault in self._due if fault.phase == phase]:
            fault.passes -= 1
            if fault.passes < 0:
                self._due.remove(fault)
                self.struck[fault.name, phase] += 1
                self.journal.note("fault", f"{fault.name} at {phase}, {fault.delay_s:g} s later")
                self.nursery.start_soon(self._strike, fault.name, fault.delay_s, line, page)

    async def _strike(self, name: str, delay_s: float, line: Line | None, page: Page | None) -> None:
        if delay_s:
            await trio.sleep(delay_s)
        if not self.healed:
            await strike(self, name, line, page or self.pages[0], self.random)

    def latest_line(self) -> Line | None:
        """The service's newest connection that stands."""
        return next((line for line in reversed(self.service.lines) if line.is_open), None)

    def _acting_line(self) -> Line | None:
        return self.latest_line()

    def drain(self) -> None:
        """SIGTERM."""
        if self.is_draining:
            return
        self.drained_at = trio.current_time()
        self.journal.note("world", "SIGTERM")
        self.registry.drain(EndReason.GOING_AWAY, EndReason.GOING_AWAY.text, self.plan.grace_s)
        self.admission.stop()
        self.nursery.start_soon(self._leave)
        self.reach("drain", None)

    async def _leave(self) -> None:
        """What the process does when its grace is over: whoever has not left by then is made to."""
        await trio.sleep(self.plan.grace_s + CLOSING_S)
        self.cancel_connections()
        await trio.sleep(CLOSING_S)
        self.sessions.cancel_scope.cancel()

    def cancel_connections(self) -> None:
        """Cancels what serves the clients' connections."""
        for scope in list(self._connections):
            scope.cancel()

    def heal(self) -> None:
        """The faults stop, and nothing is left of them but what they broke."""
        self.journal.note("world", "the faults stop")
        self.healed = True
        self.service.obstacles.clear()
        self.library.troubles.clear()
        for line in self.service.lines:
            line.wire.heal()
            line.speak_again()
        for page in self.pages:
            for visit in page.visits:
                visit.wire.heal()

    def running(self) -> list[str]:
        """Tasks that still run in the server or the models, but for the one that holds the sessions' nursery."""
        return running_below(self.nursery)


@asynccontextmanager
async def world(plan: Plan) -> AsyncIterator[World]:
    """A world for the length of the block; then everything in it is cancelled."""
    observer = Observer()
    async with trio.open_nursery() as nursery:
        sessions: trio.Nursery = await nursery.start(hold_nursery)
        made = World(nursery, sessions, plan, observer)
        with observer.watching(), _logging(made):
            yield made
        nursery.cancel_scope.cancel()


@contextmanager
def _logging(made: World) -> Iterator[None]:
    """Within the block the server's log lines go to the world."""

    def note(_logger: object, level: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        made.log.append({**line, "level": level})
        if level != "debug":
            failure = line.get("exc_info")
            told = {key: value for key, value in line.items() if key not in ("event", "exc_info")}
            text = "".join(traceback.format_exception(failure)) if isinstance(failure, BaseException) else ""
            made.journal.note("log", f"{line['event']} {told} {text}")
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [note]
    structlog.configure(processors=processors)
    try:
        yield
    finally:
        processors[:] = before
        structlog.configure(processors=processors)
