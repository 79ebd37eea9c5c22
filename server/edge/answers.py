"""The few HTTP answers that the door gives by itself, and the end of a connection after an answer."""

import http
from collections.abc import Mapping
from typing import Any

import msgspec
import trio

from server.transport.errors import WireBroken, WireClosed
from server.transport.wire import Wire, send_all

__all__ = ["Refusal", "answer", "bodiless_bytes", "linger", "refuse", "response_bytes"]

# An answer is a few hundred bytes into an empty buffer.
ANSWER_S = 5.0

# After an answer the door reads on this long: closing with unread bytes resets the connection, and the reset
# overtakes the answer.
LINGER_S = 1.0


class Refusal(msgspec.Struct, frozen=True):
    """An HTTP error answer. The body has the shape of the Realtime service's own HTTP errors."""

    status: int
    code: str
    message: str
    type: str = "invalid_request_error"
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, headers: tuple[tuple[str, str], ...]) -> "Refusal":
        """The same refusal with further headers."""
        return msgspec.structs.replace(self, headers=(*self.headers, *headers))

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"type": self.type, "code": self.code, "message": self.message, "param": None}}


def response_bytes(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
    """Encode a whole HTTP answer with a JSON body, after which the connection ends.

    Raises `ValueError` for a header that would break out of its line.
    """
    content = msgspec.json.encode(body)
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Cache-Control": "no-store",
        "Connection": "close",
        **(headers or {}),
    }
    return _head_bytes(status, fields) + content


def bodiless_bytes(status: int, headers: Mapping[str, str]) -> bytes:
    """Encode a whole HTTP answer without a body, as `response_bytes` does."""
    # 204 has no length (RFC 9110, 8.6); every other answer needs one.
    length = {} if status == http.HTTPStatus.NO_CONTENT else {"Content-Length": "0"}
    return _head_bytes(status, {**length, "Connection": "close", **headers})


def _head_bytes(status: int, fields: Mapping[str, str]) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Refused"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    if any(char in line for line in lines for char in "\r\n\0"):
        raise ValueError("a header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


async def refuse(wire: Wire, refusal: Refusal, *, linger_s: float = LINGER_S) -> None:
    """Send a refusal and linger. A peer that does not take it within 5 s does not get it; never raises for that."""
    await answer(wire, response_bytes(refusal.status, refusal.body(), dict(refusal.headers)), linger_s=linger_s)


async def answer(wire: Wire, response: bytes, *, linger_s: float = LINGER_S) -> None:
    """Send a whole answer and linger, as `refuse` does."""
    with trio.move_on_after(ANSWER_S):
        try:
            await send_all(wire, response)
        except (WireBroken, WireClosed):
            return
    await linger(wire, linger_s)


async def linger(wire: Wire, linger_s: float = LINGER_S) -> None:
    """End the sending direction, wait for the peer to end its own, at most so long, and close. Cancelled, it closes

    too.
    """
    try:
        wire.send_eof()
        with trio.move_on_after(linger_s):
            while await wire.receive() != b"":
                pass
    except (WireBroken, WireClosed):
        pass
    finally:
        wire.close()
