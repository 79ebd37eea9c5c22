"""The registry of tools: what the model is shown, what is checked, and that a tool's failure is a result."""

from typing import Annotated, Literal

import msgspec
import pytest
import structlog
import trio
import trio.testing

from protocol.conversation.actions import ToolResult
from server.tools.registry import Tool, ToolFailed, ToolRegistry


class Lamp(msgspec.Struct):
    """A docstring that is for people."""

    room: Annotated[str, msgspec.Meta(min_length=1, max_length=20, description="Which room.")]
    state: Literal["on", "off"] = "on"


async def switch(arguments: Lamp) -> ToolResult:
    await trio.lowlevel.checkpoint()
    match arguments.room:
        case "cellar":
            raise ToolFailed("There is no light in the cellar.")
        case "attic":
            raise KeyError("secret-of-the-attic")
        case "tower":
            await trio.sleep(100)
    return ToolResult(f"{arguments.room} {arguments.state}")


def registry() -> ToolRegistry:
    return ToolRegistry([Tool("lamp", "Switches a lamp.", Lamp, switch)], timeout_s=5)


async def error_of(name: str, arguments: str) -> str:
    result = await registry().run(name, arguments)
    output = msgspec.json.decode(result.output)
    assert list(output) == ["error"]
    assert result.evidence == ()
    error: str = output["error"]
    return error


def test_the_model_is_shown_a_plain_schema() -> None:
    (definition,) = registry().definitions
    assert definition == {
        "type": "function",
        "name": "lamp",
        "description": "Switches a lamp.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "minLength": 1, "maxLength": 20, "description": "Which room."},
                "state": {"enum": ["off", "on"], "default": "on"},
            },
            "required": ["room"],
        },
    }


async def test_a_call() -> None:
    assert (await registry().run("lamp", '{"room":"hall"}')).output == "hall on"
    assert (await registry().run("lamp", '{"room":"hall","state":"off","more":1}')).output == "hall off"


@pytest.mark.parametrize(
    "arguments",
    ["", "{}", "null", "[]", '"hall"', "{", '{"room":""}', '{"room":7}', '{"room":"hall","state":"dim"}', "[" * 5000,
     '{"room":"' + "x" * 21 + '"}', '{"room":"\\ud800"}'],
)  # fmt: skip
async def test_arguments_that_do_not_fit(arguments: str) -> None:
    assert (await error_of("lamp", arguments)).startswith("The arguments do not fit the tool's schema")


async def test_a_tool_that_is_none() -> None:
    assert "'toaster'" in await error_of("toaster", "{}")


async def test_a_tool_that_cannot() -> None:
    assert await error_of("lamp", '{"room":"cellar"}') == "There is no light in the cellar."


async def test_a_tool_that_crashes_is_logged_and_tells_nothing() -> None:
    with structlog.testing.capture_logs() as log:
        assert await error_of("lamp", '{"room":"attic"}') == "The tool failed."
    assert [(entry["event"], entry["tool"]) for entry in log] == [("tool crashed", "lamp")]


async def test_a_tool_that_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    assert "within 5 seconds" in await error_of("lamp", '{"room":"tower"}')
    assert trio.current_time() - began == pytest.approx(5)


async def test_a_cancelled_call_stays_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(1) as scope:
        await registry().run("lamp", '{"room":"tower"}')
    assert scope.cancelled_caught
