"""The registry of tools: schema from msgspec types, arguments checked, failures turned into results for the model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import structlog
import trio

from protocol.conversation.actions import ToolResult
from protocol.realtime.codec import encode
from server.telemetry.base import UNOBSERVED, Errand, Observer

_log = structlog.get_logger("liveavatar.tools")

A = TypeVar("A", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Tool(Generic[A]):
    """A function that the model may call.

    Attributes:
        arguments: a msgspec struct; its schema is what the model sees, field descriptions included.
        call: runs it. Raises ``ToolFailed`` with words for the model.
        if_unavailable: words for the model when what the tool stands on takes too long or breaks; "": plain ones.
            The result is then marked ``"unavailable": true``, for whoever reads results without understanding words.
    """

    name: str
    description: str
    arguments: type[A]
    call: Callable[[A], Awaitable[ToolResult]]
    if_unavailable: str = ""

    @property
    def definition(self) -> dict[str, Any]:
        """The tool in the wire's form."""
        schema = msgspec.json.schema(self.arguments)
        # The services take a plain object schema, not a reference to one; titles are noise to the model.
        parameters = dict(schema["$defs"][self.arguments.__name__])
        parameters.pop("title", None)
        parameters.pop("description", None)
        return {"type": "function", "name": self.name, "description": self.description, "parameters": parameters}


class ToolFailed(Exception):
    """A tool cannot do what was asked; the message is for the model, so it holds no secret and no stack."""


class ToolUnavailable(Exception):
    """What the tool stands on is down; the message is for the log, the model gets ``Tool.if_unavailable``."""


class ToolRegistry:
    """The tools of one session.

    Args:
        timeout_s: seconds after which a call is given up and the model told so.
        observer: is told of every call.
    """

    def __init__(self, tools: list[Tool[Any]], *, timeout_s: float, observer: Observer = UNOBSERVED) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._timeout_s = timeout_s
        self._observer = observer

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """The tools in the wire's form."""
        return [tool.definition for tool in self._tools.values()]

    async def run(self, name: str, arguments: str) -> ToolResult:
        """Runs a tool; see ``ToolBox.run``."""
        tool = self._tools.get(name)
        # A name that the model made up is no label.
        with self._observer.errand("tool", "unknown" if tool is None else name) as errand:
            if tool is None:
                errand.outcome = "refused"
                return failure(f"There is no tool {name!r}.")
            return await self._run(tool, arguments, errand)

    async def _run(self, tool: Tool[Any], arguments: str, errand: Errand) -> ToolResult:
        try:
            parsed = msgspec.json.decode(arguments or "{}", type=tool.arguments)
        except (msgspec.DecodeError, RecursionError) as error:
            errand.outcome = "refused"
            return failure(f"The arguments do not fit the tool's schema: {error}")
        try:
            with trio.fail_after(self._timeout_s):
                result = await tool.call(parsed)
        except trio.TooSlowError:
            errand.outcome = "timeout"
            _log.warning("tool timed out", tool=tool.name, timeout_s=self._timeout_s)
            return _unavailable(tool, f"The tool did not answer within {self._timeout_s:g} seconds. Say so, and go on.")
        except ToolUnavailable as error:
            errand.outcome = "unavailable"
            _log.warning("tool unavailable", tool=tool.name, error=str(error))
            return _unavailable(tool, "The tool is not available right now. Say so, and go on.")
        except ToolFailed as error:
            errand.outcome = "failed"
            _log.warning("tool failed", tool=tool.name, error=str(error))
            return failure(str(error))
        except Exception:  # noqa: BLE001 - a tool's fault must cost the person an answer at most, never the conversation
            errand.outcome = "crashed"
            _log.exception("tool crashed", tool=tool.name)
            return _unavailable(tool, "The tool failed.")
        errand.outcome = "answered"
        return result


def failure(message: str) -> ToolResult:
    """A result that tells the model, honestly, that there is none."""
    return ToolResult(encode({"error": message}).decode())


def _unavailable(tool: Tool[Any], otherwise: str) -> ToolResult:
    if not tool.if_unavailable:
        return failure(otherwise)
    return ToolResult(encode({"error": tool.if_unavailable, "unavailable": True}).decode())
