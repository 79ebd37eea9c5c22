"""From the plan of a response to what it will contain: the conversation put before the mind. Sends nothing."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from server.simulator.conversation import Entry
from server.simulator.mind import CallTool, Decision, NamedTool, Say, ToolChoice, ToolOffer, Utterance, decide
from server.simulator.response import Plan

# The contents of a response, in order. The mind gives one; a script may give several.
Think: TypeAlias = Callable[[Plan], Sequence[Decision]]

_STILL_THERE = "Are you still there?"

__all__ = ["CallTool", "Decision", "Say", "Think", "by_rule"]


def by_rule(plan: Plan) -> Sequence[Decision]:
    """What the mind decides, or an honest word about a turn of which no words are known."""
    last = next((entry for entry in reversed(plan.history) if entry.item.role == "user"), None)
    if last is not None and plan.history[-1] is last and last.is_unheard_audio():
        if last.idle:
            return [Say(_STILL_THERE)]
        if plan.language.startswith("en") and plan.own_instructions is None:
            return [Say(_heard(last.audio_ms / 1000))]
    return [
        decide(
            [utterance for entry in plan.history if (utterance := _utterance(entry)) is not None],
            tools=[_offer(tool) for tool in plan.tools if tool["type"] == "function"],
            tool_choice=_choice(plan.tool_choice),
            instructions=plan.instructions,
            response_instructions=plan.own_instructions,
            language=plan.language,
        )
    ]


def _heard(seconds: float) -> str:
    amount = f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"I heard {amount} of speech, but I cannot transcribe speech here. Please type your question."


def _utterance(entry: Entry) -> Utterance | None:
    item = entry.item
    call_id = item.call_id or None
    if item.type == "function_call":
        return Utterance("tool_call", item.arguments or "", item.name or None, call_id)
    if item.type == "function_call_output":
        return Utterance("tool_result", item.output if isinstance(item.output, str) else "", None, call_id)
    if entry.idle:
        return None
    for role in ("user", "assistant", "system"):
        if item.role == role:
            return Utterance(role, item.spoken_text())
    return None


def _offer(tool: dict[str, object]) -> ToolOffer:
    parameters = tool.get("parameters")
    return ToolOffer(
        str(tool["name"]), str(tool.get("description", "")), parameters if isinstance(parameters, dict) else {}
    )


def _choice(choice: object) -> ToolChoice:
    if isinstance(choice, dict):
        return NamedTool(str(choice["name"])) if choice["type"] == "function" else "auto"
    if choice == "none":
        return "none"
    return "required" if choice == "required" else "auto"
