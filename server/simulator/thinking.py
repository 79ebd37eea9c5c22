"""From the plan of a response to what it will contain: the conversation put before the mind. Sends nothing."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from server.simulator.conversation import Entry
from server.simulator.mind import (
    CallTool,
    Decision,
    Directive,
    GoOn,
    NamedTool,
    Remark,
    Say,
    ToolChoice,
    ToolOffer,
    Utterance,
    decide,
    dictated,
    go_on,
    phrase,
    read_directive,
)
from server.simulator.response import Plan

# The contents of a response, in order. The mind gives one; a script may give several.
Think: TypeAlias = Callable[[Plan], Sequence[Decision]]

__all__ = ["CallTool", "Decision", "Say", "Think", "by_rule"]


def by_rule(plan: Plan) -> Sequence[Decision]:
    """What the mind decides, or an honest word about a turn of which no words are known."""
    directive = read_directive(plan.own_instructions)
    turn = _unheard_turn(plan, directive)
    if turn is not None:
        if turn.idle:
            return [Say(phrase("still_there", plan.language))]
        if plan.language.startswith("en") and (plan.own_instructions is None or directive is not None):
            text = _heard(turn.audio_ms / 1000)
            return [Say(go_on(text, directive.heard, plan.language) if isinstance(directive, GoOn) else text)]
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


def _unheard_turn(plan: Plan, directive: Directive | None) -> Entry | None:
    """The user's turn that is to be answered, if it is one of which no words are known."""
    if isinstance(directive, Remark):
        return None
    for entry in reversed(plan.history):
        role = entry.item.role
        if role == "user":
            return entry if entry.is_unheard_audio() else None
        # A renewed connection's history ends with a note; a broken answer is still to be given.
        is_note = role == "system" and dictated(entry.item.spoken_text()) is None
        if not is_note and not (isinstance(directive, GoOn) and role == "assistant"):
            return None
    return None


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
