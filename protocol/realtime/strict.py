"""What the service refuses and the tolerant structs let by: unknown parameters. For whoever plays the service."""

from typing import Any

import msgspec
from msgspec import inspect


def unknown_parameter(value: Any, struct: type[msgspec.Struct], path: str = "") -> str | None:
    """The dotted path of the first key in a decoded JSON ``value`` that ``struct`` has no field for; None if all fit.

    Parts that the structs leave open (tool parameters, metadata, the arms of ``tool_choice``) are not looked into.
    """
    return _walk(value, inspect.type_info(struct), path)


def _walk(value: Any, kind: inspect.Type, path: str) -> str | None:
    if isinstance(kind, inspect.UnionType):
        for arm in kind.types:
            if isinstance(arm, inspect.StructType | inspect.ListType):
                return _walk(value, arm, path)
        return None
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        for index, element in enumerate(value):
            if found := _walk(element, kind.item_type, f"{path}[{index}]"):
                return found
        return None
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        known = {field.encode_name: field.type for field in kind.fields}
        if kind.tag_field:
            known[kind.tag_field] = inspect.StrType()
        for key, inner in value.items():
            inner_path = f"{path}.{key}" if path else key
            if key not in known:
                return inner_path
            if found := _walk(inner, known[key], inner_path):
                return found
    return None
