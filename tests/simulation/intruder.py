"""Those who try to get in, or into another's session: with wrong, foreign, spent or no tokens, or by talking early.

What an intruder says holds a word that must never reach the service.
"""

from typing import TYPE_CHECKING

import msgspec
import trio

from server.transport.client import handshake
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused
from server.transport.websocket import WebSocket, WebSocketOptions
from tests.simulation.mind import Json
from tests.simulation.page import Page, typed

if TYPE_CHECKING:
    from tests.simulation.world import World

FORBIDDEN = "forbidden"
# These are let in by nobody.
LOCKED_OUT = ("wrong key", "no key", "stolen token", "early words", "garbage")
_STAY_S = 30.0


async def intrude(world: "World", page: Page, kind: str) -> None:
    """Tries it once. What it got into is noted with the world, for the judgement at the end."""
    frames = _frames(world, page, kind)
    if frames is None:
        return
    try:
        with trio.fail_after(10):
            websocket = await handshake(world.dial(), "ws://localhost/ws", options=WebSocketOptions())
    except (ConnectFailed, HandshakeRefused, trio.TooSlowError):
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        with trio.move_on_after(_STAY_S):
            await _try(world, websocket, frames, kind)
        await websocket.aclose(2)
        nursery.cancel_scope.cancel()


async def _try(world: "World", websocket: WebSocket, frames: list[bytes], kind: str) -> None:
    for frame in frames:
        websocket.send(frame)
    try:
        while True:
            event = msgspec.json.decode((await websocket.receive()).data)
            if event["type"] == "avatar.session":
                world.journal.note("intruder", f"{kind}: is in {event['session_id']}")
                world.intruders.append((kind, event))
                return
    except ConnectionLost as lost:
        world.journal.note("intruder", f"{kind}: {lost.code}")


def _frames(world: "World", page: Page, kind: str) -> list[bytes] | None:
    init: Json = {"type": "session.init", "kb_id": "museum"}
    if world.key is not None:
        init["token"] = world.key
    story = page.story
    victim = story.session_id if story is not None else "sess_la_nobody"
    resume: Json = {"session_id": victim, "token": "guessed", "last_event_id": "event_1"}
    match kind:
        case "wrong token":
            init["resume"] = resume
        case "no token":
            init["resume"] = {"session_id": victim}
        case "foreign session":
            init["resume"] = {
                **resume,
                "session_id": "sess_la_nobody",
                "token": page.tokens[-1] if page.tokens else "x",
            }
        case "spent token":
            if len(page.tokens) < 3:
                return None
            # The one before the newest may still be valid; the one before that cannot be.
            init["resume"] = {**resume, "token": page.tokens[-3]}
        case "stolen token":
            if world.key is None or not page.tokens:
                return None
            # The token is right; whoever resumes must be let in like anybody else.
            del init["token"]
            init["resume"] = {**resume, "token": page.tokens[-1]}
        case "wrong key" | "no key" if world.key is None:
            return None
        case "wrong key":
            init["token"] = "not the key"
        case "no key":
            del init["token"]
    words = typed(f"u0 {FORBIDDEN} {kind}")
    if kind == "early words":
        return [words, msgspec.json.encode(init)]
    if kind == "garbage":
        return [b'{"type":"session.init"', words]
    return [msgspec.json.encode(init), words]
