"""What an item says."""

from typing import Any

import msgspec
import pytest

from protocol.realtime.items import Item


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], ""),
        ([{"type": "input_text", "text": "Hello"}], "Hello"),
        ([{"type": "input_audio", "transcript": None}], ""),
        ([{"type": "output_audio", "transcript": "Hi."}, {"type": "output_text", "text": "There."}], "Hi. There."),
        ([{"type": "input_image", "image_url": "data:image/png;base64,AA"}], ""),
    ],
    ids=str,
)
def test_an_item_says_its_texts_and_transcripts(content: list[dict[str, Any]], text: str) -> None:
    assert msgspec.convert({"type": "message", "content": content}, Item).spoken_text() == text


def test_an_item_without_content_says_nothing() -> None:
    assert Item(type="function_call").spoken_text() == ""
