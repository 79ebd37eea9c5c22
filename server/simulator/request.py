"""From ``response.create`` to the plan of a response: the request's own settings over the session's. Starts nothing."""

from typing import Any

from protocol.realtime.session import INCLUDE_VISEMES
from server.simulator import refusal, shape
from server.simulator.audio_input import AUDIO_FORMAT, full_format
from server.simulator.configuration import (
    METADATA,
    MODALITIES,
    OUTPUT_TOKENS,
    PROMPT,
    REASONING,
    TOOL_CHOICE,
    TOOLS,
    VOICE,
    Configuration,
)
from server.simulator.conversation import Conversation, Entry, read_item
from server.simulator.identifiers import Ids
from server.simulator.item_shape import INPUT_ITEM
from server.simulator.meter import prompt_segments, within_window
from server.simulator.response import Plan

INPUT_ITEMS_MAX = 1_000

_text = shape.text()
_PARAMS = shape.obj(
    {
        "audio": shape.obj({"output": shape.obj({"format": AUDIO_FORMAT, "voice": VOICE})}),
        "conversation": _text,
        "input": shape.array(INPUT_ITEM, max_items=INPUT_ITEMS_MAX),
        "instructions": _text,
        "max_output_tokens": OUTPUT_TOKENS,
        "metadata": shape.nullable(METADATA),
        "output_modalities": MODALITIES,
        "parallel_tool_calls": shape.boolean,
        "prompt": PROMPT,
        "reasoning": REASONING,
        "tool_choice": TOOL_CHOICE,
        "tools": TOOLS,
    }
)


def is_out_of_band(params: dict[str, Any]) -> bool:
    """Whether checked parameters ask for a response outside the conversation.

    Raises:
        Refusal: they name a conversation other than "auto" and "none".
    """
    shape.one_of("auto", "none")(params.get("conversation", "auto"), "response.conversation")
    return bool(params.get("conversation") == "none")


def checked_params(params: Any) -> dict[str, Any]:
    """The ``response`` object without what is null in it, which counts as absent: typed clients send all members.

    Raises:
        Refusal: it is none.
    """
    given = {key: value for key, value in params.items() if value is not None} if isinstance(params, dict) else params
    _PARAMS(given, "response")
    return dict(given)


def plan_response(
    params: dict[str, Any], configuration: Configuration, conversation: Conversation, ids: Ids, context_tokens: int
) -> Plan:
    """The plan for parameters that passed ``checked_params``; its prompt has at most ``context_tokens``.

    Raises:
        Refusal: a referenced item or a chosen tool does not exist, the voice is locked, or the model cannot do it.
    """
    configuration.check_model(params, "response")
    # What the session has, with what the request has put over it.
    wanted = configuration.session | params
    output = params.get("audio", {}).get("output", {})
    out_of_band = is_out_of_band(params)
    if "voice" in output and not out_of_band:
        configuration.check_voice(output["voice"], voice_locked=conversation.has_assistant_audio())
    _check_choice(wanted["tool_choice"], wanted["tools"])
    history = _history(params, configuration, conversation, ids)
    prompt = prompt_segments(wanted["instructions"], wanted["tools"], history)
    if configuration.session["truncation"] != "disabled":
        prompt = within_window(prompt, context_tokens)
        history = history[len(history) - len(prompt) + 1 :]
    return Plan(
        id=ids("resp"),
        conversation=None if out_of_band else conversation,
        modality=wanted["output_modalities"][0],
        audio_format=full_format(output["format"]) if "format" in output else configuration.output["format"],
        voice=output.get("voice", configuration.output["voice"]),
        speed=configuration.output["speed"],
        language=(configuration.input["transcription"] or {}).get("language") or "en",
        instructions=configuration.session["instructions"],
        own_instructions=params.get("instructions"),
        tools=wanted["tools"],
        tool_choice=wanted["tool_choice"],
        max_output_tokens=None if wanted["max_output_tokens"] == "inf" else wanted["max_output_tokens"],
        metadata=params.get("metadata"),
        history=history,
        prompt=prompt,
        visemes=INCLUDE_VISEMES in (configuration.session["include"] or ()),
    )


def _check_choice(choice: Any, tools: list[dict[str, Any]]) -> None:
    named = isinstance(choice, dict) and choice["type"] == "function"
    if named and not any(tool.get("name") == choice["name"] for tool in tools):
        message = f"Invalid 'tool_choice': there is no tool named {refusal.quoted(choice['name'])}."
        raise refusal.invalid(message, "response.tool_choice")


def _history(params: dict[str, Any], configuration: Configuration, conversation: Conversation, ids: Ids) -> list[Entry]:
    """The conversation, or what the request puts in its place."""
    if "input" not in params:
        return list(conversation.entries)
    rate = bytes_per_ms(configuration.input["format"])
    history: list[Entry] = []
    for index, value in enumerate(params["input"]):
        path = f"response.input[{index}]"
        if value["type"] == "item_reference":
            entry = conversation.find(value["id"])
            if entry is None:
                message = f"Invalid '{path}.id': the item with id {refusal.quoted(value['id'])} does not exist."
                raise refusal.invalid(message, f"{path}.id")
        else:
            entry = read_item(value, rate, path, ids)
        history.append(entry)
    return history


def bytes_per_ms(audio_format: dict[str, Any]) -> int:
    """Bytes of one millisecond of audio in a session's format."""
    return 48 if audio_format["type"] == "audio/pcm" else 8
