"""Minds by script, for tests that need a certain content rather than a sensible one."""

from collections.abc import Sequence

from server.simulator.response import Plan
from server.simulator.thinking import CallTool, Decision, Say, Think

ANSWER = "It opens at ten. It closes at six."
# Some thirteen seconds of the synthetic voice.
LONG_ANSWER = " ".join(f"This is sentence number {word} of a long story." for word in ("one", "two", "three", "four"))
SEARCH_TOOL = {
    "type": "function",
    "name": "search_knowledge_base",
    "description": "Searches the guide.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}


def always(*decisions: Decision) -> Think:
    """The same contents for every response."""

    def think(plan: Plan) -> Sequence[Decision]:
        return decisions

    return think


SAYS = always(Say(ANSWER))
TELLS = always(Say(LONG_ANSWER))
CALLS = always(CallTool("search_knowledge_base", {"query": "opening hours of the museum"}))
