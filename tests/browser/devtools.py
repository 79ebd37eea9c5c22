"""Headless Chromium, driven over the DevTools protocol: a process, its page, and what a test does on it."""

import base64
import itertools
import math
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

Json = dict[str, Any]

# Seconds within which whatever the page owes must come, on a machine that others use too.
PATIENCE_S = 45.0
# Screenshots and axe-core's report come as one message each.
MAX_MESSAGE_BYTES = 2**26
POLL_S = 0.03

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--hide-scrollbars",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
_KEYS = {"Escape": 27, "Enter": 13, "Tab": 9}


def chromium() -> str:
    """Where the browser is. Skips the test where there is none, or fails it where services are required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "needs Chromium: apt-get install chromium"
        if os.environ.get("TESTS_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


class PageFailed(AssertionError):
    """Something threw in the page."""


class Page:
    """One tab. ``console`` holds what it logged and what it threw, ``violations`` what its policy forbade."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.console: list[str] = []
        self.module = "/static/page.js"
        self._websocket = websocket
        self._numbers = itertools.count(1)
        self._answers: dict[int, trio.MemorySendChannel[Json]] = {}
        self._loaded = trio.Event()

    async def read(self) -> None:
        """Hand answers to those who wait for them; runs for the page's lifetime."""
        try:
            while True:
                message = msgspec.json.decode(await self._websocket.get_message())
                if (number := message.get("id")) is not None:
                    if (waiting := self._answers.pop(number, None)) is not None:
                        waiting.send_nowait(message)
                else:
                    self._event(message["method"], message["params"])
        except ConnectionClosed:
            return

    def _event(self, method: str, params: Json) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            detail = params["exceptionDetails"]
            self.console.append(f"thrown: {detail['text']} {detail.get('exception', {}).get('description', '')}")
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Runtime.consoleAPICalled":
            texts = [str(argument.get("value", argument.get("description", ""))) for argument in params["args"]]
            self.console.append(f"{params['type']}: {' '.join(texts)}")

    async def call(self, method: str, **params: Any) -> Json:
        """A DevTools command and its result."""
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[Json](1)
        self._answers[number] = send
        await self._websocket.send_message(
            msgspec.json.encode({"id": number, "method": method, "params": params}).decode()
        )
        with trio.fail_after(PATIENCE_S * 2):
            answer = await receive.receive()
        if "error" in answer:
            raise PageFailed(f"{method}: {answer['error']['message']}")
        result: Json = answer["result"]
        return result

    async def prepare(self) -> None:
        """Let the page tell what happens in it."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def open(self, url: str) -> None:
        """Go there and wait until it has loaded."""
        self._loaded = trio.Event()
        await self.call("Page.navigate", url=url)
        with trio.fail_after(PATIENCE_S):
            await self._loaded.wait()

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression (awaited if it is a promise; ``page`` is the page's own ``module``)."""
        code = f"import({_quoted(self.module)}).then(async (page) => ({expression}))"
        return await self.evaluate(code)

    async def evaluate(self, code: str) -> Any:
        """The value of JavaScript that needs nothing of the page's modules."""
        answer = await self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            detail = answer["exceptionDetails"]
            raise PageFailed(f"{detail['text']} {detail.get('exception', {}).get('description', '')} in {code}")
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float = PATIENCE_S) -> None:
        """Wait until a JavaScript expression is true."""
        with trio.move_on_after(seconds):
            while not await self.run(f"!!({expression})"):  # noqa: ASYNC110 - the browser sets no trio.Event
                await trio.sleep(POLL_S)
            return
        shown = await self.evaluate("document.body.innerText")
        raise PageFailed(f"{expression} did not come true in {seconds:g} s. The page shows:\n{shown}\n{self.console}")

    async def text(self, selector: str) -> str:
        """The text of an element, as people see it."""
        return str(await self.evaluate(f"document.querySelector({_quoted(selector)}).innerText"))

    async def until_text(self, selector: str, part: str, seconds: float = PATIENCE_S) -> None:
        """Wait until an element shows a text."""
        shown = f"document.querySelector({_quoted(selector)})?.innerText ?? ''"
        await self.until(f"({shown}).includes({_quoted(part)})", seconds)

    async def click(self, selector: str) -> None:
        """A real click in the middle of an element, once there is something of it to be hit."""
        found = f"document.querySelector({_quoted(selector)})"
        await self.until(f"{found}?.getClientRects().length")
        await self.evaluate(f"{found}.scrollIntoView({{block: 'nearest'}})")
        box = await self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({found}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Text into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """A key down and up."""
        number = _KEYS[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=number, **text
            )

    async def ask(self, question: str) -> None:
        """Type a question and send it, as a person does."""
        await self.click("#question")
        await self.type(question)
        await self.press("Enter")

    async def emulate(self, *, width: int = 1280, height: int = 800, scale: float = 1, mobile: bool = False) -> None:
        """The size of the window, or of a phone."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    async def prefer(self, **features: str) -> None:
        """Media features: ``prefers_color_scheme="dark"``."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=chosen)

    async def screenshot(self, file: Path) -> None:
        """What is seen, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        await trio.Path(file).write_bytes(base64.b64decode(answer["data"]))


@asynccontextmanager
async def browser(profile: Path, *flags: str, url: str = "about:blank") -> AsyncIterator[Page]:
    """A page of a browser of its own for the length of the block."""
    arguments = [chromium(), *FLAGS, f"--user-data-dir={profile}", *flags, url]
    process = await trio.lowlevel.open_process(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        port = await _debugging_port(profile)
        address = await _page_address(port)
        async with (
            open_websocket_url(address, max_message_size=MAX_MESSAGE_BYTES, message_queue_size=4096) as websocket,
            trio.open_nursery() as nursery,
        ):
            page = Page(websocket)
            nursery.start_soon(page.read)
            await page.prepare()
            yield page
            nursery.cancel_scope.cancel()
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(5):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _debugging_port(profile: Path) -> int:
    file = trio.Path(profile / "DevToolsActivePort")
    with trio.fail_after(PATIENCE_S):
        while True:
            if await file.exists() and (text := await file.read_text()).strip():
                return int(text.splitlines()[0])
            await trio.sleep(POLL_S)


async def _page_address(port: int) -> str:
    """The WebSocket of the first page. By hand: the list is one short HTTP answer."""
    with trio.fail_after(PATIENCE_S):
        while True:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(
                    f"GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
                )
                answer = b""
                async for piece in stream:
                    answer += piece
                    head, _, body = answer.partition(b"\r\n\r\n")
                    if body and len(body) >= _content_length(head):
                        break
            pages = [target for target in msgspec.json.decode(body or b"[]") if target["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
            await trio.sleep(POLL_S)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson's coefficient of two series, from -1 to 1."""
    size = len(pairs)
    mean_x = math.fsum(x for x, _ in pairs) / size
    mean_y = math.fsum(y for _, y in pairs) / size
    spread_x = math.sqrt(math.fsum((x - mean_x) ** 2 for x, _ in pairs))
    spread_y = math.sqrt(math.fsum((y - mean_y) ** 2 for _, y in pairs))
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs) / (spread_x * spread_y)
