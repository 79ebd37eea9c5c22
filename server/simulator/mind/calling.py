"""Chooses a function for what was said, fills its arguments by its schema, and speaks its result. Calls nothing."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from server.simulator.mind.lexicon import word_list
from server.simulator.mind.phrasebook import phrase
from server.simulator.mind.utterance import ToolOffer
from server.simulator.mind.words import content_stems, is_content, number, stem, tokens

SEARCH_TOOL = "search_knowledge_base"

_QUERY_NAMES = frozenset(word_list("query q question search search_query search_term searchquery keywords term terms"))
_TEXT_NAMES = frozenset(
    word_list("text message content note body prompt input title subject description reason comment")
)
# Verbs at the front of function names that users do not say.
_NAME_VERBS = frozenset(
    word_list("get set do run fetch show find make lookup look up search tool function call query the by for to of")
)
_ACTING = frozenset(
    word_list("set do run show make open close play start stop turn book send create add order move wave dance")
)
_ASKS_FACT = re.compile(r"^\W*(?:who|when|why|where|how|which)\b", re.IGNORECASE)
_OFF = re.compile(r"\b(?:off|no|not|don['’]?t|never|stop|disable|close|without|false)\b", re.IGNORECASE)
_AFTER_PREPOSITION = re.compile(
    r"\b(?:in|at|to|for|of|from|about|on|near|called|named)\s+(?:the\s+|a\s+)?([^?.!,]+)", re.IGNORECASE
)
_CAPITALISED = re.compile(r"(?<!^)(?<![.!?]\s)\b([A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*)")
# A description matches when this share of its words, and at least two of them, are in what the user said.
_DESCRIPTION_SHARE = 0.5
_DESCRIPTION_WORDS_MIN = 2
_FIRST_SENTENCE = re.compile(r".*?(?:[.!?](?=\s)|\Z)", re.DOTALL)
_SPOKEN_FIELDS_MAX = 6
_SPOKEN_KEYS = ("message", "answer", "text", "result", "summary", "output", "description", "status")
_DEPTH_MAX = 4


def is_search(tool: ToolOffer) -> bool:
    """Whether a function looks things up: by its name, or by one required string that is a query."""
    if tool.name == SEARCH_TOOL:
        return True
    properties, required = _properties(tool.parameters)
    if len(required) != 1 or required[0].lower() not in _QUERY_NAMES:
        return False
    return bool(properties.get(required[0], {}).get("type", "string") == "string")


def search_call(tool: ToolOffer, query: str, text: str) -> dict[str, Any]:
    """The arguments that search for `query`; anything else that the schema requires is filled from `text`."""
    properties, required = _properties(tool.parameters)
    name = next((key for key in required if key.lower() in _QUERY_NAMES), None)
    name = name or next((key for key in properties if key.lower() in _QUERY_NAMES), None) or "query"
    filled = fill({**tool.parameters, "properties": {k: v for k, v in properties.items() if k != name}}, text)
    return {name: query, **{key: value for key, value in filled.items() if key in required}}


def asked_tool(tools: Sequence[ToolOffer], text: str) -> ToolOffer | None:
    """The function that the user names, or describes in its own words; searches are not considered."""
    said = set(content_stems(text)) | {stem(word) for word in tokens(text)}
    best: tuple[float, ToolOffer] | None = None
    for tool in tools:
        score = 0.0 if is_search(tool) else _likeness(tool, text, said)
        if score and (best is None or score > best[0]):
            best = (score, tool)
    return best[1] if best else None


def _likeness(tool: ToolOffer, text: str, said: set[str]) -> float:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", tool.name)]
    if re.search(rf"\b{re.escape(tool.name)}\b", text, re.IGNORECASE):
        return 3.0
    if words and words[0] in _ACTING and _ASKS_FACT.match(text):
        # "How do I book a tour?" wants to know, "book a tour" wants it done.
        return 0.0
    naming = [stem(word) for word in words if word not in _NAME_VERBS]
    if naming and all(word in said for word in naming):
        return 2.0
    describing = [word for word in content_stems(tool.description) if is_content(word)]
    shared = [word for word in describing if word in said]
    if len(shared) >= _DESCRIPTION_WORDS_MIN and len(shared) >= _DESCRIPTION_SHARE * len(describing):
        return 1.0 + len(shared) / len(describing)
    return 0.0


def fill(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Arguments for an object schema: all that it requires, and what else `text` gives evidence for."""
    return _object(schema, text, iter(_numbers(text)), _DEPTH_MAX)


def _numbers(text: str) -> list[float]:
    return [value for word in tokens(text) if (value := number(word)) is not None]


def _object(schema: dict[str, Any], text: str, numbers: Iterator[float], depth: int) -> dict[str, Any]:
    properties, required = _properties(schema)
    filled: dict[str, Any] = {}
    for name, part in properties.items():
        value, is_evident = _value(name, part, text, numbers, depth)
        if name in required or is_evident:
            filled[name] = value
    return filled


def _properties(schema: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    properties = schema.get("properties")
    required = schema.get("required")
    parts = {k: v for k, v in properties.items() if isinstance(v, dict)} if isinstance(properties, dict) else {}
    return parts, [key for key in required if isinstance(key, str)] if isinstance(required, list) else []


def _value(name: str, schema: dict[str, Any], text: str, numbers: Iterator[float], depth: int) -> tuple[Any, bool]:
    """A value for one property, and whether the text speaks of it."""
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        spoken = {stem(word) for word in tokens(text)}
        for choice in choices:
            if set(map(stem, tokens(str(choice).replace("_", " ")))) & spoken:
                return choice, True
        return choices[0], False
    if "const" in schema:
        return schema["const"], False
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = next((entry for entry in kind if entry != "null"), "null")
    if kind in ("number", "integer"):
        return _number(schema, kind, numbers)
    if kind == "boolean":
        return _OFF.search(text) is None, stem(name) in {stem(word) for word in tokens(text)}
    if kind == "array":
        items = schema.get("items")
        value, is_evident = _value(name, items if isinstance(items, dict) else {}, text, numbers, depth - 1)
        return [value] if depth > 0 else [], is_evident
    if kind == "object":
        return (_object(schema, text, numbers, depth - 1) if depth > 0 else {}), False
    if kind == "null":
        return None, False
    return _string(name, text)


def _number(schema: dict[str, Any], kind: str, numbers: Iterator[float]) -> tuple[float | int, bool]:
    value = next(numbers, None)
    is_evident = value is not None
    if value is None:
        fallback = schema.get("default", schema.get("minimum", 1))
        value = float(fallback) if isinstance(fallback, int | float) else 1.0
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float):
        value = max(value, float(low))
    if isinstance(high, int | float):
        value = min(value, float(high))
    return (int(value) if kind == "integer" or value.is_integer() else value), is_evident


def _string(name: str, text: str) -> tuple[str, bool]:
    plain = text.strip()
    if name.lower() in _QUERY_NAMES:
        return plain, True
    quoted = re.search(r"[\"“]([^\"”]+)[\"”]", plain)
    if quoted:
        return quoted.group(1), True
    if name.lower() in _TEXT_NAMES:
        return plain, False
    capitalised = _CAPITALISED.search(plain)
    if capitalised and capitalised.group(1) != "I":
        return capitalised.group(1), True
    after = _AFTER_PREPOSITION.search(plain)
    if after:
        return after.group(1).strip(), True
    return plain.rstrip("?!. "), False


def spoken_result(output: str, language: str) -> str:
    """A sentence that says a function's output."""
    try:
        data = msgspec.json.decode(output)
    except msgspec.DecodeError:
        data = output
    if isinstance(data, dict) and data.get("error"):
        # What follows the first sentence is advice to the one who reads it.
        said = _FIRST_SENTENCE.match(_value_aloud(data["error"]).strip())
        return phrase("tool_failed", language, text=said.group() if said else "")
    text = _value_aloud(data).strip()
    if not text:
        return phrase("tool_done", language)
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else f"{text}."


def _value_aloud(value: Any) -> str:
    if isinstance(value, dict):
        for key in _SPOKEN_KEYS:
            if isinstance(value.get(key), str) and len(value[key].split()) > 1:
                return str(value[key])
        fields = [(key, part) for key, part in value.items() if part is not None][:_SPOKEN_FIELDS_MAX]
        return ", ".join(f"{key.replace('_', ' ')} {_value_aloud(part)}" for key, part in fields)
    if isinstance(value, list):
        return ", ".join(_value_aloud(part) for part in value[:_SPOKEN_FIELDS_MAX])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
