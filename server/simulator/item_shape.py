"""What a client may put into ``conversation.item.create`` and into a response's ``input``. Holds no conversation."""

import binascii
from typing import Any

from server.simulator import refusal, shape

ITEM_TYPES = ("message", "function_call", "function_call_output")
ROLES = ("user", "assistant", "system")

_text = shape.text()
_STATUS = shape.one_of("completed", "incomplete", "in_progress")
_NAME = shape.text(64)
# Of items and of calls; undocumented, but both are known from the service's refusals.
ID_MAX_CHARS = 32
_ID = shape.text(ID_MAX_CHARS)
_COMMON = {"id": _ID, "type": shape.anything, "object": _text, "status": _STATUS}


def base64_bytes(value: str, path: str) -> bytes:
    """The decoded audio or image.

    Raises:
        Refusal: ``invalid_value``, when it is not base64.
    """
    try:
        return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (binascii.Error, ValueError):
        raise refusal.invalid(f"Invalid '{path}': expected base64-encoded bytes.", path) from None


def _image(value: Any, path: str) -> None:
    _text(value, path)
    if not value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,")):
        raise refusal.invalid(f"Invalid '{path}': expected a data URL of a PNG or JPEG image.", path)


_INPUT_TEXT = shape.obj({"type": shape.anything, "text": _text}, required=("text",))
_OUTPUT_TEXT = shape.obj({"type": shape.anything, "text": _text}, required=("text",))
_INPUT_AUDIO = shape.obj({"type": shape.anything, "audio": _text, "transcript": shape.nullable(_text)})
_INPUT_IMAGE = shape.obj(
    {"type": shape.anything, "image_url": _image, "detail": shape.one_of("auto", "low", "high")},
    required=("image_url",),
)


def _message(content: dict[str, shape.Check]) -> shape.Check:
    fields = {**_COMMON, "role": shape.anything, "content": shape.array(shape.tagged(content), min_items=1)}
    return shape.obj(fields, required=("content",))


# An assistant's audio cannot be created: a replayed answer comes as its text.
_MESSAGE = shape.tagged(
    {
        "user": _message({"input_text": _INPUT_TEXT, "input_audio": _INPUT_AUDIO, "input_image": _INPUT_IMAGE}),
        "assistant": _message({"output_text": _OUTPUT_TEXT}),
        "system": _message({"input_text": _INPUT_TEXT}),
    },
    by="role",
)

_ITEM_ARMS: dict[str, shape.Check] = {
    "message": _MESSAGE,
    "function_call": shape.obj(
        {**_COMMON, "call_id": _ID, "name": _NAME, "arguments": _text}, required=("name", "arguments")
    ),
    "function_call_output": shape.obj({**_COMMON, "call_id": _ID, "output": _text}, required=("call_id", "output")),
}
ITEM = shape.tagged(_ITEM_ARMS)
# In a response's input an item may also be one that the conversation holds already.
INPUT_ITEM = shape.tagged(
    _ITEM_ARMS | {"item_reference": shape.obj({"type": shape.anything, "id": _ID}, required=("id",))}
)
