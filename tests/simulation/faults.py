"""The faults of the reference's matrix, and the phases of a conversation in which they strike; it plans nothing.

Eighteen faults and eleven phases. Three faults are of things that this server does not have yet, and are named so.
"""

from random import Random
from typing import TYPE_CHECKING

import msgspec
import trio

from tests.simulation.library import TROUBLES
from tests.simulation.service import OVERSIZED_BYTES, Line
from tests.simulation.wires import HeldWire

if TYPE_CHECKING:
    from tests.simulation.page import Page
    from tests.simulation.world import World

PHASES = (
    "handshake",
    "auth",
    "upstream connect",
    "user speaking",
    "response streaming",
    "barge-in",
    "tool pending",
    "tool answered",
    "billing",
    "resume replay",
    "drain",
)
NETWORK = ("RST", "FIN", "not reading", "stall mid-frame", "blackhole", "trickle")
FAULTS = (
    *NETWORK,
    "service closes",
    "connect refused",
    "mute",
    "bad event",
    "repeated event",
    "tool trouble",
    "SIGTERM",
    "clock jump",
    "cancellation",
)
NOT_YET = {
    "database": "kept in memory here, as a journal would write it; journal and database have tests of their own",
    "Redis": "there is no Redis yet: one process owns all sessions",
    "SIGKILL": "what outlives the process is the records: tests/store and tests/test_app_records.py kill it",
}
CELLS = tuple((fault, phase) for fault in FAULTS for phase in PHASES)

CLOSE_CODES = (1000, 1001, 1011, 1012, 1013, 3000, 4000, 4004)
OBSTACLES: tuple[tuple[int | str, ...], ...] = (
    (401,),
    (403,),
    (429,),
    (500, 503),
    (503, 503, 503, 503),
    ("unreachable", "unreachable"),
    ("hangs",),
)


async def break_off(wire: HeldWire, kind: str, seconds: float, random: Random) -> None:
    """Does to a connection, at its far end, what networks do; what heals does so after ``seconds``."""
    match kind:
        case "RST":
            wire.reset()
        case "FIN":
            wire.close()
        case "not reading":
            wire.stall()
            await trio.sleep(seconds)
            wire.heal()
        case "stall mid-frame":
            wire.allow(random.randrange(1, 400))
            await trio.sleep(seconds)
            wire.heal()
        case "blackhole":
            wire.stall()
            wire.allow(0)
        case "trickle":
            for _ in range(int(seconds * 4)):
                wire.stall()
                wire.allow(random.randrange(1, 2000))
                await trio.sleep(random.random() / 4)
                wire.inner.resume()
            wire.heal()


async def strike(world: "World", fault: str, line: Line | None, page: "Page", random: Random) -> None:
    """Lets a fault happen, here and now. ``line`` is where the phase was reached, if it was on the service's side."""
    line = line if line is not None and line.is_open else world.latest_line()
    seconds = random.choice((0.5, 3.0, 12.0, 25.0))
    if fault in NETWORK:
        if random.random() < 0.5 and line is not None:
            await break_off(line.wire, fault, seconds, random)
        elif page.visits:
            page.is_hindered = True
            await break_off(page.visits[-1].wire, fault, seconds, random)
    elif fault == "tool trouble":
        world.library.troubles.append(random.choice(TROUBLES))
    elif fault == "SIGTERM":
        world.drain()
    elif fault == "clock jump":
        world.wall_offset_s += random.choice((-7200.0, -60.0, 60.0, 7200.0))
    elif fault == "cancellation":
        world.cancel_connections()
    elif fault == "connect refused":
        world.service.obstacles.extend(random.choice(OBSTACLES))
        if line is not None:
            line.wire.reset()
    elif line is not None:
        await _misbehave(line, fault, seconds, random)


async def _misbehave(line: Line, fault: str, seconds: float, random: Random) -> None:
    match fault:
        case "service closes":
            line.websocket.close(random.choice(CLOSE_CODES), "trouble")
        case "mute":
            line.silent = True
            await trio.sleep(seconds)
            line.speak_again()
        case "bad event":
            line.say(random.choice(_bad_events(line)))
        case "repeated event":
            recent = line.said[-12:]
            ends = [frame for frame in recent if frame.startswith(b'{"type":"response.done"')]
            if recent:
                line.say(random.choice(ends if ends and random.random() < 0.4 else recent))


def _bad_events(line: Line) -> tuple[bytes, ...]:
    number = len(line.said)
    server_error = {"type": "server_error", "code": "server_error", "message": "Oh.", "event_id": None}
    delta = {"response_id": "resp_nobody", "item_id": "item_nobody", "output_index": 0, "content_index": 0}
    events = (
        {"type": "response.done", "event_id": f"event_bad_{number}", "response": []},
        {"type": "something.unheard_of", "event_id": f"event_new_{line.number}_{number}", "more": {"a": [1]}},
        {"type": "error", "event_id": f"event_err_{line.number}_{number}", "error": server_error},
        {"type": "response.output_audio.delta", "event_id": f"event_late_{number}", **delta, "delta": "AAAA"},
        {"type": "conversation.item.truncated", "event_id": f"event_trunc_{line.number}_{number}",
         "item_id": "item_nobody", "content_index": 0, "audio_end_ms": 3},
    )  # fmt: skip
    oversized = {"type": "something.large", "event_id": f"event_large_{number}", "padding": "x" * OVERSIZED_BYTES}
    return (b'{"type":', b"\xff\xfe", *(msgspec.json.encode(event) for event in (*events, oversized)))
