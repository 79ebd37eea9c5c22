"""What the simulator says: decisions by rule from the conversation so far. No clock, chance, input or output."""

from server.simulator.mind.deciding import decide
from server.simulator.mind.directives import Directive, GoOn, Remark, go_on, read_directive
from server.simulator.mind.phrasebook import phrase
from server.simulator.mind.smalltalk import dictated
from server.simulator.mind.utterance import (
    CallTool,
    Decision,
    NamedTool,
    Say,
    ToolChoice,
    ToolOffer,
    Utterance,
)

__all__ = [
    "CallTool",
    "Decision",
    "Directive",
    "GoOn",
    "NamedTool",
    "Remark",
    "Say",
    "ToolChoice",
    "ToolOffer",
    "Utterance",
    "decide",
    "dictated",
    "go_on",
    "phrase",
    "read_directive",
]
