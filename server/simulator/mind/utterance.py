"""What the mind reads and what it decides, as values. Decides nothing."""

from typing import Any, Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant", "tool_call", "tool_result"]


class Utterance(Struct, frozen=True):
    """One item of the conversation, oldest first in a history.

    `text` is what was said or typed, a call's JSON arguments, or a result's output. A user's empty text means speech
    that nobody transcribed. `name` is the tool of a call (of a result too, where known); `call_id` joins the two.
    """

    role: Role
    text: str
    name: str | None = None
    call_id: str | None = None


class ToolOffer(Struct, frozen=True):
    """A function that the mind may call; `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class NamedTool(Struct, frozen=True):
    """A tool choice that demands this function."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


class Say(Struct, frozen=True):
    """Speak `text`. `used_ids` are the passages it was taken from, the one of the first sentence first."""

    text: str
    used_ids: tuple[str, ...] = ()


class CallTool(Struct, frozen=True):
    """Call the function `name` with `arguments`."""

    name: str
    arguments: dict[str, Any]


Decision = Say | CallTool
