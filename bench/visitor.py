"""A virtual visitor: types questions over trio-websocket and takes the time of what comes. Judges no answer's words."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from bench.scenario import ScenarioFailed

OPEN_S = 15.0
# An answer that is not done by then counts as an error.
ANSWER_S = 15.0
_CLOSE_S = 2.0
# An unpaced answer comes as one burst; a full queue would hold back what the visitor takes the time of.
_QUEUE_MESSAGES = 4096
_READ_BYTES = 65_536
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_AUDIO = '{"type":"response.output_audio.delta"'
_KB = "museum"
_ASK = '{"type":"response.create"}'


class _Profile(msgspec.Struct):
    sample_questions: list[str] = []


class _Detail(msgspec.Struct):
    code: str | None = None
    message: str = ""


class _Response(msgspec.Struct):
    status: str = ""


class _Event(msgspec.Struct):
    type: str
    state: str = ""
    sources: list[msgspec.Raw] = []
    response: _Response | None = None
    error: _Detail | None = None
    profile: _Profile | None = None


_decode = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True)
class Answer:
    """The times of one answer, in ms from when its question was sent; None is what did not happen.

    ``searching_ms`` and ``searched_ms`` are when the first search began and the last ended, ``sources`` how many
    passages were cited.
    """

    question: str
    searching_ms: float | None = None
    searched_ms: float | None = None
    first_audio_ms: float | None = None
    done_ms: float | None = None
    sources: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def search_ms(self) -> float | None:
        """How long the server searched, as a client sees it."""
        return None if self.searching_ms is None or self.searched_ms is None else self.searched_ms - self.searching_ms

    @property
    def voice_ms(self) -> float | None:
        """From what was found to the first sound of it; without a search, from the question."""
        return None if self.first_audio_ms is None else self.first_audio_ms - (self.searched_ms or 0.0)


class Visitor:
    """One connection of a visitor; ``samples`` are the questions that the museum suggests."""

    def __init__(self, socket: WebSocketConnection, samples: list[str]) -> None:
        self.samples = samples
        self._socket = socket

    async def ask(self, question: str) -> Answer:
        """Asks, and listens until the answer is done, has failed, or is overdue. Raises nothing for a bad answer."""
        answer = Answer(question)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}
        said = msgspec.json.encode({"type": "conversation.item.create", "item": item}).decode()
        try:
            with trio.fail_after(ANSWER_S):
                begun = time.perf_counter()
                await self._socket.send_message(said)
                await self._socket.send_message(_ASK)
                await self._listen(answer, begun)
        except trio.TooSlowError:
            answer.errors.append("timeout")
        except ConnectionClosed as closed:
            answer.errors.append(f"closed_{closed.reason.code if closed.reason else 'without_code'}")
        return answer

    async def _listen(self, answer: Answer, begun: float) -> None:
        while True:
            text = await self._socket.get_message()
            at_ms = (time.perf_counter() - begun) * 1000
            if isinstance(text, str) and text.startswith(_AUDIO):
                if answer.first_audio_ms is None:
                    answer.first_audio_ms = at_ms
                continue
            event = _decode(text)
            match event.type:
                case "avatar.state" if event.state == "searching":
                    answer.searching_ms = answer.searching_ms or at_ms
                case "avatar.state" if event.state == "thinking" and answer.searching_ms is not None:
                    answer.searched_ms = at_ms
                case "avatar.citations":
                    answer.sources = len(event.sources)
                case "error":
                    answer.errors.append((event.error.code if event.error else None) or "error")
                    return
                case "response.done":
                    answer.done_ms = at_ms
                    if event.response is None or event.response.status != "completed":
                        answer.errors.append(f"response_{event.response.status if event.response else 'malformed'}")
                    return


@asynccontextmanager
async def visiting(host: str, port: int, key: str | None = None) -> AsyncIterator[Visitor]:
    """A visitor of the museum who is let in, for as long as the block lasts; ``key`` is shown in the first frame.

    Raises:
        ScenarioFailed: no session came about.
    """
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise ScenarioFailed(f"a visitor could not connect: {type(error).__name__} {error}") from None
    failure: ScenarioFailed | None = None
    # The stream is ours, because trio-websocket's own client leaves the socket open when the server closes first.
    async with stream, trio.open_nursery() as nursery:
        try:
            socket = await _upgraded(nursery, stream, f"{host}:{port}")
            yield Visitor(socket, await _samples(socket, key))
            with trio.move_on_after(_CLOSE_S):
                await socket.aclose()
        except ScenarioFailed as why:
            failure = why  # raised behind the nursery, which would wrap it
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _upgraded(nursery: trio.Nursery, stream: trio.SocketStream, host: str) -> WebSocketConnection:
    try:
        with trio.fail_after(OPEN_S):
            return await wrap_client_stream(
                nursery,
                stream,
                host,
                "/ws",
                message_queue_size=_QUEUE_MESSAGES,
                max_message_size=_MAX_MESSAGE_BYTES,
                receive_buffer_size=_READ_BYTES,
            )
    except (HandshakeError, trio.TooSlowError) as error:
        raise ScenarioFailed(f"a visitor could not connect: {type(error).__name__} {error}") from None


async def _samples(socket: WebSocketConnection, key: str | None) -> list[str]:
    """Introduces the visitor and waits for the session; gives the profile's sample questions."""
    samples: list[str] = []
    try:
        with trio.fail_after(OPEN_S):
            init = {"type": "session.init", "kb_id": _KB} | ({} if key is None else {"token": key})
            await socket.send_message(msgspec.json.encode(init).decode())
            while (event := _decode(await socket.get_message())).type != "session.created":
                if event.profile is not None:
                    samples = event.profile.sample_questions
                if event.error is not None:
                    raise ScenarioFailed(f"a visitor was turned away: {event.error.message}")
    except trio.TooSlowError:
        raise ScenarioFailed(f"a visitor had no session within {OPEN_S:g} s") from None
    except ConnectionClosed as closed:
        raise ScenarioFailed(f"a visitor was turned away: {closed.reason}") from None
    return samples
