"""What the simulator says: decisions by rule from the conversation so far. No clock, chance, input or output."""

from server.simulator.mind.deciding import decide
from server.simulator.mind.utterance import (
    CallTool,
    Decision,
    NamedTool,
    Say,
    ToolChoice,
    ToolOffer,
    Utterance,
)

__all__ = ["CallTool", "Decision", "NamedTool", "Say", "ToolChoice", "ToolOffer", "Utterance", "decide"]
