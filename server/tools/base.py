"""The port of the tools room: what a session needs of its tools."""

from typing import Any, Protocol

from protocol.conversation.actions import ToolResult


class ToolBox(Protocol):
    """The tools of one session, bound to what that session may see."""

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """The tools in the wire's form: ``{"type": "function", "name", "description", "parameters"}``."""
        ...

    async def run(self, name: str, arguments: str) -> ToolResult:
        """Runs a tool on the JSON text ``arguments``.

        Never raises for what the model asked or for a failing backend: the result then says so, in words the model
        can pass on. Raises only ``trio.Cancelled``; a cancelled call leaves nothing running.
        """
        ...
