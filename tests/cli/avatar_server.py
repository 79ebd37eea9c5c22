"""A server of the avatar endpoint that does what a test tells it, over trio-websocket: not our own transport."""

import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

PROFILE = {
    "title": "City Museum",
    "greeting": "Welcome to the museum.",
    "voice": "alloy",
    "language": "en",
    "sample_questions": ["When does it open?", "What does it cost?"],
}
SOURCE = {"id": "museum/hours.md#1", "title": "Opening hours", "uri": "hours.md", "snippet": "From ten.", "score": 0.9}
PCM = bytes(range(256)) * 10
USAGE = {
    "total_tokens": 140,
    "input_tokens": 100,
    "output_tokens": 40,
    "input_token_details": {"text_tokens": 100, "cached_tokens": 64},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 30},
}


class Visitor:
    """The server's side of one connection, with everything it received."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket
        self.received: list[dict[str, Any]] = []

    async def receive(self, type_: str | None = None) -> dict[str, Any]:
        """The next event, or the next of a type."""
        while True:
            event: dict[str, Any] = json.loads(await self._websocket.get_message())
            self.received.append(event)
            if type_ is None or event.get("type") == type_:
                return event

    async def send(self, type_: str, **fields: Any) -> None:
        await self._websocket.send_message(
            json.dumps({"type": type_, "event_id": f"event_{secrets.token_hex(4)}", **fields})
        )

    async def send_text(self, text: str) -> None:
        await self._websocket.send_message(text)

    async def close(self, code: int, reason: str = "") -> None:
        await self._websocket.aclose(code, reason)

    async def drop(self) -> None:
        """End the connection without a word."""
        await self._websocket._stream.aclose()

    async def greet(self, *, window_s: float = 0, **resumed: Any) -> dict[str, Any]:
        """Take ``session.init`` and say who we are; returns the frame. ``resumed``: what who comes back is told."""
        init = await self.receive()
        await self.send(
            "avatar.session",
            event_id=f"event_greeting_{secrets.token_hex(4)}",
            session_id="sess_la_1",
            kb_id=init.get("kb_id", "museum"),
            profile=PROFILE,
            resume_token="resume-secret",
            resume_window_s=window_s,
            **resumed,
        )
        return init

    async def welcome(self, audio_format: str = "audio/pcm", *, window_s: float = 0) -> dict[str, Any]:
        """Take ``session.init`` and open the session; returns the frame."""
        init = await self.greet(window_s=window_s)
        output = {"format": {"type": audio_format, "rate": 24000}}
        await self.send("session.created", session={"type": "realtime", "audio": {"output": output}})
        return init

    async def begin(self) -> str:
        """Take the next question and begin to answer it; returns the id of the response."""
        await self.receive("response.create")
        return await self.speak_up()

    async def speak_up(self) -> str:
        """Begin to say something, asked or not."""
        response_id = f"resp_{secrets.token_hex(4)}"
        await self.send("response.created", response={"id": response_id, "status": "in_progress"})
        return response_id

    async def say(self, response_id: str, *words: str, pcm: bytes = PCM) -> None:
        place = {"response_id": response_id, "item_id": "item_1", "output_index": 0, "content_index": 0}
        for word in words:
            await self.send("response.output_audio_transcript.delta", delta=word, **place)
            await self.send("response.output_audio.delta", delta=base64.b64encode(pcm).decode(), **place)

    async def cite(self, response_id: str) -> None:
        await self.send("avatar.citations", response_id=response_id, item_id="item_1", sources=[SOURCE])

    async def end(self, response_id: str, status: str = "completed", details: Any = None) -> None:
        response = {"id": response_id, "status": status, "status_details": details, "output": [], "usage": USAGE}
        await self.send("response.done", response=response)

    async def answer(self, *words: str) -> None:
        """Take the next question and answer it."""
        response_id = await self.begin()
        await self.cite(response_id)
        await self.say(response_id, *words)
        await self.end(response_id)


Script = Callable[[Visitor], Awaitable[None]]


@contextlib.asynccontextmanager
async def avatar_server(script: Script) -> AsyncIterator[str]:
    """The URL of a server that plays ``script`` for every client, and then waits until the client leaves."""

    async def handle(request: WebSocketRequest) -> None:
        async with await request.accept() as websocket:
            with contextlib.suppress(ConnectionClosed):
                with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
                    await script(Visitor(websocket))
                while True:
                    await websocket.get_message()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
        yield f"ws://127.0.0.1:{server.port}/ws"
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def refusing_server(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> AsyncIterator[str]:
    """The URL of a server that answers every handshake with an HTTP status."""

    async def refuse(request: WebSocketRequest) -> None:
        await request.reject(status, extra_headers=list(headers), body=body)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, refuse, "127.0.0.1", 0, None)
        yield f"ws://127.0.0.1:{server.port}/ws"
        nursery.cancel_scope.cancel()
