"""One connection of the openai package and what came over it; its synchronous and its asynchronous client alike."""

import asyncio
import base64
import inspect
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from tests.compat.python.dialects import Dialect, Json
from tests.compat.python.reporting import expect
from tests.compat.python.sound import pieces

# Whatever a server owes comes within this, on a machine that others use too.
PATIENCE_S = 20.0


async def settle(value: Any) -> Any:
    """The result of a call to either client."""
    return await value if inspect.isawaitable(value) else value


class _Alarm(AbstractContextManager[None]):
    """Raises `TimeoutError` in a blocking call of the main thread: the synchronous client has no deadline."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    @staticmethod
    def _ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError


class Talk:
    """A connection; ``events`` is everything that came, in order, as it was on the wire."""

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.connection = connection
        self.dialect = dialect
        self.events: list[Json] = []

    async def receive(self) -> Json:
        """The next event."""
        receiving = self.connection.recv
        if inspect.iscoroutinefunction(receiving):
            event = await asyncio.wait_for(receiving(), PATIENCE_S)
        else:
            with _Alarm():
                event = receiving()
        seen: Json = event.to_dict(mode="json", use_api_names=True, exclude_unset=True)
        self.events.append(seen)
        return seen

    async def until(self, *types: str) -> list[Json]:
        """Everything up to the next event of one of these types."""
        return await self.until_that(lambda event: event["type"] in types, " or ".join(types))

    async def until_that(self, fits: Callable[[Json], bool], what: str) -> list[Json]:
        """Everything up to the next event that fits. An error that does not fit fails the step."""
        start = len(self.events)
        while True:
            try:
                event = await self.receive()
            except TimeoutError:
                expect(False, f"{what} did not come", names(self.events[start:]))
            if fits(event):
                return self.events[start:]
            expect(event["type"] != "error", "an error came", event, names(self.events[start:]))

    async def do(self, call: Callable[..., Any], **arguments: Any) -> None:
        """Let the client send something."""
        await settle(call(**arguments))

    async def update(self, *, tools: Sequence[Json] = (), turn_detection: Json | None = None) -> Json:
        """Change the session; the effective one."""
        session = self.dialect.session(tools=list(tools), turn_detection=turn_detection)
        await self.do(self.connection.session.update, session=session)
        updated: Json = (await self.until("session.updated"))[-1]["session"]
        return updated

    async def write(self, text: str, **more: Any) -> list[Json]:
        """Say something in writing; what the server makes of it."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, **more}
        return await self.create(item)

    async def create(self, item: Json) -> list[Json]:
        """Create an item and wait until it is there."""
        await self.do(self.connection.conversation.item.create, item=item)
        return await self.until(self.dialect.item_begins[-1])

    async def speak(self, sound: bytes) -> None:
        """Send sound as a microphone does, but faster."""
        for piece in pieces(sound):
            await self.do(self.connection.input_audio_buffer.append, audio=piece)

    async def respond(self, **response: Any) -> list[Json]:
        """Ask for an answer and wait for its end."""
        arguments = {"response": response} if response else {}
        await self.do(self.connection.response.create, **arguments)
        return await self.until("response.done")

    async def ask(self, question: str, **response: Any) -> list[Json]:
        """Say something in writing and have it answered."""
        await self.write(question)
        return await self.respond(**response)

    async def close(self) -> int | None:
        """Close as a client does; the code that the connection ended with."""
        await settle(self.connection.close())
        socket = self.connection._connection
        # Over TLS, websockets' synchronous client now and then times out its own last read at once: it sets a timeout
        # while another thread is reading. Then it has missed the answer to its close, and what it sent must do.
        missed = isinstance(getattr(socket, "recv_exc", None), TimeoutError) and socket.protocol.close_rcvd is None
        code: int | None = socket.protocol.close_sent.code if missed else socket.protocol.close_code
        return code


def names(events: Sequence[Json]) -> list[str]:
    """The types, deltas of one kind in a row as one."""
    types = [event["type"] for event in events]
    return [kind for place, kind in enumerate(types) if place == 0 or kind != types[place - 1]]


def joined(events: Sequence[Json], kind: str) -> str:
    """The text of all deltas of a kind."""
    return "".join(event["delta"] for event in events if event["type"] == f"{kind}.delta")


def sound_bytes(events: Sequence[Json], kind: str) -> int:
    """How much sound came."""
    return sum(len(base64.b64decode(event["delta"])) for event in events if event["type"] == f"{kind}.delta")
